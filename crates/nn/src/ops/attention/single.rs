//! The forward of a single query of a sequence, as decoding has it: keys and values are read where they lie.
//!
//! Packing blocks of queries and keys, as [`forward`](super::forward) does, pays where many queries meet them. One
//! query meets each number once, so the keys are turned a block at a time, only as many as there are, and the values not
//! at all. All sums are the chains of that module: a score is one over the width, a total and an output are
//! one over the keys, with the maximum of the scores taken anew for each block of keys.

use super::blocks::{BLOCK, for_each_pair, worth_waking};
use super::products::{Left, Right, tile};
use super::scratch::{self, Purpose};
use super::shape::Inputs;
use crate::simd::{LANES, Lanes, exp, simd_function};

/// The query heads that share a key head.
struct Group<'a> {
    /// [heads, width], times the scale.
    queries: &'a [f32],
    /// From the first number of the key head on; a key starts every `stride` numbers.
    keys: &'a [f32],
    /// The same of the values.
    values: &'a [f32],
    stride: usize,
    width: usize,
    /// How many keys there are.
    count: usize,
    /// Room for a block of keys, [width, BLOCK].
    turned: &'a mut [f32],
    /// Room for the numbers of a block of values that fill no vector, [BLOCK, LANES].
    rest: &'a mut [f32],
    /// Room for the scores of a head.
    scores: &'a mut [f32],
    /// Σ exp(score − largest) · value for each head, [heads, padded].
    sums: &'a mut [f32],
    /// The largest score of each head so far.
    largest: &'a mut [f32],
    /// Σ exp(score − largest).
    totals: &'a mut [f32],
}

/// The forward of a shape with one query for each sequence.
pub(super) fn forward(inputs: Inputs<'_, f32>, out: &mut [f32], log_sums: &mut [f32]) {
    let shape = inputs.shape;
    if out.is_empty() {
        return;
    }
    let lengths = (shape.group() * shape.width, shape.group());
    for_each_pair(worth_waking(&shape), (out, log_sums), lengths, |index, out, log_sums| {
        attend_group(inputs, index, out, log_sums);
    });
}

/// The query heads of key head `index`, counted over all sequences.
fn attend_group(inputs: Inputs<'_, f32>, index: usize, out: &mut [f32], log_sums: &mut [f32]) {
    let Inputs { shape, scale, q, k, v } = inputs;
    let (width, heads, stride) = (shape.width, shape.group(), shape.key_row());
    let padded = width.next_multiple_of(LANES);
    let (sequence, head) = (index / shape.key_heads, index % shape.key_heads);
    let keys = sequence * shape.keys * stride + head * width..(sequence + 1) * shape.keys * stride;
    let lengths =
        [heads * width, width * BLOCK, BLOCK * LANES, BLOCK, heads * padded, heads, heads];
    scratch::with(Purpose::Task, lengths.iter().sum(), |mut room| {
        let parts = lengths.map(|length| room.split_off_mut(..length).unwrap_or_default());
        let [queries, turned, rest, scores, sums, largest, totals] = parts;
        for (query, &q) in queries.iter_mut().zip(&q[index * heads * width..]) {
            *query = scale * q;
        }
        let (keys, values) = (&k[keys.clone()], &v[keys]);
        let count = shape.keys;
        let mut group = Group {
            queries,
            keys,
            values,
            stride,
            width,
            count,
            turned,
            rest,
            scores,
            sums,
            largest,
            totals,
        };
        attend(&mut group);
        group.finish(out, log_sums);
    });
}

