//! [`PerLayerEmbedding`]: a row of numbers for each token, of each layer's own.

use ternary_core::mutant;

use super::{Context, Embedding, Layer, RmsNorm, check_rows};
use crate::compute::Compute;
use crate::error::{Result, check_size};
use crate::gradients::Gradients;
use crate::input::Input;
use crate::module::Module;
use crate::ops::{swiglu, swiglu_backward};
use crate::projection::Projection;
use crate::tape::Tape;

/// y = output(norm(silu(gate(x)) ⊙ table\[token\])): what a layer knows of a token by itself, gated by what the
/// stream knows. A feed-forward net whose upper projection is a table; the norm, if there is one, is SubLN's.
///
/// The per-layer embeddings of Gemma 3n, there with GELU in the place of SiLU. Forward and backward need
/// [`Context::tokens`].
#[derive(Debug)]
pub struct PerLayerEmbedding<T> {
    name: String,
    table: Embedding<T>,
    gate: Box<dyn Projection<T>>,
    sub_norm: Option<RmsNorm<T>>,
    output: Box<dyn Projection<T>>,
}

impl<T: Compute> PerLayerEmbedding<T> {
    /// Puts the parts together: `gate` leads from the width of the stream to that of the table, and
    /// `output` back.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for parts that do not fit each other.
    pub fn new(
        name: &str,
        table: Embedding<T>,
        gate: Box<dyn Projection<T>>,
        sub_norm: Option<RmsNorm<T>>,
        output: Box<dyn Projection<T>>,
    ) -> Result<Self> {
        let inner = table.width();
        check_size(name, "outputs of the gate projection", inner, gate.outputs())?;
        check_size(name, "inputs of the output projection", inner, output.inputs())?;
        check_size(name, "outputs of the output projection", gate.inputs(), output.outputs())?;
        if let Some(norm) = &sub_norm {
            check_size(name, "width of the inner norm", inner, norm.width())?;
        }
        Ok(Self { name: name.to_owned(), table, gate, sub_norm, output })
    }

    /// The two projections.
    pub(super) fn projections(&self) -> [&dyn Module<T>; 2] {
        [&*self.gate, &*self.output]
    }
}

impl<T: Compute> Layer<T> for PerLayerEmbedding<T> {
    fn width(&self) -> usize {
        self.gate.inputs()
    }

    fn each_projection(&self, visit: &mut dyn FnMut(&'static str, &dyn Projection<T>)) {
        for projection in [&self.gate, &self.output] {
            visit("per-layer embedding", &**projection);
        }
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        [&mut self.gate, &mut self.output].into_iter().for_each(visit);
    }

    fn forward(&self, x: Vec<T>, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        check_rows(&self.name, "inputs", self.width(), context, &x)?;
        let (rows, inner) = (context.sequences.rows(), self.table.width());
        check_size(&self.name, "tokens", rows, context.tokens.len())?;
        let mut input = Input::new(&self.name, x, self.width())?;
        let mut gate = tape.take(rows * inner);
        self.gate.forward(&mut input, &mut gate, tape)?;
        tape.save_input(input);
        let own = self.table.forward(context.tokens, tape)?;
        let mut hidden = tape.take(rows * inner);
        swiglu(&gate, &own, &mut hidden)?;
        tape.save(gate);
        tape.save(own);
        if let Some(norm) = &self.sub_norm {
            hidden = norm.apply(hidden, tape)?;
        }
        let mut input = Input::new(&self.name, hidden, inner)?;
        let mut y = tape.take(rows * self.width());
        self.output.forward(&mut input, &mut y, tape)?;
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
        let (rows, inner) = (context.sequences.rows(), self.table.width());
        let input = tape.restore_input(&self.name)?;
        let mut d_hidden = tape.zeros(rows * inner);
        self.output.backward(&input, &dy, Some(&mut d_hidden), tape, gradients)?;
        tape.recycle(input);
        tape.give(dy);
        if let Some(norm) = &self.sub_norm {
            d_hidden = norm.apply_backward(d_hidden, tape, gradients)?;
        }
        let own = tape.restore(&self.name)?;
        let gate = tape.restore(&self.name)?;
        let (mut d_gate, mut d_own) = (tape.take(rows * inner), tape.take(rows * inner));
        let saved = mutant!("PerLayerEmbedding/table for gate", &gate, &own);
        swiglu_backward(saved, &own, &d_hidden, &mut d_gate, &mut d_own)?;
        mutant!("PerLayerEmbedding/gradient of the table lost", { d_own.fill(T::ZERO) });
        self.table.backward(d_own, tape, gradients)?;
        let input = tape.restore_input(&self.name)?;
        let mut dx = tape.zeros(rows * self.width());
        let d_x = mutant!("PerLayerEmbedding/gate left out of dx", Some(&mut dx[..]), None);
        let d_gated =
            mutant!("PerLayerEmbedding/gate's gradient is the hidden one", &d_gate, &d_hidden);
        self.gate.backward(&input, d_gated, d_x, tape, gradients)?;
        tape.recycle(input);
        [d_hidden, own, gate, d_gate].into_iter().for_each(|buffer| tape.give(buffer));
        Ok(dx)
    }
}

impl<T: Compute> Module<T> for PerLayerEmbedding<T> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        visit(&self.table);
        visit(&*self.gate);
        if let Some(norm) = &self.sub_norm {
            visit(norm);
        }
        visit(&*self.output);
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        visit(&mut self.table);
        visit(&mut *self.gate);
        if let Some(norm) = &mut self.sub_norm {
            visit(norm);
        }
        visit(&mut *self.output);
    }
}
