//! [`RmsNorm`] as a layer.

use ternary_core::{Real, mutant};

use super::{Context, Layer, check_rows};
use crate::compute::Compute;
use crate::error::{Result, check_size};
use crate::gradients::Gradients;
use crate::module::{Memory, Module, Tensor, Values, ValuesMut};
use crate::ops::{Gain, rms_norm, rms_norm_backward};
use crate::parameters::{ParameterId, Parameters};
use crate::tape::Tape;

/// y = x / √(mean(x²) + ε) · g for each row, with a gain that trains: g itself, or 1 + g (*shifted*).
#[derive(Debug, Clone, PartialEq)]
pub struct RmsNorm<T> {
    name: String,
    id: ParameterId,
    gain: Vec<T>,
    is_shifted: bool,
    epsilon: f64,
}

impl<T: Real> RmsNorm<T> {
    /// Takes a gain, declared as `name`.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for a name that is taken.
    pub fn new(
        name: &str,
        gain: Vec<T>,
        epsilon: f64,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let id = parameters.declare(name, &[gain.len()])?;
        Ok(Self { name: name.to_owned(), id, gain, is_shifted: false, epsilon })
    }

    /// Makes the factor 1 + g.
    #[must_use]
    pub fn shifted(mut self) -> Self {
        self.is_shifted = true;
        self
    }

    fn factor(&self) -> Gain<'_, T> {
        if self.is_shifted { Gain::Shifted(&self.gain) } else { Gain::Plain(&self.gain) }
    }
}

impl<T: Compute> RmsNorm<T> {
    /// Rows of any number: heads, say.
    pub(super) fn apply(&self, x: Vec<T>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        let (mut y, rows) = (tape.take(x.len()), x.len().checked_div(self.gain.len()).unwrap_or(0));
        let mut inverse = tape.take(rows);
        rms_norm(&x, self.factor(), T::from_f64(self.epsilon), &mut y, &mut inverse)?;
        tape.save(x);
        tape.save(inverse);
        Ok(y)
    }

    /// The gradient of [`RmsNorm::apply`].
    pub(super) fn apply_backward(
        &self,
        dy: Vec<T>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        let inverse = tape.restore(&self.name)?;
        let x = tape.restore(&self.name)?;
        check_size(&self.name, "gradients of outputs", x.len(), dy.len())?;
        let mut dx = tape.take(x.len());
        let inverse = mutant!("RmsNorm/stale root", inverse, vec![T::ONE; inverse.len()]);
        let gain =
            mutant!("RmsNorm/plain for shifted gain", self.factor(), Gain::Plain(&self.gain));
        rms_norm_backward(&x, gain, &inverse, &dy, &mut dx, gradients.get_mut(self.id))?;
        mutant!("RmsNorm/gain gradient lost", {
            gradients.get_mut(self.id).into_iter().for_each(|d_gain| d_gain.fill(T::ZERO));
        });
        mutant!("RmsNorm/input gradient doubled", { dx.iter_mut().for_each(|d| *d += *d) });
        for buffer in [inverse, x, dy] {
            tape.give(buffer);
        }
        Ok(dx)
    }
}

impl<T: Real> Module<T> for RmsNorm<T> {
    fn visit(&self, visit: &mut dyn FnMut(Tensor<'_, T>)) {
        visit(Tensor { name: &self.name, id: Some(self.id), values: Values::Real(&self.gain) });
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(ParameterId, ValuesMut<'_, T>)) {
        visit(self.id, ValuesMut::Real(&mut self.gain));
    }

    fn visit_identities(&mut self, visit: &mut dyn FnMut(&mut ParameterId)) {
        visit(&mut self.id);
    }

    fn memory(&self) -> Memory {
        let other = self.gain.capacity() * size_of::<T>() + self.name.capacity();
        Memory { other, ..Memory::default() }
    }
}

impl<T: Compute> Layer<T> for RmsNorm<T> {
    fn width(&self) -> usize {
        self.gain.len()
    }

    fn forward(&self, x: Vec<T>, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        check_rows(&self.name, "inputs", self.gain.len(), context, &x)?;
        self.apply(x, tape)
    }

    fn backward(
        &self,
        dy: Vec<T>,
        context: Context<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        check_rows(&self.name, "gradients of outputs", self.gain.len(), context, &dy)?;
        self.apply_backward(dy, tape, gradients)
    }
}
