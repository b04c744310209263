//! What a pair of blocks, one of keys and one of queries, adds to the gradients.

use super::blocks::{BLOCK, HeadLayout};
use super::products::{Causal, Left, Right, accumulate, d_scores, scores};
use crate::simd::{LANES, Lanes, exp, simd_function};

/// A block of one head as the backward reads it: transposed [width, BLOCK] and natural [BLOCK, padded].
#[derive(Clone, Copy)]
pub(super) struct Both<'a> {
    pub(super) transposed: &'a [f32],
    pub(super) natural: &'a [f32],
}

/// A block of queries and one of keys of one head.
pub(super) struct Pair<'a> {
    pub(super) layout: HeadLayout,
    pub(super) causal: Causal,
    /// Queries in the block.
    pub(super) count: usize,
    pub(super) keys: Both<'a>,
    /// Values, transposed.
    pub(super) values: &'a [f32],
    /// Times the scale.
    pub(super) queries: Both<'a>,
    pub(super) d_out: Both<'a>,
    pub(super) log_sums: &'a [f32],
    /// ⟨d_out, out⟩ for each query.
    pub(super) d: &'a [f32],
    /// Room for P as [key, query].
    pub(super) weights: &'a mut [f32],
    /// Room for dS as [key, query].
    pub(super) d_scores: &'a mut [f32],
    /// What is added to, [BLOCK, padded] each; dq still lacks the scale.
    pub(super) dq: &'a mut [f32],
    pub(super) dk: &'a mut [f32],
    pub(super) dv: &'a mut [f32],
}

simd_function! {
    /// Adds to dq, dk and dv.
    pub(super) fn differentiate(pair: &mut Pair<'_>) = differentiate_lanes;
}

/// # Safety
/// The processor has the instruction set of `L`.
#[inline(always)]
unsafe fn differentiate_lanes<L: Lanes>(pair: &mut Pair<'_>) {
    // SAFETY: passed on from the caller.
    unsafe {
        match L::TILE {
            (12, 2) => pair.differentiate::<L, 12, 2>(),
            (6, 1) => pair.differentiate::<L, 6, 1>(),
            _ => pair.differentiate::<L, 4, 1>(),
        }
    }
}

impl Pair<'_> {
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    unsafe fn differentiate<L: Lanes, const ROWS: usize, const VECTORS: usize>(&mut self) {
        let (stride, causal) = (self.layout.padded, self.causal);
        let vectors = self.count.div_ceil(LANES);
        let mut vector = 0;
        // SAFETY: passed on from the caller.
        unsafe {
            while vector < vectors {
                if vector + VECTORS <= vectors {
                    self.scores::<L, ROWS, VECTORS>(vector * LANES);
                    vector += VECTORS;
                } else {
                    self.scores::<L, ROWS, 1>(vector * LANES);
                    vector += 1;
                }
            }
            for key in (0..causal.keys_before(self.count)).step_by(ROWS) {
                let seen_by = causal.first_query(key)..self.count;
                accumulate::<L, ROWS, VECTORS, BLOCK, 1>(
                    Left(&self.weights[key * BLOCK..]),
                    Right { values: self.d_out.natural, stride },
                    seen_by.clone(),
                    None,
                    &mut self.dv[key * stride..],
                );
                accumulate::<L, ROWS, VECTORS, BLOCK, 1>(
                    Left(&self.d_scores[key * BLOCK..]),
                    Right { values: self.queries.natural, stride },
                    seen_by,
                    None,
                    &mut self.dk[key * stride..],
                );
            }
            for query in (0..self.count).step_by(ROWS) {
                accumulate::<L, ROWS, VECTORS, 1, BLOCK>(
                    Left(&self.d_scores[query..]),
                    Right { values: self.keys.natural, stride },
                    0..causal.keys_before((query + ROWS).min(self.count)),
                    None,
                    &mut self.dq[query * stride..],
                );
            }
        }
    }

    /// P and dS of queries `first ..`.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    unsafe fn scores<L: Lanes, const ROWS: usize, const VECTORS: usize>(&mut self, first: usize) {
        let end = self.causal.keys_before(first + VECTORS * LANES);
        // A tile of rows may reach into the next vectors, whose queries see further.
        let beyond = end..(end + ROWS).min(BLOCK);
        // SAFETY: passed on from the caller.
        unsafe {
            scores::<L, ROWS, VECTORS>(
                self.keys.transposed,
                &self.queries.transposed[first..],
                end,
                &mut self.weights[first..],
            );
            for vector in 0..VECTORS {
                self.exponentiate::<L>(first + vector * LANES, end);
            }
            for key in beyond.clone() {
                self.weights[key * BLOCK + first..][..VECTORS * LANES].fill(0.0);
            }
            let d_out = &self.d_out.transposed[first..];
            d_scores::<L, ROWS, VECTORS>(
                [self.values, d_out, &self.d[first..]],
                &self.weights[first..],
                end,
                &mut self.d_scores[first..],
            );
        }
        for key in beyond {
            self.d_scores[key * BLOCK + first..][..VECTORS * LANES].fill(0.0);
        }
    }

    /// P = exp(score − log-sum) in the place of the scores, for one vector of queries; 0 where hidden.
    ///
    /// # Safety
    /// The processor has the instruction set of `L`.
    #[inline(always)]
    unsafe fn exponentiate<L: Lanes>(&mut self, first: usize, end: usize) {
        let seen_by_all = self.causal.keys_before(first + 1).min(end);
        assert!(first + LANES <= self.log_sums.len().min(BLOCK) && end <= BLOCK);
        assert!(self.weights.len() >= BLOCK * BLOCK);
        // SAFETY: the caller has the features; all that is read and written is inside by the assertions.
        unsafe {
            let weights = self.weights.as_mut_ptr().add(first);
            let log_sums = L::read(self.log_sums.as_ptr().add(first));
            for key in 0..seen_by_all {
                let weight = exp(L::read(weights.add(key * BLOCK)).sub(log_sums));
                weight.write(weights.add(key * BLOCK));
            }
            for key in seen_by_all..end {
                let weight = exp(L::read(weights.add(key * BLOCK)).sub(log_sums));
                let weight = self.causal.select([first, key], weight, 0.0);
                weight.write(weights.add(key * BLOCK));
            }
        }
    }
}
