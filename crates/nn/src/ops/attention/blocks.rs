//! Blocks of rows of one head, copied to where the products read them fastest.

use super::shape::AttentionShape;
use crate::simd::LANES;

/// Rows of a block: a multiple of the rows and of the lanes of every register tile.
pub(super) const BLOCK: usize = 96;

/// Calls `work` with the index of each chunk, on the threads of the current pool where `parallel`.
pub(super) fn for_each_chunk(
    parallel: bool,
    values: &mut [f32],
    chunk: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    use rayon::prelude::*;
    if parallel {
        values.par_chunks_mut(chunk).enumerate().for_each(|(index, chunk)| work(index, chunk));
    } else {
        values.chunks_mut(chunk).enumerate().for_each(|(index, chunk)| work(index, chunk));
    }
}

/// Whether a shape has work for more than one thread.
pub(super) fn worth_waking(shape: &AttentionShape) -> bool {
    shape.cost() >= 1 << 19 && rayon::current_num_threads() > 1
}

/// How a head of a given width lies in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadLayout {
    pub(super) width: usize,
    /// The width, rounded up to whole vectors.
    pub(super) padded: usize,
}

impl HeadLayout {
    pub(super) fn new(width: usize) -> Self {
        Self { width, padded: width.next_multiple_of(LANES) }
    }

    /// Floats of a block as [width, BLOCK].
    pub(super) fn transposed(self) -> usize {
        self.width * BLOCK
    }

    /// Floats of a block as [BLOCK, padded].
    pub(super) fn natural(self) -> usize {
        BLOCK * self.padded
    }
}

/// Rows of one head within an array of several heads: `rows` of them, from `first` on, `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadRows<'a> {
    pub(super) values: &'a [f32],
    pub(super) first: usize,
    pub(super) stride: usize,
    pub(super) rows: usize,
    pub(super) width: usize,
}

impl<'a> HeadRows<'a> {
    /// Head `head` of rows `first ..`, at most a block of them and none from row `end` on.
    pub(super) fn block(
        values: &'a [f32],
        [first, end]: [usize; 2],
        [head, heads]: [usize; 2],
        width: usize,
    ) -> Self {
        let (stride, rows) = (heads * width, (end - first).min(BLOCK));
        Self { values, first: first * stride + head * width, stride, rows, width }
    }

    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        let start = self.first + row * self.stride;
        &self.values[start..start + self.width]
    }

    /// Sets a block [BLOCK, padded] to factor · rows, with zeros beyond them.
    pub(super) fn copy(&self, factor: f32, block: &mut [f32]) {
        let padded = block.len() / BLOCK;
        for (row, to) in block.chunks_exact_mut(padded).enumerate().take(self.rows) {
            for (to, &from) in to.iter_mut().zip(self.row(row)) {
                *to = factor * from;
            }
            to[self.width..].fill(0.0);
        }
        block[self.rows * padded..].fill(0.0);
    }

    /// Sets a block [width, BLOCK] to factor · rows, transposed, with zeros beyond them.
    pub(super) fn transpose(&self, factor: f32, block: &mut [f32]) {
        for row in 0..self.rows {
            for (to, &from) in block[row..].iter_mut().step_by(BLOCK).zip(self.row(row)) {
                *to = factor * from;
            }
        }
        for to in block.chunks_exact_mut(BLOCK) {
            to[self.rows..].fill(0.0);
        }
    }
}
