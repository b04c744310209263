//! Ops that take two arrays number by number: checked sizes, and blocks for the threads.

use rayon::prelude::*;
use ternary_core::Real;

use super::blocks::numbers_per_block;
use crate::error::{Result, check_size};

/// An op of two inputs and one output, all of one size, by the names that its errors give them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pairwise {
    pub(super) op: &'static str,
    pub(super) second: &'static str,
    pub(super) d_first: &'static str,
    pub(super) d_second: &'static str,
}

impl Pairwise {
    /// Writes y = f(a, b) block by block.
    pub(super) fn forward<T: Real>(
        self,
        [a, b]: [&[T]; 2],
        y: &mut [T],
        f: impl Fn(&[T], &[T], &mut [T]) + Sync,
    ) -> Result<()> {
        check_size(self.op, self.second, a.len(), b.len())?;
        check_size(self.op, "output", a.len(), y.len())?;
        let block = numbers_per_block(a.len());
        (y.par_chunks_mut(block), a.par_chunks(block), b.par_chunks(block))
            .into_par_iter()
            .for_each(|(y, a, b)| f(a, b, y));
        Ok(())
    }

    /// Calls `f` with blocks of (a, b, dy, da, db), to write the last two.
    pub(super) fn backward<T: Real>(
        self,
        [a, b, dy]: [&[T]; 3],
        [da, db]: [&mut [T]; 2],
        f: impl Fn(&[T], &[T], &[T], &mut [T], &mut [T]) + Sync,
    ) -> Result<()> {
        check_size(self.op, self.second, a.len(), b.len())?;
        check_size(self.op, "gradient of the output", a.len(), dy.len())?;
        check_size(self.op, self.d_first, a.len(), da.len())?;
        check_size(self.op, self.d_second, a.len(), db.len())?;
        let block = numbers_per_block(a.len());
        (da.par_chunks_mut(block), db.par_chunks_mut(block), a.par_chunks(block))
            .into_par_iter()
            .zip((b.par_chunks(block), dy.par_chunks(block)))
            .for_each(|((da, db, a), (b, dy))| f(a, b, dy, da, db));
        Ok(())
    }
}
