//! [`Attention`]: causal attention with everything around it.

use std::sync::Arc;

use ternary_core::mutant;

use super::{Layer, RmsNorm, Sequences, check_rows};
use crate::compute::Compute;
use crate::error::{Error, Result, check_size};
use crate::gradients::Gradients;
use crate::input::Input;
use crate::module::Module;
use crate::ops::{
    AttentionShape, RotaryTable, attention, attention_backward, gated_attention,
    gated_attention_backward, rope, rope_backward,
};
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
    /// From the width to a gate for each number of the query heads, of a gated layer.
    pub gate: Option<Box<dyn Projection<T>>>,
    /// From the query heads to the width.
    pub output: Box<dyn Projection<T>>,
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
/// The norms, the angles and the gate are optional, each on its own.
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
        check_size(name, "outputs of the query projection", query_row, query.outputs())?;
        check_size(name, "inputs of the key projection", width, key.inputs())?;
        check_size(name, "outputs of the key projection", key_row, key.outputs())?;
        check_size(name, "inputs of the value projection", width, value.inputs())?;
        check_size(name, "outputs of the value projection", key_row, value.outputs())?;
        check_size(name, "inputs of the output projection", query_row, output.inputs())?;
        check_size(name, "outputs of the output projection", width, output.outputs())?;
        if let Some(gate) = gate {
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

    fn shape(&self, sequences: Sequences) -> AttentionShape {
        AttentionShape {
            sequences: sequences.count,
            queries: sequences.length,
            keys: sequences.length,
            query_heads: self.options.query_heads,
            key_heads: self.options.key_heads,
            width: self.options.head_width,
        }
    }

    /// Checks that there are angles for every position.
    fn check_positions(&self, sequences: Sequences) -> Result<()> {
        let Some(table) = &self.options.rotary else { return Ok(()) };
        if sequences.length <= table.positions() {
            return Ok(());
        }
        let (layer, what) = (self.name.clone(), "positions of the rotary table");
        Err(Error::Shape { layer, what, expected: sequences.length, found: table.positions() })
    }

    /// 1/√head_width.
    fn scale(&self) -> T {
        T::ONE / T::from_usize(self.options.head_width).sqrt()
    }

    /// Norm and angles of the queries (0) or the keys (1).
    fn prepare(
        &self,
        which: usize,
        x: Vec<T>,
        sequences: Sequences,
        tape: &mut Tape<T>,
    ) -> Result<Vec<T>> {
        let x = match &self.options.head_norms {
            Some(norms) => norms[which].apply(x, tape)?,
            None => x,
        };
        let Some(table) = &self.options.rotary else { return Ok(x) };
        let mut turned = tape.take(x.len());
        let (each, heads) = (x.len() / sequences.count.max(1), self.heads(which));
        for (x, turned) in x.chunks(each.max(1)).zip(turned.chunks_mut(each.max(1))) {
            rope(table, heads, 0, x, turned)?;
        }
        tape.give(x);
        Ok(turned)
    }

    fn prepare_backward(
        &self,
        which: usize,
        dy: Vec<T>,
        sequences: Sequences,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        let mut dx = dy;
        if let Some(table) = mutant!("Attention/angles not undone", &self.options.rotary, &None) {
            let mut turned = tape.zeros(dx.len());
            let (each, heads) = (dx.len() / sequences.count.max(1), self.heads(which));
            for (dx, turned) in dx.chunks(each.max(1)).zip(turned.chunks_mut(each.max(1))) {
                rope_backward(table, heads, 0, dx, turned)?;
            }
            tape.give(std::mem::replace(&mut dx, turned));
        }
        match &self.options.head_norms {
            Some(norms) => norms[which].apply_backward(dx, tape, gradients),
            None => Ok(dx),
        }
    }

    fn heads(&self, which: usize) -> usize {
        [self.options.query_heads, self.options.key_heads][which]
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
        for projection in [query, key, value].into_iter().chain(gate) {
            visit(&**projection);
        }
        let AttentionOptions { head_norms, sub_norm, .. } = &self.options;
        for norm in head_norms.iter().flatten().chain(sub_norm) {
            visit(norm);
        }
        visit(&**output);
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        let AttentionProjections { query, key, value, gate, output } = &mut self.projections;
        for projection in [query, key, value].into_iter().chain(gate) {
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

    fn forward(&self, x: Vec<T>, sequences: Sequences, tape: &mut Tape<T>) -> Result<Vec<T>> {
        check_rows(&self.name, "inputs", self.width(), sequences, &x)?;
        self.check_positions(sequences)?;
        let AttentionProjections { query, key, value, gate, output } = &self.projections;
        let rows = sequences.rows();
        let mut input = Input::new(&self.name, x, self.width())?;
        let mut project = |projection: &dyn Projection<T>, tape: &mut Tape<T>| {
            let mut y = tape.take(rows * projection.outputs());
            projection.forward(&mut input, &mut y, tape).map(|()| y)
        };
        let q = project(&**query, tape)?;
        let k = project(&**key, tape)?;
        let v = project(&**value, tape)?;
        let gate = gate.as_ref().map(|gate| project(&**gate, tape)).transpose()?;
        tape.save_input(input);
        let q = self.prepare(0, q, sequences, tape)?;
        let k = self.prepare(1, k, sequences, tape)?;

        let mut mixed = tape.take(q.len());
        let mut log_sums = tape.take(rows * self.options.query_heads);
        let (shape, scale) = (self.shape(sequences), self.scale());
        attention(shape, scale, [&q, &k, &v], &mut mixed, &mut log_sums)?;
        for buffer in [q, k, v, log_sums] {
            tape.save(buffer);
        }
        tape.save_copy(&mixed);
        if let Some(gate) = gate {
            let mut gated = tape.take(mixed.len());
            gated_attention(&mixed, &gate, &mut gated)?;
            tape.save(gate);
            tape.give(std::mem::replace(&mut mixed, gated));
        }
        if let Some(norm) = &self.options.sub_norm {
            mixed = norm.apply(mixed, tape)?;
        }
        let mut input = Input::new(&self.name, mixed, output.inputs())?;
        let mut y = tape.take(rows * output.outputs());
        output.forward(&mut input, &mut y, tape)?;
        tape.save_input(input);
        Ok(y)
    }

    fn backward(
        &self,
        dy: Vec<T>,
        sequences: Sequences,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        check_rows(&self.name, "gradients of outputs", self.width(), sequences, &dy)?;
        let AttentionProjections { query, key, value, gate, output } = &self.projections;
        let input = tape.restore_input(&self.name)?;
        let mut d_mixed = tape.zeros(sequences.rows() * output.inputs());
        output.backward(&input, &dy, Some(&mut d_mixed), tape, gradients)?;
        tape.recycle(input);
        tape.give(dy);
        if let Some(norm) = &self.options.sub_norm {
            d_mixed = norm.apply_backward(d_mixed, tape, gradients)?;
        }
        let saved_gate = gate.as_ref().map(|_| tape.restore(&self.name)).transpose()?;
        let mixed = tape.restore(&self.name)?;
        let mut d_gate = None;
        if let Some(saved_gate) = saved_gate {
            let (mut d_gated, mut d_gates) = (tape.zeros(mixed.len()), tape.zeros(mixed.len()));
            gated_attention_backward(&mixed, &saved_gate, &d_mixed, &mut d_gated, &mut d_gates)?;
            tape.give(saved_gate);
            tape.give(std::mem::replace(&mut d_mixed, d_gated));
            d_gate = Some(d_gates);
        }

        let log_sums = tape.restore(&self.name)?;
        let v = tape.restore(&self.name)?;
        let k = tape.restore(&self.name)?;
        let q = tape.restore(&self.name)?;
        let mut d_q = tape.zeros(q.len());
        let mut d_k = tape.zeros(k.len());
        let mut d_v = tape.zeros(v.len());
        attention_backward(
            self.shape(sequences),
            mutant!("Attention/scale left out of the backward", self.scale(), T::ONE),
            [&q, &k, &v],
            [&mixed, &log_sums, &d_mixed],
            [&mut d_q, &mut d_k, &mut d_v],
        )?;
        let d_k = self.prepare_backward(1, d_k, sequences, tape, gradients)?;
        let d_q = self.prepare_backward(0, d_q, sequences, tape, gradients)?;

        let input = tape.restore_input(&self.name)?;
        let mut dx = tape.zeros(sequences.rows() * self.width());
        if let (Some(gate), Some(d_gate)) = (gate, &d_gate) {
            gate.backward(&input, d_gate, Some(&mut dx), tape, gradients)?;
        }
        value.backward(&input, &d_v, Some(&mut dx), tape, gradients)?;
        let key_dx = mutant!("Attention/keys left out of dx", Some(&mut dx[..]), None);
        key.backward(&input, &d_k, key_dx, tape, gradients)?;
        query.backward(&input, &d_q, Some(&mut dx), tape, gradients)?;
        tape.recycle(input);
        for buffer in [d_mixed, mixed, log_sums, q, k, v, d_q, d_k, d_v].into_iter().chain(d_gate) {
            tape.give(buffer);
        }
        Ok(dx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;
    use crate::projection::Dense;

    fn layer(heads: [usize; 2], rotary: RotaryTable<f32>) -> Result<Attention<f32>> {
        let mut parameters = Parameters::new();
        let mut dense = |name: &str, shape| -> Result<Box<dyn Projection<f32>>> {
            Ok(Box::new(Dense::random(name, shape, 0.5, 1, &mut parameters)?))
        };
        let projections = AttentionProjections {
            query: dense("q", [heads[0] * 8, 6])?,
            key: dense("k", [heads[1] * 8, 6])?,
            value: dense("v", [heads[1] * 8, 6])?,
            gate: None,
            output: dense("o", [6, heads[0] * 8])?,
        };
        let options = AttentionOptions {
            query_heads: heads[0],
            key_heads: heads[1],
            head_width: 8,
            rotary: Some(Arc::new(rotary)),
            head_norms: None,
            sub_norm: None,
        };
        Attention::new("block.attention", projections, options)
    }

    #[test]
    fn heads_and_angles_that_do_not_fit_are_refused_by_name() {
        let table = |head_width| RotaryTable::new(1e4, head_width, 4, 5).unwrap();
        let error = |heads, width| layer(heads, table(width)).unwrap_err().to_string();
        // Angles of half the width would take each head for two positions.
        let expected = "block.attention: head width of the angles: expected 8, found 4";
        assert_eq!(error([4, 2], 4), expected);
        assert!(error([3, 2], 8).starts_with("block.attention: query heads"));
        assert!(error([2, 0], 8).starts_with("block.attention: key heads"));
    }

    #[test]
    fn a_sequence_beyond_the_angles_is_refused_by_name() {
        let layer = layer([4, 2], RotaryTable::new(1e4, 8, 4, 5).unwrap()).unwrap();
        let run = |length: usize| {
            let sequences = Sequences { count: 2, length };
            layer.forward(vec![0.5; 12 * length], sequences, &mut Tape::inference())
        };
        assert_eq!(run(5).unwrap().len(), 60);
        let expected = "block.attention: positions of the rotary table: expected 6, found 5";
        assert_eq!(run(6).unwrap_err().to_string(), expected);
    }
}