simd_function! {
    /// Sets the sums, the largest scores and the totals.
    fn attend(group: &mut Group<'_>) = attend_lanes;
}

/// # Safety
/// The processor has the instruction set of `L`.
#[inline(always)]
unsafe fn attend_lanes<L: Lanes>(group: &mut Group<'_>) {
    group.sums.fill(0.0);
    group.largest.fill(f32::NEG_INFINITY);
    group.totals.fill(0.0);
    for first in (0..group.count).step_by(BLOCK) {
        let count = (group.count - first).min(BLOCK);
        // SAFETY: passed on from the caller.
        unsafe {
            group.turn::<L>(first, count);
            group.copy_rest(first, count);
            for head in 0..group.totals.len() {
                group.score::<L>(head, count);
                let factor = group.weigh::<L>(head, count);
                group.mix::<L>(head, factor, first, count);
            }
        }
    }
}

impl Group<'_> {
    /// Turns keys `first ..`, with zeros up to a whole vector of them.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    unsafe fn turn<L: Lanes>(&mut self, first: usize, count: usize) {
        let mut square = [0.0; LANES * LANES];
        for key in (0..count).step_by(LANES) {
            for column in (0..self.width).step_by(LANES) {
                let (keys, columns) = ((count - key).min(LANES), (self.width - column).min(LANES));
                let start = (first + key) * self.stride + column;
                let to = &mut self.turned[column * BLOCK + key..];
                assert!(to.len() >= (columns - 1) * BLOCK + LANES);
                let from = &self.keys[start..];
                let (from, stride) = if keys == LANES && columns == LANES {
                    assert!(from.len() >= (LANES - 1) * self.stride + LANES);
                    (from.as_ptr(), self.stride)
                } else {
                    for (row, square) in square.chunks_exact_mut(LANES).enumerate() {
                        square.fill(0.0);
                        if row < keys {
                            let from = &from[row * self.stride..][..columns];
                            square[..columns].copy_from_slice(from);
                        }
                    }
                    (square.as_ptr(), LANES)
                };
                // SAFETY: the caller has the features; sixteen rows are readable and as many columns writable
                // by the assertions, or because the square holds sixteen rows.
                unsafe { L::transpose(from, stride, columns, to.as_mut_ptr(), BLOCK) }
            }
        }
    }

    /// Copies the numbers of values `first ..` that fill no vector.
    fn copy_rest(&mut self, first: usize, count: usize) {
        let (whole, width) = (self.width / LANES * LANES, self.width % LANES);
        if width == 0 {
            return;
        }
        for (value, to) in self.rest.chunks_exact_mut(LANES).enumerate().take(count) {
            let start = (first + value) * self.stride + whole;
            to[..width].copy_from_slice(&self.values[start..start + width]);
            to[width..].fill(0.0);
        }
    }

    /// The scores of a head against the keys that are turned; −∞ up to a whole vector of them.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    unsafe fn score<L: Lanes>(&mut self, head: usize, count: usize) {
        let vectors = count.div_ceil(LANES);
        let mut vector = 0;
        // SAFETY: passed on from the caller.
        unsafe {
            while vector < vectors {
                if vector + 3 <= vectors {
                    self.score_vectors::<L, 3>(head, vector);
                    vector += 3;
                } else {
                    self.score_vectors::<L, 1>(head, vector);
                    vector += 1;
                }
            }
        }
        self.scores[count..vectors * LANES].fill(f32::NEG_INFINITY);
    }

    /// [`score`](Self::score) for `VECTORS` vectors of keys.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    unsafe fn score_vectors<L: Lanes, const VECTORS: usize>(&mut self, head: usize, first: usize) {
        let query = Left::<1, 1>(&self.queries[head * self.width..][..self.width]);
        let keys = Right { values: &self.turned[first * LANES..], stride: BLOCK };
        let to = &mut self.scores[first * LANES..][..VECTORS * LANES];
        // SAFETY: the caller has the features; what is written has room for `VECTORS` vectors.
        unsafe {
            let zeros = [[L::splat(0.0); VECTORS]];
            let [sums] = tile::<L, 1, VECTORS, 1, 1>(query, keys, 0..self.width, zeros);
            for vector in 0..VECTORS {
                sums[vector].write(to.as_mut_ptr().add(vector * LANES));
            }
        }
    }

    /// Puts exp(score − largest) in the place of the scores of a head, adds them to its total, and returns what its sums
    /// so far are to be multiplied by.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    unsafe fn weigh<L: Lanes>(&mut self, head: usize, count: usize) -> f32 {
        let scores = &mut self.scores[..count.next_multiple_of(LANES)];
        let before = self.largest[head];
        // SAFETY: the caller has the features; chunks are whole vectors.
        let factor = unsafe {
            let mut largest = L::splat(before);
            for scores in scores.chunks_exact(LANES) {
                largest = largest.max(L::read(scores.as_ptr()));
            }
            let largest = largest.largest();
            self.largest[head] = largest;
            let largest = L::splat(largest);
            for scores in scores.chunks_exact_mut(LANES) {
                exp(L::read(scores.as_ptr()).sub(largest)).write(scores.as_mut_ptr());
            }
            exp(L::splat(before).sub(largest)).to_array()[0]
        };
        let total = self.totals[head] * factor;
        self.totals[head] = scores[..count].iter().fold(total, |total, weight| total + weight);
        factor
    }

    /// sums = factor · sums + Σ weight · value over values `first ..`.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    unsafe fn mix<L: Lanes>(&mut self, head: usize, factor: f32, first: usize, count: usize) {
        let (whole, padded) = (self.width / LANES, self.width.next_multiple_of(LANES));
        let weights = &self.scores[..count];
        let values = &self.values[first * self.stride..];
        let sums = &mut self.sums[head * padded..][..padded];
        let mut vector = 0;
        // SAFETY: passed on from the caller.
        unsafe {
            while vector < whole {
                let (from, to) = (vector * LANES, &mut sums[vector * LANES..]);
                let values = Right { values: &values[from..], stride: self.stride };
                if vector + 4 <= whole {
                    mix_vectors::<L, 4>(factor, weights, values, to);
                    vector += 4;
                } else {
                    mix_vectors::<L, 1>(factor, weights, values, to);
                    vector += 1;
                }
            }
            if whole * LANES < padded {
                let rest = Right { values: self.rest, stride: LANES };
                mix_vectors::<L, 1>(factor, weights, rest, &mut sums[whole * LANES..]);
            }
        }
    }

    /// Divides by the totals and writes the rows of the heads.
    fn finish(&self, out: &mut [f32], log_sums: &mut [f32]) {
        let sums = self.sums.chunks_exact(self.width.next_multiple_of(LANES));
        let rows = out.chunks_exact_mut(self.width).zip(log_sums);
        for (head, ((out, log_sum), sums)) in rows.zip(sums).enumerate() {
            let inverse = 1.0 / self.totals[head];
            for (out, sum) in out.iter_mut().zip(sums) {
                // A zero is positive whatever products of zero came into its sum.
                *out = sum * inverse + 0.0;
            }
            *log_sum = self.largest[head] + self.totals[head].ln();
        }
    }
}

/// sums = factor · sums + Σ weight · value for `VECTORS` vectors.
///
/// # Safety
/// The processor has the instruction set of `L`.
#[inline(always)]
unsafe fn mix_vectors<L: Lanes, const VECTORS: usize>(
    factor: f32,
    weights: &[f32],
    values: Right<'_>,
    sums: &mut [f32],
) {
    let sums = &mut sums[..VECTORS * LANES];
    // SAFETY: the caller has the features; what is read and written are `VECTORS` vectors.
    unsafe {
        let mut vectors = [[L::splat(0.0); VECTORS]];
        for (vector, sums) in vectors[0].iter_mut().zip(sums.chunks_exact(LANES)) {
            *vector = L::read(sums.as_ptr()).mul(L::splat(factor));
        }
        let steps = 0..weights.len();
        let [vectors] = tile::<L, 1, VECTORS, 1, 1>(Left(weights), values, steps, vectors);
        for (vector, sums) in vectors.into_iter().zip(sums.chunks_exact_mut(LANES)) {
            vector.write(sums.as_mut_ptr());
        }
    }
}
