//! The bias of a projection.

use ternary_core::Real;

use crate::compute::Compute;
use crate::error::Result;
use crate::gradients::Gradients;
use crate::ops::{bias, bias_backward};
use crate::parameters::{ParameterId, Parameters};
use crate::tape::Tape;

/// A number for each output, kept as `B` in layers of any number type.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bias<B> {
    pub(super) name: String,
    pub(super) id: ParameterId,
    pub(super) values: Vec<B>,
}

impl<B: Real> Bias<B> {
    /// Declares `{projection}.bias`, zeros.
    pub(super) fn declare(
        projection: &str,
        outputs: usize,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let name = format!("{projection}.bias");
        let id = parameters.declare(name.clone(), &[outputs])?;
        Ok(Self { name, id, values: vec![B::ZERO; outputs] })
    }

    /// Adds it to every row of `y`.
    pub(super) fn add<T: Compute>(&self, y: &mut [T], tape: &mut Tape<T>) -> Result<()> {
        add_to_rows(&self.values, y, tape)
    }

    /// Adds its gradient.
    pub(super) fn backward<T: Compute>(
        &self,
        dy: &[T],
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        gradients.get_mut(self.id).map_or(Ok(()), |d_bias| bias_backward(dy, d_bias))
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.values.capacity() * size_of::<B>() + self.name.capacity()
    }
}

/// Adds numbers kept as `B` to every row of `y`.
pub(super) fn add_to_rows<B: Real, T: Compute>(
    added: &[B],
    y: &mut [T],
    tape: &mut Tape<T>,
) -> Result<()> {
    let mut values = tape.take(added.len());
    for (value, added) in values.iter_mut().zip(added) {
        *value = T::from_f64(added.to_f64());
    }
    let result = bias(&values, y);
    tape.give(values);
    result
}
