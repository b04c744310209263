//! [`FeedForward`]: two or three projections around a non-linear function.

use ternary_core::mutant;

use super::{Context, Layer, RmsNorm, check_rows};
use crate::compute::Compute;
use crate::error::{Error, Result, check_size};
use crate::gradients::Gradients;
use crate::input::Input;
use crate::module::{Module, Update, finish_each, requantize_each};
use crate::ops::{
    gelu, gelu_backward, relu_squared_gate, relu_squared_gate_backward, swiglu, swiglu_backward,
};
use crate::projection::{Projection, SharedLevels};
use crate::tape::Tape;

/// The function between the projections of a [`FeedForward`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nonlinearity {
    /// silu(gate) · up.
    SwiGlu,
    /// relu(gate)² · up.
    ReluSquared,
    /// gelu(up), without a gate.
    Gelu,
}

impl Nonlinearity {
    fn has_gate(self) -> bool {
        self != Self::Gelu
    }
}

/// The projections of a [`FeedForward`].
#[derive(Debug)]
pub struct FeedForwardProjections<T> {
    /// From the width to the inner width; none for a function without a gate.
    pub gate: Option<Box<dyn Projection<T>>>,
    /// From the width to the inner width.
    pub up: Box<dyn Projection<T>>,
    /// From the inner width to the width.
    pub down: Box<dyn Projection<T>>,
}

/// y = down(norm(f(gate(x), up(x)))): the norm, if there is one, is SubLN's.
#[derive(Debug)]
pub struct FeedForward<T> {
    name: String,
    nonlinearity: Nonlinearity,
    projections: FeedForwardProjections<T>,
    sub_norm: Option<RmsNorm<T>>,
    shared: Option<SharedLevels>,
}

impl<T: Compute> FeedForward<T> {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`Error::Shape`] for parts that do not fit each other, [`Error::Setting`] for a gate too many or
    /// too few.
    pub fn new(
        name: &str,
        nonlinearity: Nonlinearity,
        projections: FeedForwardProjections<T>,
        sub_norm: Option<RmsNorm<T>>,
    ) -> Result<Self> {
        let FeedForwardProjections { gate, up, down } = &projections;
        if gate.is_some() != nonlinearity.has_gate() {
            return Err(Error::Setting {
                layer: name.to_owned(),
                what: "gate projection",
                expected: "one for a function with a gate, none for one without",
                found: format!("{nonlinearity:?}"),
            });
        }
        if let Some(gate) = gate {
            check_size(name, "inputs of the gate projection", up.inputs(), gate.inputs())?;
            check_size(name, "outputs of the gate projection", up.outputs(), gate.outputs())?;
        }
        check_size(name, "inputs of the down projection", up.outputs(), down.inputs())?;
        check_size(name, "outputs of the down projection", up.inputs(), down.outputs())?;
        if let Some(norm) = &sub_norm {
            check_size(name, "width of the inner norm", up.outputs(), norm.width())?;
        }
        Ok(Self { name: name.to_owned(), nonlinearity, projections, sub_norm, shared: None })
    }

    /// Gives the projections the levels of one group, and decides their codes by them.
    ///
    /// # Errors
    /// Latent weights that are not finite.
    pub fn share_levels(mut self, levels: SharedLevels) -> Result<Self> {
        self.shared = Some(levels);
        self.requantize(Update::hard(0, 0).without_noise())?;
        Ok(self)
    }

    fn apply(&self, gate: Option<&[T]>, up: &[T], y: &mut [T]) -> Result<()> {
        match (self.nonlinearity, gate) {
            (Nonlinearity::SwiGlu, Some(gate)) => swiglu(gate, up, y),
            (Nonlinearity::ReluSquared, Some(gate)) => relu_squared_gate(gate, up, y),
            _ => gelu(up, y),
        }
    }

    fn apply_backward(
        &self,
        gate: Option<(&[T], &mut [T])>,
        up: &[T],
        dy: &[T],
        d_up: &mut [T],
    ) -> Result<()> {
        match (self.nonlinearity, gate) {
            (Nonlinearity::SwiGlu, Some((gate, d_gate))) => {
                swiglu_backward(gate, up, dy, d_gate, d_up)
            }
            (Nonlinearity::ReluSquared, Some((gate, d_gate))) => {
                relu_squared_gate_backward(gate, up, dy, d_gate, d_up)
            }
            _ => gelu_backward(up, dy, d_up),
        }
    }
}

