//! [`Attention`]: causal attention with everything around it.

mod projected;
mod resume;

use std::sync::Arc;

use ternary_core::mutant;

use self::projected::{Mixed, Projected};
use super::{Context, Layer, RmsNorm, Sequences, State, check_rows};
use crate::compute::Compute;
use crate::error::{Error, Result, check_size};
use crate::gradients::Gradients;
use crate::module::Module;
use crate::ops::{AttentionShape, RotaryTable, attention, attention_backward};
use crate::projection::Projection;
use crate::tape::Tape;

/// The projections of an [`Attention`] layer.
#[derive(Debug)]
pub struct AttentionProjections<T> {
    /// From the width to the query heads.
    pub query: Box<dyn Projection<T>>,
    /// From the width to the key heads.
    pub key: Box<dyn Projection<T>>,
    /// From the width to the value heads, as many as key heads.
    pub value: Box<dyn Projection<T>>,
    /// What gates the query heads, in a gated layer.
    pub gate: AttentionGate<T>,
    /// From the query heads to the width.
    pub output: Box<dyn Projection<T>>,
}

/// Where the gates of the query heads come from, one for each number.
#[derive(Debug)]
pub enum AttentionGate<T> {
    /// There are none.
    None,
    /// From a projection of their own.
    Own(Box<dyn Projection<T>>),
    /// From the query projection, which gives for each head its query and then its gate.
    InQuery,
}

impl<T> AttentionGate<T> {
    fn projection(&self) -> Option<&dyn Projection<T>> {
        if let Self::Own(projection) = self { Some(&**projection) } else { None }
    }

    fn projection_mut(&mut self) -> Option<&mut Box<dyn Projection<T>>> {
        if let Self::Own(projection) = self { Some(projection) } else { None }
    }
}

/// What an [`Attention`] layer has besides projections.
#[derive(Debug)]
pub struct AttentionOptions<T> {
    /// Query heads.
    pub query_heads: usize,
    /// Key and value heads.
    pub key_heads: usize,
    /// Numbers in a head.
    pub head_width: usize,
    /// The angles that queries and keys are turned by, if they are.
    pub rotary: Option<Arc<RotaryTable<T>>>,
    /// Norms over each query head and each key head.
    pub head_norms: Option<[RmsNorm<T>; 2]>,
    /// The norm before the output projection (SubLN).
    pub sub_norm: Option<RmsNorm<T>>,
}

/// Causal self-attention with grouped heads:
///
/// ```text
/// q, k, v = rope(norm(x·W_qᵀ)), rope(norm(x·W_kᵀ)), x·W_vᵀ
/// a = softmax(q·kᵀ/√head_width) · v                          causal, by head
/// y = norm(a · σ(x·W_gᵀ)) · W_oᵀ
/// ```
///
/// The norms, the angles and the gate are optional, each on its own. A [mask](Context::mask) may have padding after
/// the tokens of a sequence, where no token sees it, and nowhere else.
#[derive(Debug)]
pub struct Attention<T> {
    name: String,
    projections: AttentionProjections<T>,
    options: AttentionOptions<T>,
}

impl<T: Compute> Attention<T> {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`Error::Shape`] for parts that do not fit each other, [`Error::Setting`] for heads that no
    /// attention can have.
    pub fn new(
        name: &str,
        projections: AttentionProjections<T>,
        options: AttentionOptions<T>,
    ) -> Result<Self> {
        let AttentionProjections { query, key, value, gate, output } = &projections;
        let width = query.inputs();
        let [query_row, key_row] = rows_of_heads(name, &options)?;
        let with_gates = if matches!(gate, AttentionGate::InQuery) { 2 } else { 1 };
        let queries = query_row.saturating_mul(with_gates);
        check_size(name, "outputs of the query projection", queries, query.outputs())?;
        check_size(name, "inputs of the key projection", width, key.inputs())?;
        check_size(name, "outputs of the key projection", key_row, key.outputs())?;
        check_size(name, "inputs of the value projection", width, value.inputs())?;
        check_size(name, "outputs of the value projection", key_row, value.outputs())?;
        check_size(name, "inputs of the output projection", query_row, output.inputs())?;
        check_size(name, "outputs of the output projection", width, output.outputs())?;
        if let Some(gate) = gate.projection() {
            check_size(name, "inputs of the gate projection", width, gate.inputs())?;
            check_size(name, "outputs of the gate projection", query_row, gate.outputs())?;
        }
        for norm in options.head_norms.iter().flatten() {
            check_size(name, "width of a head norm", options.head_width, norm.width())?;
        }
        if let Some(norm) = &options.sub_norm {
            check_size(name, "width of the inner norm", query_row, norm.width())?;
        }
        if let Some(table) = &options.rotary {
            check_size(name, "head width of the angles", options.head_width, table.head_width())?;
        }
        Ok(Self { name: name.to_owned(), projections, options })
    }

    /// The sizes of a call with `keys` positions so far, the last of which are those of the rows.
    fn shape(&self, sequences: Sequences, keys: usize) -> AttentionShape {
        AttentionShape {
            sequences: sequences.count,
            queries: sequences.length,
            keys,
            query_heads: self.options.query_heads,
            key_heads: self.options.key_heads,
            width: self.options.head_width,
        }
    }

    /// 1/√head_width.
    fn scale(&self) -> T {
        T::ONE / T::from_usize(self.options.head_width).sqrt()
    }
}

