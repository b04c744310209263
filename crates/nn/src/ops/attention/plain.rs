//! Attention in plain code over any floating type, a query at a time: what the gradient check runs.

use ternary_core::{Real, mutant};

use super::shape::{AttentionShape, InputGradients, Inputs, Saved};
use crate::ops::vector::{add_scaled, inner};

/// A query of one head: where its numbers lie, and those of the first key that it sees.
struct Query {
    /// Index into the log-sums.
    index: usize,
    /// Start of its numbers in `q`.
    start: usize,
    /// Start of the numbers of key 0 in `k`.
    first_key: usize,
    /// Keys that it sees.
    visible: usize,
}

impl AttentionShape {
    /// Every query of every head.
    fn each_query(self) -> impl Iterator<Item = Query> {
        let rows = (0..self.sequences).flat_map(move |s| (0..self.queries).map(move |i| (s, i)));
        rows.flat_map(move |(sequence, i)| {
            (0..self.query_heads).map(move |head| {
                let index = (sequence * self.queries + i) * self.query_heads + head;
                let key_head = head / self.group();
                Query {
                    index,
                    start: index * self.width,
                    first_key: sequence * self.keys * self.key_row() + key_head * self.width,
                    visible: self.first_position() + i + 1,
                }
            })
        })
    }
}

impl Query {
    /// The ranges of the visible keys' numbers in `k`, ascending.
    fn keys(&self, shape: &AttentionShape) -> impl Iterator<Item = std::ops::Range<usize>> {
        let (width, first, row) = (shape.width, self.first_key, shape.key_row());
        (0..self.visible).map(move |j| first + j * row..first + j * row + width)
    }
}

pub(super) fn forward<T: Real>(inputs: Inputs<'_, T>, out: &mut [T], log_sums: &mut [T]) {
    let Inputs { shape, scale, q, k, v } = inputs;
    for query in shape.each_query() {
        let numbers = query.start..query.start + shape.width;
        let (q, out) = (&q[numbers.clone()], &mut out[numbers]);
        let largest =
            query.keys(&shape).map(|key| scale * inner(q, &k[key])).fold(-T::MAX, Real::max);
        let mut sum = T::ZERO;
        out.fill(T::ZERO);
        for key in query.keys(&shape) {
            let p = (scale * inner(q, &k[key.clone()]) - largest).exp();
            sum += p;
            add_scaled(out, p, &v[key]);
        }
        out.iter_mut().for_each(|out| *out /= sum);
        log_sums[query.index] = largest + sum.ln();
    }
}

pub(super) fn backward<T: Real>(
    inputs: Inputs<'_, T>,
    saved: Saved<'_, T>,
    gradients: InputGradients<'_, T>,
) {
    let Inputs { shape, scale, q, k, v } = inputs;
    let InputGradients { dq, dk, dv } = gradients;
    for found in shape.each_query() {
        let query = mutant!(
            "attention/key head of another group",
            found,
            Query { first_key: found.first_key / shape.key_row() * shape.key_row(), ..found }
        );
        let numbers = query.start..query.start + shape.width;
        let q = &q[numbers.clone()];
        let dq = mutant!("attention/dq overwritten", &mut dq[numbers.clone()], {
            dq[numbers.clone()].fill(T::ZERO);
            &mut dq[numbers.clone()]
        });
        let (out, d_out) = (&saved.out[numbers.clone()], &saved.d_out[numbers]);
        let log_sum =
            saved.log_sums[mutant!("attention/log-sum of the first query", query.index, 0)];
        let d = mutant!("attention/D missing", inner(d_out, out), T::ZERO);
        for key in query.keys(&shape) {
            let p = (scale * inner(q, &k[key.clone()]) - log_sum).exp();
            let ds = p * (inner(d_out, &v[key.clone()]) - d);
            add_scaled(dq, scale * ds, &k[key.clone()]);
            let ds_scaled = mutant!("attention/scale forgotten in dk", scale * ds, ds);
            add_scaled(&mut dk[key.clone()], ds_scaled, q);
            let weight = mutant!("attention/dv of the gradient of the scores", p, ds);
            add_scaled(&mut dv[key], weight, d_out);
        }
    }
}
