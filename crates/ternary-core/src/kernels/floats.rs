//! f32 rows × trits and × tritsᵀ.
//!
//! The weights of a part are unpacked to floats with their scales; a sum runs over its terms in
//! ascending order in one chain, carried from part to part through the outputs, so its bits depend
//! on neither rows, tiles nor threads.

use super::arch::{Arch, Operands, Tile};
use super::operand::{TokenTile, column_rows, row_rows, with_tiles};
use super::outputs::{Lanes, Outputs};
use super::product::{self, Product, Span};
use super::scaling::BlockScales;
use super::scratch::Words;
use super::source::Source;
use super::span_parts::{COLUMN_STEPS, ColumnParts, RowParts};
use super::unpack::LaneScales;
use crate::matrix::TernaryMatrix;
use crate::packing::LANES;

/// y[m][n] = Σ over columns: x[m][k] · w[n][k].
pub(crate) struct FloatProduct<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) scales: BlockScales<'a>,
    pub(crate) outputs: Outputs<'a, f32>,
}

/// dx[m][k] = Σ over rows: dy[m][n] · w[n][k].
pub(crate) struct FloatProductTransposed<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) scales: BlockScales<'a>,
    pub(crate) outputs: Outputs<'a, f32>,
}

unsafe fn load(
    outputs: &Outputs<'_, f32>,
    tokens: TokenTile,
    blocks: Span,
    tile: &mut Tile,
    lanes: impl Fn(usize) -> Lanes,
) {
    for block in 0..blocks.count {
        let lanes = lanes(blocks.first + block);
        for (token, tile) in tile.iter_mut().enumerate().take(tokens.tokens) {
            // SAFETY: the caller has these outputs to itself.
            let out = unsafe { outputs.lanes(tokens.first + token, lanes) };
            for (sum, out) in tile[block].0.iter_mut().zip(out) {
                *sum = out.to_bits();
            }
        }
    }
}

unsafe fn store(
    outputs: &Outputs<'_, f32>,
    tokens: TokenTile,
    blocks: Span,
    tile: &Tile,
    lanes: impl Fn(usize) -> Lanes,
) {
    for block in 0..blocks.count {
        let lanes = lanes(blocks.first + block);
        for (token, tile) in tile.iter().enumerate().take(tokens.tokens) {
            // SAFETY: the caller has these outputs to itself.
            let out = unsafe { outputs.lanes(tokens.first + token, lanes) };
            for (out, &sum) in out.iter_mut().zip(&tile[block].0) {
                *out = f32::from_bits(sum);
            }
        }
    }
}

impl Product for FloatProduct<'_> {
    const OPERANDS: Operands = Operands::Floats;

    fn blocks(&self) -> usize {
        self.source.layout().blocks()
    }

    fn parts(&self) -> usize {
        ColumnParts::new(&self.source).count()
    }

    fn steps(&self, part: usize) -> usize {
        COLUMN_STEPS * ColumnParts::new(&self.source).lines(part).len()
    }

    fn first_step(&self, part: usize) -> usize {
        COLUMN_STEPS * ColumnParts::new(&self.source).first_line(part)
    }

    unsafe fn fill<A: Arch>(&self, block: usize, part: usize, panel: &mut [Words]) {
        let parts = ColumnParts::new(&self.source);
        let segment = parts.segment(part);
        let mut buffer = LaneScales::ZERO;
        let scales = self.scales.lanes(block, segment, &mut buffer);
        // SAFETY: passed on from the caller.
        unsafe {
            self.source.two_bit::<A, _>(block, segment, parts.lines(part), |lines| {
                A::floats(lines, scales, panel);
            });
        }
    }

    unsafe fn load(&self, part: usize, tokens: TokenTile, blocks: Span, tile: &mut Tile) {
        if part > 0 {
            let lanes = |block| self.source.row_lanes(block);
            // SAFETY: passed on from the caller.
            unsafe { load(&self.outputs, tokens, blocks, tile, lanes) }
        }
    }

    unsafe fn store<A: Arch>(
        &self,
        _part: usize,
        tokens: TokenTile,
        blocks: Span,
        tiles: &[Tile; 2],
    ) {
        let lanes = |block| self.source.row_lanes(block);
        // SAFETY: passed on from the caller.
        unsafe { store(&self.outputs, tokens, blocks, &tiles[0], lanes) }
    }
}

impl Product for FloatProductTransposed<'_> {
    const OPERANDS: Operands = Operands::Floats;

    fn blocks(&self) -> usize {
        self.source.layout().segments() * self.source.segment_lines()
    }

    fn parts(&self) -> usize {
        RowParts::new(&self.source).count()
    }

    fn steps(&self, part: usize) -> usize {
        LANES * RowParts::new(&self.source).blocks(part).len()
    }

    fn first_step(&self, part: usize) -> usize {
        LANES * RowParts::new(&self.source).blocks(part).start
    }

    unsafe fn fill<A: Arch>(&self, line: usize, part: usize, panel: &mut [Words]) {
        let (segment, line) =
            (line / self.source.segment_lines(), line % self.source.segment_lines());
        let blocks = RowParts::new(&self.source).blocks(part);
        for (block, panel) in blocks.zip(panel.chunks_exact_mut(LANES)) {
            let mut buffer = LaneScales::ZERO;
            let scales = self.scales.lanes(block, segment, &mut buffer);
            // SAFETY: passed on from the caller.
            unsafe {
                self.source.two_bit::<A, _>(block, segment, line..line + 1, |lines| {
                    A::floats_transposed(&lines[0], scales, panel);
                });
            }
        }
    }

    unsafe fn load(&self, part: usize, tokens: TokenTile, blocks: Span, tile: &mut Tile) {
        if part > 0 {
            let lanes = |block| self.source.column_lanes(block);
            // SAFETY: passed on from the caller.
            unsafe { load(&self.outputs, tokens, blocks, tile, lanes) }
        }
    }

    unsafe fn store<A: Arch>(
        &self,
        _part: usize,
        tokens: TokenTile,
        blocks: Span,
        tiles: &[Tile; 2],
    ) {
        let lanes = |block| self.source.column_lanes(block);
        // SAFETY: passed on from the caller.
        unsafe { store(&self.outputs, tokens, blocks, &tiles[0], lanes) }
    }
}

/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn matmul_f32<A: Arch>(x: &[f32], rows: usize, w: &TernaryMatrix, y: &mut [f32]) {
    let source = Source::new(w.codes());
    let outputs = Outputs::new(y, w.rows());
    let product = FloatProduct { source, scales: BlockScales::new(w.scales(), source), outputs };
    // SAFETY: passed on from the caller.
    with_tiles::<A, _, _>(&column_rows(x, rows, &source, 1), |tiles| unsafe {
        product::run::<A, _>(&product, rows, tiles);
    });
}

/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn matmul_f32_transposed<A: Arch>(
    dy: &[f32],
    rows: usize,
    w: &TernaryMatrix,
    dx: &mut [f32],
) {
    let source = Source::new(w.codes());
    let outputs = Outputs::new(dx, w.cols());
    let scales = BlockScales::new(w.scales(), source);
    let product = FloatProductTransposed { source, scales, outputs };
    // SAFETY: passed on from the caller.
    with_tiles::<A, _, _>(&row_rows(dy, rows, &source, 1), |tiles| unsafe {
        product::run::<A, _>(&product, rows, tiles);
    });
}
