//! f32 rows × trits and × tritsᵀ.
//!
//! The weights of a part are unpacked to floats with their scales; a sum runs over its terms in
//! ascending order in one chain, carried from part to part through the outputs, so its bits depend
//! on neither rows, tiles nor threads.

use super::arch::{Arch, Operands, Tile};
use super::dense::Store;
use super::operand::{TokenTile, column_rows, row_rows, with_tiles};
use super::outputs::Outputs;
use super::product::{self, Product, Span};
use super::scaling::BlockScales;
use super::scratch::Words;
use super::source::Source;
use super::unpack::LaneScales;
use super::walk::{OverColumns, OverRows};
use crate::matrix::TernaryMatrix;
use crate::packing::LANES;

/// y[m][n] = Σ over columns: x[m][k] · w[n][k].
struct FloatProduct<'a> {
    walk: OverColumns<'a, LANES>,
    scales: BlockScales<'a>,
    outputs: Outputs<'a, f32>,
    store: Store,
}

/// dx[m][k] = Σ over rows: dy[m][n] · w[n][k].
struct FloatProductTransposed<'a> {
    walk: OverRows<'a, LANES>,
    scales: BlockScales<'a>,
    outputs: Outputs<'a, f32>,
    store: Store,
}

impl<'a> Product for FloatProduct<'a> {
    const OPERANDS: Operands = Operands::Floats;

    type Walk = OverColumns<'a, LANES>;

    fn walk(&self) -> &Self::Walk {
        &self.walk
    }

    unsafe fn fill<A: Arch>(&self, block: usize, part: usize, panel: &mut [Words]) {
        let (source, segment) = (&self.walk.source, self.walk.segment(part));
        let mut buffer = LaneScales::ZERO;
        let scales = self.scales.lanes(block, segment, &mut buffer);
        // SAFETY: passed on from the caller.
        unsafe {
            source.two_bit::<A, _>(block, segment, self.walk.lines(part), |lines| {
                A::floats(lines, scales, panel);
            });
        }
    }

    unsafe fn load(&self, part: usize, tokens: TokenTile, blocks: Span, tile: &mut Tile) {
        if part > 0 || self.store == Store::Add {
            // SAFETY: passed on from the caller.
            unsafe { self.outputs.load(&self.walk, tokens, blocks, tile) }
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
        unsafe { self.outputs.store(&self.walk, tokens, blocks, &tiles[0]) }
    }
}

impl<'a> Product for FloatProductTransposed<'a> {
    const OPERANDS: Operands = Operands::Floats;

    type Walk = OverRows<'a, LANES>;

    fn walk(&self) -> &Self::Walk {
        &self.walk
    }

    unsafe fn fill<A: Arch>(&self, block: usize, part: usize, panel: &mut [Words]) {
        let (source, (segment, line)) = (&self.walk.source, self.walk.line(block));
        for (rows, panel) in self.walk.row_blocks(part).zip(panel.chunks_exact_mut(LANES)) {
            let mut buffer = LaneScales::ZERO;
            let scales = self.scales.lanes(rows, segment, &mut buffer);
            // SAFETY: passed on from the caller.
            unsafe {
                source.two_bit::<A, _>(rows, segment, line..line + 1, |lines| {
                    A::floats_transposed(&lines[0], scales, panel);
                });
            }
        }
    }

    unsafe fn load(&self, part: usize, tokens: TokenTile, blocks: Span, tile: &mut Tile) {
        if part > 0 || self.store == Store::Add {
            // SAFETY: passed on from the caller.
            unsafe { self.outputs.load(&self.walk, tokens, blocks, tile) }
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
        unsafe { self.outputs.store(&self.walk, tokens, blocks, &tiles[0]) }
    }
}

/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn matmul_f32<A: Arch>(
    x: &[f32],
    rows: usize,
    w: &TernaryMatrix,
    y: &mut [f32],
    store: Store,
) {
    let source = Source::new(w.codes());
    let outputs = Outputs::new(y, w.rows());
    let scales = BlockScales::new(w.scales(), source);
    let product = FloatProduct { walk: OverColumns { source }, scales, outputs, store };
    // SAFETY: passed on from the caller.
    unsafe {
        with_tiles::<A, _, _>(&column_rows(x, rows, &source, 1), |tiles| {
            product::run::<A, _>(&product, rows, tiles)
        });
    }
}

/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn matmul_f32_transposed<A: Arch>(
    dy: &[f32],
    rows: usize,
    w: &TernaryMatrix,
    dx: &mut [f32],
    store: Store,
) {
    let source = Source::new(w.codes());
    let outputs = Outputs::new(dx, w.cols());
    let scales = BlockScales::new(w.scales(), source);
    let product = FloatProductTransposed { walk: OverRows { source }, scales, outputs, store };
    // SAFETY: passed on from the caller.
    unsafe {
        with_tiles::<A, _, _>(&row_rows(dy, rows, &source, 1), |tiles| {
            product::run::<A, _>(&product, rows, tiles)
        });
    }
}
