//! f32 × f32 and f32 × bf16: the product of a dense layer, forward and backward.
//!
//! Both operands are rows of terms, each read as it lies or transposed, so one product serves
//! y = x·Wᵀ, dX = dY·W and dW = dYᵀ·X. A sum runs over its terms in ascending order in one chain,
//! carried from part to part through the outputs: its bits depend on neither rows, tiles nor threads.

mod operand;
mod packing;
mod single_row;
mod stored;

pub use operand::{DenseOperand, Store};
pub(crate) use packing::{SQUARE, transpose_square, transpose_tile};
pub(crate) use single_row::add_rows;

use std::ops::Range;

use half::bf16;

use self::stored::Stored;
use super::arch::{Arch, Operands, Tile};
use super::operand::TokenTile;
use super::outputs::{Lanes, Outputs};
use super::product::{self, Product, Span};
use super::scratch::Words;
use super::walk::Walk;
use crate::packing::LANES;

/// Terms of a part at the most: what is packed at once, of one operand panel by panel, of the other
/// as a whole.
const PART_TERMS: usize = 1024;

/// c[m][n] = Σ over the terms of a part: a[m][k] · b[n][k].
struct DenseProduct<'a, S> {
    b: DenseOperand<'a, S>,
    terms: Range<usize>,
    /// Whether the sums are carried on from the outputs.
    carry: bool,
    outputs: &'a Outputs<'a, f32>,
}

impl<S: Stored> Walk for DenseProduct<'_, S> {
    fn blocks(&self) -> usize {
        self.b.rows().div_ceil(LANES)
    }

    fn lanes(&self, block: usize) -> Lanes {
        let first = LANES * block;
        Lanes { first, count: (self.b.rows() - first).min(LANES) }
    }

    fn parts(&self) -> usize {
        1
    }

    fn steps(&self, _part: usize) -> usize {
        self.terms.len()
    }

    fn first_step(&self, _part: usize) -> usize {
        0
    }
}

impl<S: Stored> Product for DenseProduct<'_, S> {
    const OPERANDS: Operands = Operands::Floats;

    type Walk = Self;

    fn walk(&self) -> &Self {
        self
    }

    unsafe fn fill<A: Arch>(&self, block: usize, _part: usize, panel: &mut [Words]) {
        let Lanes { first, count } = self.lanes(block);
        let panel = bytemuck::cast_slice_mut(panel);
        // SAFETY: passed on from the caller.
        unsafe { S::pack::<A>(&self.b, first..first + count, self.terms.clone(), panel) }
    }

    unsafe fn load(&self, _part: usize, tokens: TokenTile, blocks: Span, tile: &mut Tile) {
        if self.carry {
            // SAFETY: passed on from the caller.
            unsafe { self.outputs.load(self, tokens, blocks, tile) }
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
        unsafe { self.outputs.store(self, tokens, blocks, &tiles[0]) }
    }
}

/// The operands have equally many columns.
///
/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn matmul_dense<A: Arch>(
    a: DenseOperand<'_>,
    b: DenseOperand<'_>,
    c: &mut [f32],
    store: Store,
) {
    // SAFETY: passed on from the caller.
    unsafe { multiply::<A, _>(a, b, c, store) }
}

/// The operands have equally many columns.
///
/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn matmul_bf16<A: Arch>(
    a: DenseOperand<'_>,
    b: DenseOperand<'_, bf16>,
    c: &mut [f32],
    store: Store,
) {
    // SAFETY: passed on from the caller.
    unsafe { multiply::<A, _>(a, b, c, store) }
}

/// The operands have equally many columns.
///
/// # Safety
/// The processor has `A`.
unsafe fn multiply<A: Arch, S: Stored>(
    a: DenseOperand<'_>,
    b: DenseOperand<'_, S>,
    c: &mut [f32],
    store: Store,
) {
    if a.rows() == 1 && !b.transposed {
        // SAFETY: passed on from the caller.
        return unsafe { single_row::multiply::<A, _>(a.values, b.values, c, store) };
    }
    let outputs = Outputs::new(c, b.rows());
    // Parts of about the same length.
    let part = a.cols().div_ceil(a.cols().div_ceil(PART_TERMS)).next_multiple_of(LANES);
    for first in (0..a.cols()).step_by(part) {
        let terms = first..(first + part).min(a.cols());
        let carry = first > 0 || store == Store::Add;
        let product = DenseProduct { b, terms: terms.clone(), carry, outputs: &outputs };
        // SAFETY: passed on from the caller.
        unsafe {
            a.with_tiles::<A, _>(terms, |tiles| product::run::<A, _>(&product, a.rows(), tiles));
        }
    }
}
