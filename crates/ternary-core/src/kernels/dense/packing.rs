//! Dense operands as the words that a tile takes: for each term, a word of each of some rows.

use std::ops::Range;

use super::super::arch::Arch;
use super::super::operand::TokenTile;
use super::super::parallel::{self, SharedSlice};
use super::super::scratch::{self, Purpose};
use super::operand::DenseOperand;
use crate::packing::LANES;

/// Rows and columns of the squares that an instruction set transposes.
pub(crate) const SQUARE: usize = 8;

/// Tiles that are packed together where neighbouring rows share lines of the cache.
const TILES_TOGETHER: usize = 8;
/// Terms of such tiles that are packed together: rows of a power of two all compete for the same
/// few lines of the first-level cache.
const TERMS_TOGETHER: usize = 8;

/// An expression for the width of a tile as a constant.
macro_rules! of_width {
    ($width:expr, |$constant:ident| $call:expr) => {
        of_width!(@ $width, $constant, $call, [16, 12, 8, 6, 4, 2, 1])
    };
    (@ $width:expr, $constant:ident, $call:expr, [$($known:literal),*]) => {
        match $width {
            $($known => {
                const $constant: usize = $known;
                $call
            })*
            width => unreachable!("no tile is {width} wide"),
        }
    };
}

impl DenseOperand<'_> {
    /// Calls `work` with the columns `terms` of all rows, packed into tiles one after the other: for
    /// each term, a word of each row of the tile, zeros where the tile is wider than its rows.
    ///
    /// # Safety
    /// The processor has `A`.
    pub(super) unsafe fn with_tiles<A: Arch, R>(
        &self,
        terms: Range<usize>,
        work: impl FnOnce(&[u32]) -> R,
    ) -> R {
        let steps = terms.len();
        let tiles = TokenTile::count::<A>(self.rows());
        let words = tiles.checked_sub(1).map_or(0, |last| {
            let last = TokenTile::nth::<A>(last, self.rows());
            (last.first + last.width) * steps
        });
        scratch::with(Purpose::Activations, words, |packed| {
            let packed: &mut [u32] = &mut bytemuck::cast_slice_mut(packed)[..words];
            let shared = SharedSlice::new(packed);
            parallel::for_each(tiles.div_ceil(TILES_TOGETHER), 8 * words, |group| {
                let first = group * TILES_TOGETHER;
                let tiles = first..(first + TILES_TOGETHER).min(tiles);
                let together = if self.transposed { TERMS_TOGETHER } else { steps };
                for start in (0..steps).step_by(together) {
                    let end = (start + together).min(steps);
                    for tile in tiles.clone() {
                        let tile = TokenTile::nth::<A>(tile, self.rows());
                        let rows = tile.first..tile.first + tile.tokens;
                        let terms = terms.start + start..terms.start + end;
                        // SAFETY: tiles lie one after the other; the rest is the caller's promise.
                        unsafe {
                            let out = tile.first * steps + start * tile.width;
                            let out = shared.range(out, (end - start) * tile.width);
                            self.pack::<A>(rows, terms, tile.width, out);
                        }
                    }
                }
            });
            work(packed)
        })
    }

    /// For each term, writes a word of each of up to `width` rows, then zeros up to `width`.
    ///
    /// # Safety
    /// The processor has `A`.
    pub(super) unsafe fn pack<A: Arch>(
        &self,
        rows: Range<usize>,
        terms: Range<usize>,
        width: usize,
        out: &mut [u32],
    ) {
        // SAFETY: passed on from the caller.
        unsafe { of_width!(width, |WIDTH| self.pack_wide::<A, WIDTH>(rows, terms, out)) }
    }

    unsafe fn pack_wide<A: Arch, const WIDTH: usize>(
        &self,
        rows: Range<usize>,
        terms: Range<usize>,
        out: &mut [u32],
    ) {
        let values: &[u32] = bytemuck::cast_slice(self.values);
        if self.transposed {
            copy_runs::<WIDTH>(values, self.rows(), rows, terms, out);
        } else {
            // SAFETY: passed on from the caller.
            unsafe { transpose_rows::<A, WIDTH>(values, self.cols(), rows, terms, out) }
        }
    }
}

/// For each of `steps` columns, writes a word of each of `width` rows that lie `stride` apart. Behind them there are
/// as many as a square has: the words are read, and count for nothing.
///
/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn transpose_tile<A: Arch>(
    values: &[u32],
    stride: usize,
    width: usize,
    steps: usize,
    out: &mut [u32],
) {
    // SAFETY: passed on from the caller.
    unsafe {
        of_width!(width, |WIDTH| transpose_rows::<A, WIDTH>(
            values,
            stride,
            0..WIDTH,
            0..steps,
            out
        ))
    }
}

/// The words of a term lie side by side, those of the next term `stride` further on.
fn copy_runs<const WIDTH: usize>(
    values: &[u32],
    stride: usize,
    rows: Range<usize>,
    terms: Range<usize>,
    out: &mut [u32],
) {
    let (out, _) = out.as_chunks_mut::<WIDTH>();
    let lines = terms.map(|term| &values[term * stride..][rows.clone()]);
    for (out, line) in out.iter_mut().zip(lines) {
        match line.first_chunk() {
            Some(line) => *out = *line,
            None => {
                out[..line.len()].copy_from_slice(line);
                out[line.len()..].fill(0);
            }
        }
    }
}

/// The words of a row lie side by side, those of the next row `stride` further on.
///
/// # Safety
/// The processor has `A`.
pub(super) unsafe fn transpose_rows<A: Arch, const WIDTH: usize>(
    values: &[u32],
    stride: usize,
    rows: Range<usize>,
    terms: Range<usize>,
    out: &mut [u32],
) {
    // A line of the cache of every row at a time.
    for start in (0..terms.len()).step_by(LANES) {
        let end = (start + LANES).min(terms.len());
        let out = &mut out[start * WIDTH..];
        let first = rows.start * stride + terms.start + start;
        let squares = end - start == LANES
            && rows.len() == WIDTH
            && WIDTH >= SQUARE - 2
            && values.len() >= first + (WIDTH.max(SQUARE) - 1) * stride + LANES
            // Where a square is wider than a tile, it runs into what is written next.
            && out.len() >= (LANES - 1) * WIDTH + WIDTH.max(SQUARE);
        if squares {
            let mut row = 0;
            loop {
                for step in [0, SQUARE] {
                    let rows = &values[first + row * stride + step..];
                    // SAFETY: passed on from the caller.
                    unsafe {
                        A::transpose_square(rows, stride, &mut out[step * WIDTH + row..], WIDTH)
                    };
                }
                if row + SQUARE >= WIDTH {
                    break;
                }
                row = (row + SQUARE).min(WIDTH - SQUARE);
            }
        } else {
            let (out, _) = out[..(end - start) * WIDTH].as_chunks_mut::<WIDTH>();
            for row in 0..WIDTH {
                if row < rows.len() {
                    let words = &values[first + row * stride..][..end - start];
                    for (out, &word) in out.iter_mut().zip(words) {
                        out[row] = word;
                    }
                } else {
                    out.iter_mut().for_each(|out| out[row] = 0);
                }
            }
        }
    }
}

/// out[c · `width` + r] = rows[r · `stride` + c] for the columns c of a square, in ascending order, so
/// that a word that two columns write is left with that of the later one.
#[inline(always)]
pub(crate) fn transpose_square(rows: &[u32], stride: usize, out: &mut [u32], width: usize) {
    for c in 0..SQUARE {
        for r in 0..SQUARE {
            out[c * width + r] = rows[r * stride + c];
        }
    }
}
