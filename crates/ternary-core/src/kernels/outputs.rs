//! Where sums go: rows of outputs, a block of sixteen lanes at a time.

use super::parallel::SharedSlice;
use super::source::Source;
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
