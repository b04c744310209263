//! Where sums go: rows of outputs, a block of sixteen lanes at a time.

use super::arch::Tile;
use super::operand::TokenTile;
use super::parallel::SharedSlice;
use super::product::Span;
use super::scratch::Words;
use super::source::Source;
use super::walk::Walk;
use crate::packing::LANES;

/// Row-major outputs that threads fill block by block.
pub(crate) struct Outputs<'a, T> {
    values: SharedSlice<'a, T>,
    stride: usize,
}

impl<'a, T> Outputs<'a, T> {
    /// Outputs in rows of `stride`.
    pub(crate) fn new(values: &'a mut [T], stride: usize) -> Self {
        Self { values: SharedSlice::new(values), stride }
    }

    /// The outputs of one token in one block.
    ///
    /// # Safety
    /// Nobody else uses them at the same time.
    #[allow(clippy::mut_from_ref)] // As for `SharedSlice::range`.
    pub(crate) unsafe fn lanes(&self, token: usize, lanes: Lanes) -> &mut [T] {
        // SAFETY: passed on from the caller.
        unsafe { self.values.range(token * self.stride + lanes.first, lanes.count) }
    }
}

impl Outputs<'_, f32> {
    /// Lets the sums of a tile start from the outputs.
    ///
    /// # Safety
    /// Nobody else uses them at the same time.
    pub(crate) unsafe fn load(
        &self,
        walk: &impl Walk,
        tokens: TokenTile,
        blocks: Span,
        tile: &mut Tile,
    ) {
        for block in 0..blocks.count {
            let lanes = walk.lanes(blocks.first + block);
            for (token, tile) in tile.iter_mut().enumerate().take(tokens.tokens) {
                // SAFETY: passed on from the caller.
                let out: &[f32] = unsafe { self.lanes(tokens.first + token, lanes) };
                let out: &[u32] = bytemuck::cast_slice(out);
                match out.first_chunk() {
                    Some(out) => tile[block] = Words(*out),
                    None => tile[block].0[..out.len()].copy_from_slice(out),
                }
            }
        }
    }

    /// The reverse of [`Outputs::load`].
    ///
    /// # Safety
    /// Nobody else uses these outputs at the same time.
    pub(crate) unsafe fn store(
        &self,
        walk: &impl Walk,
        tokens: TokenTile,
        blocks: Span,
        tile: &Tile,
    ) {
        for block in 0..blocks.count {
            let lanes = walk.lanes(blocks.first + block);
            for (token, tile) in tile.iter().enumerate().take(tokens.tokens) {
                // SAFETY: passed on from the caller.
                let out = unsafe { self.lanes(tokens.first + token, lanes) };
                let out: &mut [u32] = bytemuck::cast_slice_mut(out);
                match out.first_chunk_mut() {
                    Some(out) => *out = tile[block].0,
                    None => out.copy_from_slice(&tile[block].0[..out.len()]),
                }
            }
        }
    }
}

/// The outputs that a block really has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lanes {
    pub(crate) first: usize,
    pub(crate) count: usize,
}

impl Source<'_> {
    /// The outputs of block `block` of rows · matrixᵀ: rows of the matrix.
    pub(crate) fn row_lanes(&self, block: usize) -> Lanes {
        Lanes { first: LANES * block, count: self.rows_of(block) }
    }
}
