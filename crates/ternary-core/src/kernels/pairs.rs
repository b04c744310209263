//! int16 rows × trits and × tritsᵀ: exact integer sums.

use super::arch::{Arch, Operands, Tile};
use super::bytes::integers;
use super::operand::{TokenTile, column_rows, row_rows, with_tiles};
use super::outputs::Outputs;
use super::product::{self, Product, Span};
use super::scratch::Words;
use super::source::Source;
use super::walk::{OverColumns, OverRows, Walk};
use crate::packing::{LANES, PackedTrits};

/// Steps that the sixteen columns of a line, or the rows of a block, make.
const STEPS: usize = LANES / 2;

/// Σ over columns: x[m][k] · t[n][k].
struct PairSums<'a> {
    walk: OverColumns<'a, STEPS>,
    sums: Outputs<'a, i32>,
}

/// Σ over rows: x[m][n] · t[n][k].
struct PairSumsTransposed<'a> {
    walk: OverRows<'a, STEPS>,
    sums: Outputs<'a, i32>,
}

/// Adds the sums of a part to the outputs, which start at zero.
///
/// # Safety
/// No other thread uses these outputs.
unsafe fn store(
    sums: &Outputs<'_, i32>,
    walk: &impl Walk,
    tokens: TokenTile,
    blocks: Span,
    tile: &Tile,
) {
    for block in 0..blocks.count {
        let lanes = walk.lanes(blocks.first + block);
        for token in 0..tokens.tokens {
            // SAFETY: the caller has these outputs to itself.
            let out = unsafe { sums.lanes(tokens.first + token, lanes) };
            for (out, &sum) in out.iter_mut().zip(integers(&tile[token][block])) {
                *out = out.wrapping_add(sum);
            }
        }
    }
}

impl<'a> Product for PairSums<'a> {
    const OPERANDS: Operands = Operands::Pairs;

    type Walk = OverColumns<'a, STEPS>;

    fn walk(&self) -> &Self::Walk {
        &self.walk
    }

    unsafe fn fill<A: Arch>(&self, block: usize, part: usize, panel: &mut [Words]) {
        let (segment, lines) = (self.walk.segment(part), self.walk.lines(part));
        // SAFETY: passed on from the caller.
        unsafe {
            self.walk.source.two_bit::<A, _>(block, segment, lines, |lines| A::pairs(lines, panel));
        }
    }

    unsafe fn store<A: Arch>(
        &self,
        _part: usize,
        tokens: TokenTile,
        blocks: Span,
        tiles: &[Tile; 2],
    ) {
        // SAFETY: passed on from the caller.
        unsafe { store(&self.sums, &self.walk, tokens, blocks, &tiles[0]) }
    }
}

impl<'a> Product for PairSumsTransposed<'a> {
    const OPERANDS: Operands = Operands::Pairs;

    type Walk = OverRows<'a, STEPS>;

    fn walk(&self) -> &Self::Walk {
        &self.walk
    }

    unsafe fn fill<A: Arch>(&self, block: usize, part: usize, panel: &mut [Words]) {
        let (segment, line) = self.walk.line(block);
        for (rows, panel) in self.walk.row_blocks(part).zip(panel.chunks_exact_mut(STEPS)) {
            // SAFETY: passed on from the caller.
            unsafe {
                self.walk.source.two_bit::<A, _>(rows, segment, line..line + 1, |lines| {
                    A::pairs_transposed(&lines[0], panel);
                });
            }
        }
    }

    unsafe fn store<A: Arch>(
        &self,
        _part: usize,
        tokens: TokenTile,
        blocks: Span,
        tiles: &[Tile; 2],
    ) {
        // SAFETY: passed on from the caller.
        unsafe { store(&self.sums, &self.walk, tokens, blocks, &tiles[0]) }
    }
}

/// Σ over columns: see [`PairSums`].
///
/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn sums_i16<A: Arch>(x: &[i16], rows: usize, w: &PackedTrits, sums: &mut [i32]) {
    let source = Source::new(w);
    let product =
        PairSums { walk: OverColumns { source }, sums: Outputs::new(sums, w.layout().rows()) };
    // SAFETY: passed on from the caller.
    unsafe {
        with_tiles::<A, _, _>(&column_rows(x, rows, &source, 2), |tiles| {
            product::run::<A, _>(&product, rows, tiles)
        });
    }
}

/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn sums_i16_transposed<A: Arch>(
    x: &[i16],
    rows: usize,
    w: &PackedTrits,
    sums: &mut [i32],
) {
    let source = Source::new(w);
    let product = PairSumsTransposed {
        walk: OverRows { source },
        sums: Outputs::new(sums, w.layout().cols()),
    };
    // SAFETY: passed on from the caller.
    unsafe {
        with_tiles::<A, _, _>(&row_rows(x, rows, &source, 2), |tiles| {
            product::run::<A, _>(&product, rows, tiles)
        });
    }
}
