//! The fast forward: a block of queries walks the blocks of keys with a running maximum and sum.

use std::ops::Range;

use super::blocks::{BLOCK, HeadLayout, HeadRows, for_each_chunk, for_each_pair, worth_waking};
use super::products::{Causal, Left, Right, accumulate, scores};
use super::scratch::{self, Purpose};
use super::shape::{AttentionShape, Inputs};
use crate::simd::{LANES, Lanes, exp, simd_function};

/// A block of keys and values of one head as the forward reads it: [width, BLOCK], then [BLOCK, padded].
fn key_block_length(layout: HeadLayout) -> usize {
    layout.transposed() + layout.natural()
}

/// A block of queries of one head on its way over the keys.
struct QueryBlock<'a> {
    layout: HeadLayout,
    /// Queries in the block.
    count: usize,
    /// The position of the first.
    position: usize,
    /// Blocks of keys and values, see [`key_block_length`].
    key_blocks: &'a [f32],
    /// [width, BLOCK], times the scale.
    queries: &'a [f32],
    /// Room for [key, query].
    scores: &'a mut [f32],
    /// Σ exp(score − largest) · value for each query, [BLOCK, padded].
    sums: &'a mut [f32],
    /// The largest score of each query so far.
    largest: &'a mut [f32],
    /// Σ exp(score − largest).
    totals: &'a mut [f32],
    /// What the last block of keys made of the sums before it.
    factors: &'a mut [f32],
}

pub(super) fn forward(inputs: Inputs<'_, f32>, out: &mut [f32], log_sums: &mut [f32]) {
    let shape = inputs.shape;
    if out.is_empty() {
        return;
    }
    let layout = HeadLayout::new(shape.width);
    let block_length = key_block_length(layout);
    let blocks = shape.keys.div_ceil(BLOCK);
    let parallel = worth_waking(&shape);
    let length = shape.sequences * shape.key_heads * blocks * block_length;
    scratch::with(Purpose::Call, length, |keys| {
        for_each_chunk(parallel, keys, block_length, |index, chunk| {
            let (row, block) = (index / blocks, index % blocks);
            let (sequence, head) = (row / shape.key_heads, row % shape.key_heads);
            let first = sequence * shape.keys;
            let rows = [first + block * BLOCK, first + shape.keys];
            let heads = [head, shape.key_heads];
            let (transposed, natural) = chunk.split_at_mut(layout.transposed());
            // The place of the values holds the keys first.
            HeadRows::block(inputs.k, rows, heads, shape.width).copy_both(1.0, natural, transposed);
            HeadRows::block(inputs.v, rows, heads, shape.width).copy(1.0, natural);
        });
        let keys = &*keys;
        let rows = BLOCK.min(shape.queries);
        let sequence = |index: usize, out: &mut [f32], log_sums: &mut [f32]| {
            let each = keys.len() / shape.sequences;
            let keys = &keys[index * each..][..each];
            let block = |block: usize, out: &mut [f32], log_sums: &mut [f32]| {
                attend_rows(inputs, [index, block * rows], keys, out, log_sums);
            };
            let lengths = (rows * shape.query_row(), rows * shape.query_heads);
            for_each_pair(parallel, (out, log_sums), lengths, block);
        };
        let lengths = (shape.queries * shape.query_row(), shape.queries * shape.query_heads);
        for_each_pair(parallel, (out, log_sums), lengths, sequence);
    });
}

/// All heads of a block of queries, `first ..` of a sequence, whose outputs are `out`.
fn attend_rows(
    inputs: Inputs<'_, f32>,
    [sequence, first]: [usize; 2],
    keys: &[f32],
    out: &mut [f32],
    log_sums: &mut [f32],
) {
    let shape = inputs.shape;
    let layout = HeadLayout::new(shape.width);
    let count = out.len() / shape.query_row();
    let row = sequence * shape.queries + first;
    let room = layout.transposed() + BLOCK * BLOCK + layout.natural() + 3 * BLOCK;
    scratch::with(Purpose::Task, room, |room| {
        let (queries, room) = room.split_at_mut(layout.transposed());
        let (scores, room) = room.split_at_mut(BLOCK * BLOCK);
        let (sums, room) = room.split_at_mut(layout.natural());
        let (largest, room) = room.split_at_mut(BLOCK);
        let (totals, factors) = room.split_at_mut(BLOCK);
        for head in 0..shape.query_heads {
            let heads = [head, shape.query_heads];
            // The place of the sums holds the queries first.
            HeadRows::block(inputs.q, [row, row + count], heads, shape.width).copy_both(
                inputs.scale,
                sums,
                queries,
            );
            let key_head = head / shape.group();
            let mut block = QueryBlock {
                layout,
                count,
                position: shape.first_position() + first,
                key_blocks: &keys[head_range(&shape, keys.len(), key_head)],
                queries,
                scores,
                sums,
                largest,
                totals,
                factors,
            };
            attend(&mut block);
            block.finish(heads, out, log_sums);
        }
    });
}

/// The blocks of a key head among those of its sequence.
fn head_range(shape: &AttentionShape, length: usize, head: usize) -> Range<usize> {
    let each = length / shape.key_heads;
    head * each..(head + 1) * each
}

