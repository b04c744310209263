//! int16 rows × trits and × tritsᵀ: exact integer sums.

use super::arch::{Arch, Operands, Tile};
use super::bytes::integers;
use super::operand::{TokenTile, column_rows, row_rows, with_tiles};
use super::outputs::{Lanes, Outputs};
use super::product::{self, Product, Span};
use super::scratch::Words;
use super::source::Source;
use super::span_parts::{COLUMN_STEPS, ColumnParts, RowParts};
use crate::packing::{LANES, PackedTrits};

/// Σ over columns: x[m][k] · t[n][k].
pub(crate) struct PairSums<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) sums: Outputs<'a, i32>,
}

/// Σ over rows: x[m][n] · t[n][k].
pub(crate) struct PairSumsTransposed<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) sums: Outputs<'a, i32>,
}

/// Steps that sixteen columns, or sixteen rows, make.
const STEPS: usize = LANES / 2;
const _: () = assert!(COLUMN_STEPS == 2 * STEPS);

unsafe fn store(
    sums: &Outputs<'_, i32>,
    first_part: bool,
    tokens: TokenTile,
    blocks: Span,
    tile: &Tile,
    lanes: impl Fn(usize) -> Lanes,
) {
    for block in 0..blocks.count {
        let lanes = lanes(blocks.first + block);
        for token in 0..tokens.tokens {
            // SAFETY: the caller has these outputs to itself.
            let out = unsafe { sums.lanes(tokens.first + token, lanes) };
            for (out, &sum) in out.iter_mut().zip(integers(&tile[token][block])) {
                *out = if first_part { sum } else { out.wrapping_add(sum) };
            }
        }
    }
}

impl Product for PairSums<'_> {
    const OPERANDS: Operands = Operands::Pairs;

    fn blocks(&self) -> usize {
        self.source.layout().blocks()
    }

    fn parts(&self) -> usize {
        ColumnParts::new(&self.source).count()
    }

    fn steps(&self, part: usize) -> usize {
        STEPS * ColumnParts::new(&self.source).lines(part).len()
    }

    fn first_step(&self, part: usize) -> usize {
        STEPS * ColumnParts::new(&self.source).first_line(part)
    }

    unsafe fn fill<A: Arch>(&self, block: usize, part: usize, panel: &mut [Words]) {
        let parts = ColumnParts::new(&self.source);
        let (segment, lines) = (parts.segment(part), parts.lines(part));
        // SAFETY: passed on from the caller.
        unsafe {
            self.source.two_bit::<A, _>(block, segment, lines, |lines| A::pairs(lines, panel));
        }
    }

    unsafe fn store<A: Arch>(
        &self,
        part: usize,
        tokens: TokenTile,
        blocks: Span,
        tiles: &[Tile; 2],
    ) {
        let lanes = |block| self.source.row_lanes(block);
        // SAFETY: passed on from the caller.
        unsafe { store(&self.sums, part == 0, tokens, blocks, &tiles[0], lanes) }
    }
}

impl Product for PairSumsTransposed<'_> {
    const OPERANDS: Operands = Operands::Pairs;

    fn blocks(&self) -> usize {
        self.source.layout().segments() * self.source.segment_lines()
    }

    fn parts(&self) -> usize {
        RowParts::new(&self.source).count()
    }

    fn steps(&self, part: usize) -> usize {
        STEPS * RowParts::new(&self.source).blocks(part).len()
    }

    fn first_step(&self, part: usize) -> usize {
        STEPS * RowParts::new(&self.source).blocks(part).start
    }

    unsafe fn fill<A: Arch>(&self, line: usize, part: usize, panel: &mut [Words]) {
        let (segment, line) =
            (line / self.source.segment_lines(), line % self.source.segment_lines());
        let blocks = RowParts::new(&self.source).blocks(part);
        for (block, panel) in blocks.zip(panel.chunks_exact_mut(STEPS)) {
            // SAFETY: passed on from the caller.
            unsafe {
                self.source.two_bit::<A, _>(block, segment, line..line + 1, |lines| {
                    A::pairs_transposed(&lines[0], panel);
                });
            }
        }
    }

    unsafe fn store<A: Arch>(
        &self,
        part: usize,
        tokens: TokenTile,
        blocks: Span,
        tiles: &[Tile; 2],
    ) {
        let lanes = |block| self.source.column_lanes(block);
        // SAFETY: passed on from the caller.
        unsafe { store(&self.sums, part == 0, tokens, blocks, &tiles[0], lanes) }
    }
}

/// Σ over columns: see [`PairSums`].
///
/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn sums_i16<A: Arch>(x: &[i16], rows: usize, w: &PackedTrits, sums: &mut [i32]) {
    let source = Source::new(w);
    let product = PairSums { source, sums: Outputs::new(sums, w.layout().rows()) };
    // SAFETY: passed on from the caller.
    with_tiles::<A, _, _>(&column_rows(x, rows, &source, 2), |tiles| unsafe {
        product::run::<A, _>(&product, rows, tiles);
    });
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
    let product = PairSumsTransposed { source, sums: Outputs::new(sums, w.layout().cols()) };
    // SAFETY: passed on from the caller.
    with_tiles::<A, _, _>(&row_rows(x, rows, &source, 2), |tiles| unsafe {
        product::run::<A, _>(&product, rows, tiles);
    });
}
