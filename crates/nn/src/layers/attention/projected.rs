//! What lies around the attention of a layer: projections with head norms and angles before it, the gate, the inner
//! norm and the output projection after it.

use ternary_core::{Real, mutant};

use super::{Attention, AttentionGate, AttentionProjections};
use crate::compute::Compute;
use crate::error::Result;
use crate::gradients::Gradients;
use crate::input::Input;
use crate::layers::Sequences;
use crate::ops::{gated_attention, gated_attention_backward, rope, rope_backward};
use crate::projection::Projection;
use crate::tape::Tape;

/// What attention is computed of, or the gradients of that.
#[derive(Debug)]
pub(super) struct Projected<T> {
    pub(super) queries: Vec<T>,
    pub(super) keys: Vec<T>,
    pub(super) values: Vec<T>,
    pub(super) gates: Option<Vec<T>>,
}

/// What attention gave, with its gradient and that of the gates.
#[derive(Debug)]
pub(super) struct Mixed<T> {
    pub(super) mixed: Vec<T>,
    pub(super) d_mixed: Vec<T>,
    pub(super) d_gates: Option<Vec<T>>,
}

impl<T: Compute> Attention<T> {
    /// Queries, keys, values and gates of rows whose sequences go on at position `start`.
    pub(super) fn project(
        &self,
        x: Vec<T>,
        sequences: Sequences,
        start: usize,
        tape: &mut Tape<T>,
    ) -> Result<Projected<T>> {
        let AttentionProjections { query, key, value, gate, .. } = &self.projections;
        let rows = sequences.rows();
        let mut input = Input::new(&self.name, x, query.inputs())?;
        let mut project = |projection: &dyn Projection<T>, tape: &mut Tape<T>| {
            let mut y = tape.take(rows * projection.outputs());
            projection.forward(&mut input, &mut y, tape).map(|()| y)
        };
        let mut queries = project(&**query, tape)?;
        let keys = project(&**key, tape)?;
        // The backward takes them in reverse order, and begins with the values.
        let gates = match gate {
            AttentionGate::None => None,
            AttentionGate::Own(gate) => Some(project(&**gate, tape)?),
            AttentionGate::InQuery => {
                let [own, gates] = part(&queries, self.options.head_width, tape);
                tape.give(std::mem::replace(&mut queries, own));
                Some(gates)
            }
        };
        let values = project(&**value, tape)?;
        tape.save_input(input);
        let queries = self.prepare(0, queries, sequences, start, tape)?;
        let keys = self.prepare(1, keys, sequences, start, tape)?;
        Ok(Projected { queries, keys, values, gates })
    }

    /// The gradient of the rows, from those of what they were projected to.
    pub(super) fn project_backward(
        &self,
        gradients_of: Projected<T>,
        sequences: Sequences,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        let AttentionProjections { query, key, value, gate, .. } = &self.projections;
        let Projected { queries: d_q, keys: d_k, values: d_v, gates: d_gates } = gradients_of;
        let d_k = self.prepare_backward(1, d_k, sequences, tape, gradients)?;
        let mut d_q = self.prepare_backward(0, d_q, sequences, tape, gradients)?;
        let input = tape.restore_input(&self.name)?;
        let mut dx = tape.take(sequences.rows() * query.inputs());
        value.backward_setting(&input, &d_v, &mut dx, tape, gradients)?;
        if let Some(d_gates) = d_gates {
            match gate {
                AttentionGate::Own(gate) => {
                    gate.backward(&input, &d_gates, Some(&mut dx), tape, gradients)?;
                }
                _ => {
                    let gates = mutant!("Attention/query for its gate", &d_gates, &d_q);
                    let joined = join([&d_q, gates], self.options.head_width, tape);
                    tape.give(std::mem::replace(&mut d_q, joined));
                }
            }
            tape.give(d_gates);
        }
        let key_dx = mutant!("Attention/keys left out of dx", Some(&mut dx[..]), None);
        key.backward(&input, &d_k, key_dx, tape, gradients)?;
        query.backward(&input, &d_q, Some(&mut dx), tape, gradients)?;
        tape.recycle(input);
        for buffer in [d_q, d_k, d_v] {
            tape.give(buffer);
        }
        Ok(dx)
    }

    /// The rows that leave the layer, from what attention gave.
    pub(super) fn output(
        &self,
        mut mixed: Vec<T>,
        gates: Option<Vec<T>>,
        tape: &mut Tape<T>,
    ) -> Result<Vec<T>> {
        let output = &self.projections.output;
        let rows = mixed.len() / output.inputs();
        tape.save_copy(&mixed);
        if let Some(gates) = gates {
            let mut gated = tape.take(mixed.len());
            gated_attention(&mixed, &gates, &mut gated)?;
            tape.save(gates);
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

    /// The backward of [`Self::output`].
    pub(super) fn output_backward(
        &self,
        dy: Vec<T>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Mixed<T>> {
        let AttentionProjections { gate, output, .. } = &self.projections;
        let input = tape.restore_input(&self.name)?;
        let mut d_mixed = tape.take(input.rows() * output.inputs());
        output.backward_setting(&input, &dy, &mut d_mixed, tape, gradients)?;
        tape.recycle(input);
        tape.give(dy);
        if let Some(norm) = &self.options.sub_norm {
            d_mixed = norm.apply_backward(d_mixed, tape, gradients)?;
        }
        if matches!(gate, AttentionGate::None) {
            return Ok(Mixed { mixed: tape.restore(&self.name)?, d_mixed, d_gates: None });
        }
        let gates = tape.restore(&self.name)?;
        let mixed = tape.restore(&self.name)?;
        let (mut d_gated, mut d_gates) = (tape.take(mixed.len()), tape.take(mixed.len()));
        gated_attention_backward(&mixed, &gates, &d_mixed, &mut d_gated, &mut d_gates)?;
        tape.give(gates);
        tape.give(d_mixed);
        Ok(Mixed { mixed, d_mixed: d_gated, d_gates: Some(d_gates) })
    }

    /// Norm and angles of the queries (0) or the keys (1).
    fn prepare(
        &self,
        which: usize,
        x: Vec<T>,
        sequences: Sequences,
        start: usize,
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
            rope(table, heads, start, x, turned)?;
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
            let mut turned = tape.take(dx.len());
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

/// The first and the second half of each head of twice `width` numbers.
fn part<T: Real>(heads: &[T], width: usize, tape: &mut Tape<T>) -> [Vec<T>; 2] {
    let mut halves = [(); 2].map(|()| tape.take(heads.len() / 2));
    let [first, second] = &mut halves;
    let places = first.chunks_mut(width).zip(second.chunks_mut(width));
    for (head, (first, second)) in heads.chunks(2 * width).zip(places) {
        first.copy_from_slice(&head[..width]);
        second.copy_from_slice(&head[width..]);
    }
    halves
}

/// The heads that [`part`] parted.
fn join<T: Real>([first, second]: [&[T]; 2], width: usize, tape: &mut Tape<T>) -> Vec<T> {
    let mut heads = tape.take(2 * first.len());
    let halves = first.chunks(width).zip(second.chunks(width));
    for (head, (first, second)) in heads.chunks_mut(2 * width).zip(halves) {
        head[..width].copy_from_slice(first);
        head[width..].copy_from_slice(second);
    }
    heads
}
