//! Blocks of rows of one head, copied to where the products read them fastest.

use rayon::prelude::*;

use super::shape::AttentionShape;
use crate::simd::{LANES, Lanes, simd_function};

/// Rows of a block: a multiple of the rows and of the lanes of every register tile.
pub(super) const BLOCK: usize = 96;

/// Calls `work` with the index of each chunk, on the threads of the current pool where `parallel`.
pub(super) fn for_each_chunk(
    parallel: bool,
    values: &mut [f32],
    chunk: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    if parallel {
        values.par_chunks_mut(chunk).enumerate().for_each(|(index, chunk)| work(index, chunk));
    } else {
        values.chunks_mut(chunk).enumerate().for_each(|(index, chunk)| work(index, chunk));
    }
}

/// Calls `work` with the index of each pair of chunks, on the threads of the pool where `parallel`.
pub(super) fn for_each_pair(
    parallel: bool,
    (a, b): (&mut [f32], &mut [f32]),
    lengths: (usize, usize),
    work: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    if parallel {
        let pairs = a.par_chunks_mut(lengths.0).zip(b.par_chunks_mut(lengths.1));
        pairs.enumerate().for_each(|(index, (a, b))| work(index, a, b));
    } else {
        let pairs = a.chunks_mut(lengths.0).zip(b.chunks_mut(lengths.1));
        pairs.enumerate().for_each(|(index, (a, b))| work(index, a, b));
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

    /// Sets a block as [`copy`](Self::copy) does, and one [width, BLOCK] to the same, transposed.
    pub(super) fn copy_both(&self, factor: f32, block: &mut [f32], transposed: &mut [f32]) {
        self.copy(factor, block);
        transpose(block, transposed);
    }
}

simd_function! {
    /// From [BLOCK, padded] to [width, BLOCK].
    fn transpose(block: &[f32], transposed: &mut [f32]) = transpose_lanes;
}

/// # Safety
/// The processor has the instruction set of `L`.
#[inline(always)]
unsafe fn transpose_lanes<L: Lanes>(block: &[f32], transposed: &mut [f32]) {
    let (padded, width) = (block.len() / BLOCK, transposed.len() / BLOCK);
    assert!(width <= padded && padded.is_multiple_of(LANES));
    for column in (0..width).step_by(LANES) {
        for row in (0..BLOCK).step_by(LANES) {
            // SAFETY: the caller has the features; the block is [BLOCK, padded], both of whole vectors,
            // and `transposed` has `width` rows of BLOCK floats.
            unsafe {
                let from = block.as_ptr().add(row * padded + column);
                let to = transposed.as_mut_ptr().add(column * BLOCK + row);
                L::transpose(from, padded, (width - column).min(LANES), to, BLOCK);
            }
        }
    }
}
