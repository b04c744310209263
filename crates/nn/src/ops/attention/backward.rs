//! The fast backward: each key head walks pairs of blocks and computes their softmax again.

use ternary_core::mutant;

use super::blocks::{BLOCK, HeadLayout, HeadRows, for_each_chunk, worth_waking};
use super::pair::{Both, Pair, differentiate};
use super::products::Causal;
use super::scratch::{self, Purpose};
use super::shape::{AttentionShape, InputGradients, Inputs, Saved};
use crate::simd::LANES;

/// Where the gradients of a sequence's key head and of the query heads that read it are gathered:
/// blocks [BLOCK, padded] of dk, of dv, then of dq for each query head.
#[derive(Clone, Copy)]
struct Gathered {
    layout: HeadLayout,
    shape: AttentionShape,
}

impl Gathered {
    fn keys(&self) -> usize {
        self.shape.keys.div_ceil(BLOCK) * self.layout.natural()
    }

    fn queries(&self) -> usize {
        self.shape.queries.div_ceil(BLOCK) * self.layout.natural()
    }

    fn length(&self) -> usize {
        2 * self.keys() + self.shape.group() * self.queries()
    }

    /// The numbers of a head in row `row` of a sequence, where the head's rows start at `start`.
    fn row<'a>(&self, all: &'a [f32], key_head: [usize; 2], start: usize, row: usize) -> &'a [f32] {
        let [sequence, head] = key_head;
        let chunk = (sequence * self.shape.key_heads + head) * self.length();
        &all[chunk + start + row * self.layout.padded..][..self.layout.width]
    }
}

pub(super) fn backward(
    inputs: Inputs<'_, f32>,
    saved: Saved<'_, f32>,
    gradients: InputGradients<'_, f32>,
) {
    let shape = inputs.shape;
    if inputs.q.is_empty() {
        return;
    }
    let InputGradients { dq, dk, dv } = gradients;
    let gathered = Gathered { layout: HeadLayout::new(shape.width), shape };
    let parallel = worth_waking(&shape);
    let length = shape.sequences * shape.key_heads * gathered.length();
    scratch::with(Purpose::Call, length, |all| {
        for_each_chunk(parallel, all, gathered.length(), |index, chunk| {
            let head = [index / shape.key_heads, index % shape.key_heads];
            key_head(inputs, saved, head, chunk);
        });
        let all = &*all;
        for_each_chunk(parallel, dq, shape.query_row(), |row, dq| {
            let (sequence, row) = (row / shape.queries, row % shape.queries);
            for (head, dq) in dq.chunks_exact_mut(shape.width).enumerate() {
                let (key_head, member) = (head / shape.group(), head % shape.group());
                let start = 2 * gathered.keys() + member * gathered.queries();
                let from = gathered.row(all, [sequence, key_head], start, row);
                let scale = mutant!("attention/scale forgotten in fast dq", inputs.scale, 1.0);
                for (dq, from) in dq.iter_mut().zip(from) {
                    let before = mutant!("attention/fast dq overwritten", *dq, 0.0);
                    *dq = before + scale * from;
                }
            }
        });
        for (to, start) in [(dk, 0), (dv, gathered.keys())] {
            for_each_chunk(parallel, to, shape.key_row(), |row, to| {
                let (sequence, row) = (row / shape.keys, row % shape.keys);
                for (head, to) in to.chunks_exact_mut(shape.width).enumerate() {
                    let from = gathered.row(all, [sequence, head], start, row);
                    for (to, from) in to.iter_mut().zip(from) {
                        *to += from;
                    }
                }
            });
        }
    });
}