/// Numbers in a row of queries and in a row of keys.
fn rows_of_heads<T>(name: &str, options: &AttentionOptions<T>) -> Result<[usize; 2]> {
    let AttentionOptions { query_heads, key_heads, head_width, .. } = *options;
    let setting =
        |what, expected, found| Error::Setting { layer: name.to_owned(), what, expected, found };
    for (what, count) in [("key heads", key_heads), ("width of a head", head_width)] {
        if count == 0 {
            return Err(setting(what, "at least 1", count.to_string()));
        }
    }
    if query_heads == 0 || !query_heads.is_multiple_of(key_heads) {
        let found = format!("{query_heads} for {key_heads} key heads");
        return Err(setting("query heads", "a multiple of the key heads", found));
    }
    let row = |heads: usize| {
        let too_many = || format!("{heads} of width {head_width}");
        heads
            .checked_mul(head_width)
            .ok_or_else(|| setting("heads", "rows that fit into memory", too_many()))
    };
    Ok([row(query_heads)?, row(key_heads)?])
}

impl<T: Compute> Module<T> for Attention<T> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        let AttentionProjections { query, key, value, gate, output } = &self.projections;
        [query, key, value].into_iter().for_each(|projection| visit(&**projection));
        if let Some(gate) = gate.projection() {
            visit(gate);
        }
        let AttentionOptions { head_norms, sub_norm, .. } = &self.options;
        for norm in head_norms.iter().flatten().chain(sub_norm) {
            visit(norm);
        }
        visit(&**output);
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        let AttentionProjections { query, key, value, gate, output } = &mut self.projections;
        for projection in [query, key, value].into_iter().chain(gate.projection_mut()) {
            visit(&mut **projection);
        }
        let AttentionOptions { head_norms, sub_norm, .. } = &mut self.options;
        for norm in head_norms.iter_mut().flatten().chain(sub_norm) {
            visit(norm);
        }
        visit(&mut **output);
    }
}

impl<T: Compute> Layer<T> for Attention<T> {
    fn width(&self) -> usize {
        self.projections.query.inputs()
    }

    fn each_projection(&self, visit: &mut dyn FnMut(&'static str, &dyn Projection<T>)) {
        let AttentionProjections { query, key, value, gate, output } = &self.projections;
        let inputs = [query, key, value].into_iter().map(|projection| &**projection);
        for projection in inputs.chain(gate.projection()).chain([&**output]) {
            visit("attention", projection);
        }
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        let AttentionProjections { query, key, value, gate, output } = &mut self.projections;
        let inputs = [query, key, value].into_iter().chain(gate.projection_mut());
        inputs.chain([output]).for_each(visit);
    }

    fn forward(&self, x: Vec<T>, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        let sequences = context.sequences;
        self.check(&x, context, 0)?;
        let Projected { queries: q, keys: k, values: v, gates } =
            self.project(x, sequences, 0, tape)?;
        let mut mixed = tape.take(q.len());
        let mut log_sums = tape.take(sequences.rows() * self.options.query_heads);
        let shape = self.shape(sequences, sequences.length);
        attention(shape, self.scale(), [&q, &k, &v], &mut mixed, &mut log_sums)?;
        for buffer in [q, k, v, log_sums] {
            tape.save(buffer);
        }
        self.output(mixed, gates, tape)
    }

    fn backward(
        &self,
        dy: Vec<T>,
        context: Context<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        check_rows(&self.name, "gradients of outputs", self.width(), context, &dy)?;
        let sequences = context.sequences;
        let Mixed { mixed, d_mixed, d_gates } = self.output_backward(dy, tape, gradients)?;
        let log_sums = tape.restore(&self.name)?;
        let v = tape.restore(&self.name)?;
        let k = tape.restore(&self.name)?;
        let q = tape.restore(&self.name)?;
        let mut d_q = tape.zeros(q.len());
        let mut d_k = tape.zeros(k.len());
        let mut d_v = tape.zeros(v.len());
        attention_backward(
            self.shape(sequences, sequences.length),
            mutant!("Attention/scale left out of the backward", self.scale(), T::ONE),
            [&q, &k, &v],
            [&mixed, &log_sums, &d_mixed],
            [&mut d_q, &mut d_k, &mut d_v],
        )?;
        for buffer in [d_mixed, mixed, log_sums, q, k, v] {
            tape.give(buffer);
        }
        let projected = Projected { queries: d_q, keys: d_k, values: d_v, gates: d_gates };
        self.project_backward(projected, sequences, tape, gradients)
    }

    fn state(&self, sequences: usize) -> State<T> {
        State { position: 0, parts: vec![Vec::new(); 2 * sequences] }
    }

    fn resume(
        &self,
        x: Vec<T>,
        context: Context<'_>,
        state: &mut State<T>,
        tape: &mut Tape<T>,
    ) -> Result<Vec<T>> {
        self.resume_from(x, context, state, tape)
    }
}

#[cfg(test)]
mod tests;