simd_function! {
    /// Sets the sums, the largest scores and the totals.
    fn attend(block: &mut QueryBlock<'_>) = attend_lanes;
}

/// # Safety
/// The processor has the instruction set of `L`.
#[inline(always)]
unsafe fn attend_lanes<L: Lanes>(block: &mut QueryBlock<'_>) {
    // SAFETY: passed on from the caller.
    unsafe {
        match L::TILE {
            (12, 2) => block.attend::<L, 12, 2>(),
            (6, 1) => block.attend::<L, 6, 1>(),
            _ => block.attend::<L, 4, 1>(),
        }
    }
}

impl QueryBlock<'_> {
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    unsafe fn attend<L: Lanes, const ROWS: usize, const VECTORS: usize>(&mut self) {
        self.sums.fill(0.0);
        self.largest.fill(f32::NEG_INFINITY);
        self.totals.fill(0.0);
        let end = self.position + self.count;
        let length = key_block_length(self.layout);
        for (index, keys) in self.key_blocks.chunks_exact(length).enumerate() {
            if index * BLOCK >= end {
                break;
            }
            let causal = Causal::new(self.position, index * BLOCK);
            let (keys, values) = keys.split_at(self.layout.transposed());
            let vectors = self.count.div_ceil(LANES);
            let mut vector = 0;
            // SAFETY: passed on from the caller.
            unsafe {
                while vector < vectors {
                    if vector + VECTORS <= vectors {
                        self.weigh::<L, ROWS, VECTORS>(keys, causal, vector * LANES);
                        vector += VECTORS;
                    } else {
                        self.weigh::<L, ROWS, 1>(keys, causal, vector * LANES);
                        vector += 1;
                    }
                }
                let values = Right { values, stride: self.layout.padded };
                for row in (0..self.count).step_by(ROWS) {
                    accumulate::<L, ROWS, VECTORS, 1, BLOCK>(
                        Left(&self.scores[row..]),
                        values,
                        0..causal.keys_before((row + ROWS).min(self.count)),
                        Some(&self.factors[row..]),
                        &mut self.sums[row * self.layout.padded..],
                    );
                }
            }
        }
    }

    /// Scores of queries `first ..` against a block of keys, then exp(score − largest) in their place.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    unsafe fn weigh<L: Lanes, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        keys: &[f32],
        causal: Causal,
        first: usize,
    ) {
        let end = causal.keys_before(first + VECTORS * LANES);
        // SAFETY: passed on from the caller.
        unsafe {
            scores::<L, ROWS, VECTORS>(
                keys,
                &self.queries[first..],
                end,
                &mut self.scores[first..],
            );
            for vector in 0..VECTORS {
                self.exponentiate::<L>(causal, first + vector * LANES, end);
            }
        }
        // A tile of rows may reach into the next vectors, whose queries see further.
        for key in end..(end + ROWS).min(BLOCK) {
            self.scores[key * BLOCK + first..][..VECTORS * LANES].fill(0.0);
        }
    }

    /// One vector of queries: the largest score, what it makes of the sums so far, and the weights.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    unsafe fn exponentiate<L: Lanes>(&mut self, causal: Causal, first: usize, end: usize) {
        let seen_by_all = causal.keys_before(first + 1).min(end);
        assert!(first + LANES <= BLOCK && end <= BLOCK && self.scores.len() >= BLOCK * BLOCK);
        assert!(self.largest.len().min(self.totals.len()).min(self.factors.len()) >= BLOCK);
        // SAFETY: the caller has the features; all that is read and written is inside by the assertions.
        unsafe {
            let scores = self.scores.as_mut_ptr().add(first);
            let before = L::read(self.largest.as_ptr().add(first));
            let mut largest = before;
            for key in 0..seen_by_all {
                largest = largest.max(L::read(scores.add(key * BLOCK)));
            }
            for key in seen_by_all..end {
                let score = L::read(scores.add(key * BLOCK));
                largest = largest.max(causal.select([first, key], score, f32::NEG_INFINITY));
            }
            let factor = exp(before.sub(largest));
            let mut total = L::read(self.totals.as_ptr().add(first)).mul(factor);
            for key in 0..seen_by_all {
                let weight = exp(L::read(scores.add(key * BLOCK)).sub(largest));
                weight.write(scores.add(key * BLOCK));
                total = total.add(weight);
            }
            for key in seen_by_all..end {
                let weight = exp(L::read(scores.add(key * BLOCK)).sub(largest));
                let weight = causal.select([first, key], weight, 0.0);
                weight.write(scores.add(key * BLOCK));
                total = total.add(weight);
            }
            largest.write(self.largest.as_mut_ptr().add(first));
            total.write(self.totals.as_mut_ptr().add(first));
            factor.write(self.factors.as_mut_ptr().add(first));
        }
    }

    /// Divides by the totals and writes the rows of a head.
    fn finish(&self, [head, heads]: [usize; 2], out: &mut [f32], log_sums: &mut [f32]) {
        let width = self.layout.width;
        let sums = self.sums.chunks_exact(self.layout.padded);
        let rows = out.chunks_exact_mut(heads * width).zip(log_sums.chunks_exact_mut(heads));
        for (query, ((out, log_sums), sums)) in rows.zip(sums).enumerate() {
            let inverse = 1.0 / self.totals[query];
            for (out, sum) in out[head * width..][..width].iter_mut().zip(sums) {
                // A zero is positive whatever products of zero came into its sum.
                *out = sum * inverse + 0.0;
            }
            log_sums[head] = self.largest[query] + self.totals[query].ln();
        }
    }
}