/// The gradients of one key head of a sequence, set in `gathered`.
fn key_head(
    inputs: Inputs<'_, f32>,
    saved: Saved<'_, f32>,
    [sequence, head]: [usize; 2],
    gathered: &mut [f32],
) {
    let shape = inputs.shape;
    let layout = HeadLayout::new(shape.width);
    let sizes = Gathered { layout, shape };
    gathered.fill(0.0);
    let (dk, rest) = gathered.split_at_mut(sizes.keys());
    let (dv, dq) = rest.split_at_mut(sizes.keys());
    let key_block = 2 * layout.transposed() + layout.natural();
    let query_block = 2 * (layout.transposed() + layout.natural() + BLOCK);
    let keys_length = shape.keys.div_ceil(BLOCK) * key_block;
    let queries_length = shape.queries.div_ceil(BLOCK) * query_block;
    scratch::with(Purpose::Task, keys_length + queries_length + 2 * BLOCK * BLOCK, |room| {
        let (keys, room) = room.split_at_mut(keys_length);
        let (queries, room) = room.split_at_mut(queries_length);
        let (weights, d_scores) = room.split_at_mut(BLOCK * BLOCK);
        for (index, block) in keys.chunks_exact_mut(key_block).enumerate() {
            pack_keys(inputs, [sequence, head, index * BLOCK], layout, block);
        }
        for member in 0..shape.group() {
            let query_head = head * shape.group() + member;
            for (index, block) in queries.chunks_exact_mut(query_block).enumerate() {
                pack_queries(inputs, saved, [sequence, query_head, index * BLOCK], layout, block);
            }
            let dq = &mut dq[member * sizes.queries()..][..sizes.queries()];
            let natural = layout.natural();
            let d_keys = dk.chunks_exact_mut(natural).zip(dv.chunks_exact_mut(natural));
            for (j, (keys, (dk, dv))) in keys.chunks_exact(key_block).zip(d_keys).enumerate() {
                let blocks = queries.chunks_exact(query_block).zip(dq.chunks_exact_mut(natural));
                for (i, (queries, dq)) in blocks.enumerate() {
                    let count = (shape.queries - i * BLOCK).min(BLOCK);
                    let position = shape.first_position() + i * BLOCK;
                    if position + count <= j * BLOCK {
                        continue;
                    }
                    let causal = Causal::new(position, j * BLOCK);
                    let (keys, values) = split(keys, layout);
                    let (queries, rest) = split(queries, layout);
                    let (d_out, rest) = split(rest, layout);
                    let (log_sums, d) = rest.split_at(BLOCK);
                    differentiate(&mut Pair {
                        layout,
                        causal,
                        count,
                        keys,
                        values,
                        queries,
                        d_out,
                        log_sums,
                        d,
                        weights,
                        d_scores,
                        dq,
                        dk,
                        dv,
                    });
                }
            }
        }
    });
}

/// The block in both forms that `packed` starts with, and the rest.
fn split(packed: &[f32], layout: HeadLayout) -> (Both<'_>, &[f32]) {
    let (transposed, rest) = packed.split_at(layout.transposed());
    let (natural, rest) = rest.split_at(layout.natural());
    (Both { transposed, natural }, rest)
}

/// The block of keys from `first` on: in both forms, then the values transposed.
fn pack_keys(
    inputs: Inputs<'_, f32>,
    [sequence, head, first]: [usize; 3],
    layout: HeadLayout,
    block: &mut [f32],
) {
    let shape = inputs.shape;
    let rows = [sequence * shape.keys + first, (sequence + 1) * shape.keys];
    let heads = [head, shape.key_heads];
    let (transposed, rest) = block.split_at_mut(layout.transposed());
    let (natural, values) = rest.split_at_mut(layout.natural());
    // The natural form is that of the values first.
    HeadRows::block(inputs.v, rows, heads, shape.width).copy_both(1.0, natural, values);
    HeadRows::block(inputs.k, rows, heads, shape.width).copy_both(1.0, natural, transposed);
}

/// The block of queries from `first` on, times the scale, and of the outputs' gradient, each in both
/// forms; then the log-sums and D.
fn pack_queries(
    inputs: Inputs<'_, f32>,
    saved: Saved<'_, f32>,
    [sequence, head, first]: [usize; 3],
    layout: HeadLayout,
    block: &mut [f32],
) {
    let shape = inputs.shape;
    let rows = [sequence * shape.queries + first, (sequence + 1) * shape.queries];
    let heads = [head, shape.query_heads];
    let sources = [(inputs.q, inputs.scale), (saved.d_out, 1.0)];
    let both = layout.transposed() + layout.natural();
    let (blocks, numbers) = block.split_at_mut(2 * both);
    for ((values, factor), block) in sources.into_iter().zip(blocks.chunks_exact_mut(both)) {
        let (transposed, natural) = block.split_at_mut(layout.transposed());
        let values = HeadRows::block(values, rows, heads, shape.width);
        values.copy_both(factor, natural, transposed);
    }
    let (log_sums, d) = numbers.split_at_mut(BLOCK);
    let out = HeadRows::block(saved.out, rows, heads, shape.width);
    let d_out = HeadRows::block(saved.d_out, rows, heads, shape.width);
    log_sums.fill(0.0);
    d.fill(0.0);
    for row in 0..out.rows {
        let stale = mutant!("attention/fast log-sums one row late", 0, 1);
        let from = (rows[0] + row).saturating_sub(stale);
        log_sums[row] = saved.log_sums[from * shape.query_heads + head];
        let sum = dot(out.row(row), d_out.row(row));
        d[row] = mutant!("attention/fast D missing", sum, 0.0);
    }
}

/// ⟨a, b⟩ in sixteen chains.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}