impl<T: Compute> Module<T> for FeedForward<T> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        if let Some(gate) = &self.projections.gate {
            visit(&**gate);
        }
        visit(&*self.projections.up);
        if let Some(norm) = &self.sub_norm {
            visit(norm);
        }
        visit(&*self.projections.down);
        if let Some(shared) = &self.shared {
            visit(shared);
        }
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        if let Some(gate) = &mut self.projections.gate {
            visit(&mut **gate);
        }
        visit(&mut *self.projections.up);
        if let Some(norm) = &mut self.sub_norm {
            visit(norm);
        }
        visit(&mut *self.projections.down);
        if let Some(shared) = &mut self.shared {
            visit(shared);
        }
    }

    fn finish_gradients(&self, gradients: &mut Gradients<T>) -> Result<()> {
        if let Some(shared) = mutant!("FeedForward/shared levels left out", &self.shared, &None) {
            shared.add_gradients(&[self], gradients);
        }
        finish_each(self, gradients)
    }

    fn requantize(&mut self, update: Update) -> Result<()> {
        let Some(mut shared) = self.shared.take() else { return requantize_each(self, update) };
        let update = shared.fit(&[self], update);
        self.shared = Some(shared);
        requantize_each(self, update?)
    }
}

impl<T: Compute> Layer<T> for FeedForward<T> {
    fn width(&self) -> usize {
        self.projections.up.inputs()
    }

    fn each_projection(&self, visit: &mut dyn FnMut(&'static str, &dyn Projection<T>)) {
        let FeedForwardProjections { gate, up, down } = &self.projections;
        for projection in gate.iter().chain([up, down]) {
            visit("feed-forward", &**projection);
        }
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        let FeedForwardProjections { gate, up, down } = &mut self.projections;
        gate.iter_mut().chain([up, down]).for_each(visit);
    }

    fn forward(&self, x: Vec<T>, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        check_rows(&self.name, "inputs", self.width(), context, &x)?;
        let FeedForwardProjections { gate, up, down } = &self.projections;
        let (rows, inner) = (context.sequences.rows(), up.outputs());
        let mut input = Input::new(&self.name, x, self.width())?;
        let mut gated = None;
        if let Some(gate) = gate {
            let mut values = tape.take(rows * inner);
            gate.forward(&mut input, &mut values, tape)?;
            gated = Some(values);
        }
        let mut upper = tape.take(rows * inner);
        up.forward(&mut input, &mut upper, tape)?;
        tape.save_input(input);

        let mut hidden = tape.take(rows * inner);
        self.apply(gated.as_deref(), &upper, &mut hidden)?;
        if let Some(gated) = gated {
            tape.save(gated);
        }
        tape.save(upper);
        if let Some(norm) = &self.sub_norm {
            hidden = norm.apply(hidden, tape)?;
        }

        let mut input = Input::new(&self.name, hidden, inner)?;
        let mut y = tape.take(rows * self.width());
        down.forward(&mut input, &mut y, tape)?;
        tape.save_input(input);
        Ok(y)
    }

    fn backward(
        &self,
        dy: Vec<T>,
        context: Context<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        check_rows(&self.name, "gradients of outputs", self.width(), context, &dy)?;
        let FeedForwardProjections { gate, up, down } = &self.projections;
        let (rows, inner) = (context.sequences.rows(), up.outputs());
        let input = tape.restore_input(&self.name)?;
        let mut d_hidden = tape.take(rows * inner);
        down.backward_setting(&input, &dy, &mut d_hidden, tape, gradients)?;
        tape.recycle(input);
        tape.give(dy);
        if let Some(norm) = &self.sub_norm {
            d_hidden = norm.apply_backward(d_hidden, tape, gradients)?;
        }

        let upper = tape.restore(&self.name)?;
        let gated = gate.as_ref().map(|_| tape.restore(&self.name)).transpose()?;
        let mut d_upper = tape.take(rows * inner);
        let mut d_gated = gate.as_ref().map(|_| tape.take(rows * inner));
        let saved = mutant!("FeedForward/gate for up", &upper, gated.as_ref().unwrap_or(&upper));
        let pair = gated.as_deref().zip(d_gated.as_deref_mut());
        self.apply_backward(pair, saved, &d_hidden, &mut d_upper)?;

        let input = tape.restore_input(&self.name)?;
        let mut dx = tape.take(rows * self.width());
        up.backward_setting(&input, &d_upper, &mut dx, tape, gradients)?;
        mutant!("FeedForward/up left out of dx", { dx.fill(T::ZERO) });
        if let (Some(gate), Some(d_gated)) = (gate, &d_gated) {
            let d_gated =
                mutant!("FeedForward/gradients of gate and up swapped", d_gated, &d_upper);
            gate.backward(&input, d_gated, Some(&mut dx), tape, gradients)?;
        }
        tape.recycle(input);
        for buffer in [Some(d_hidden), Some(upper), Some(d_upper), gated, d_gated] {
            buffer.into_iter().for_each(|buffer| tape.give(buffer));
        }
        Ok(dx)
    }
}
