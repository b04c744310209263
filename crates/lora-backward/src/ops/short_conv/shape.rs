//! Sizes of the short convolution.

use std::ops::Range;

use nn::{Error, Result, Sequences, check_size};

const OP: &str = "short_conv";

/// Numbers below which a sequence stays on the calling thread, and numbers of a block above.
const WORTH_SHARING: usize = 1 << 15;
const BLOCK: usize = 1 << 13;

/// The sizes of a short convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// How the rows divide into sequences.
    pub sequences: Sequences,
    /// Numbers in a row.
    pub channels: usize,
    /// K, at least 1.
    pub taps: usize,
}

impl ConvShape {
    pub(super) fn is_empty(self) -> bool {
        self.sequences.rows() == 0 || self.channels == 0
    }

    /// Where a sequence lies among all numbers.
    pub(super) fn numbers_of(self, sequence: usize) -> Range<usize> {
        let each = self.sequences.length * self.channels;
        sequence * each..(sequence + 1) * each
    }

    /// Where its columns lie.
    pub(super) fn columns_of(self, sequence: usize) -> Range<usize> {
        let each = self.channels * (self.taps - 1);
        sequence * each..(sequence + 1) * each
    }

    /// Rows handed out at a time; no result depends on it.
    pub(super) fn rows_per_block(self) -> usize {
        let rows = self.sequences.length;
        if rows * self.channels < WORTH_SHARING { rows } else { (BLOCK / self.channels).max(1) }
    }

    pub(super) fn check(self, taps: usize, columns: usize) -> Result<()> {
        let wrong = |what, expected, found| {
            Err(Error::Setting { layer: OP.to_owned(), what, expected, found })
        };
        if self.taps == 0 {
            return wrong("taps", "at least 1", self.taps.to_string());
        }
        let Sequences { count, length } = self.sequences;
        let sizes = [count.max(1), length.max(self.taps), self.channels.max(1), size_of::<f64>()];
        if sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)).is_none() {
            return wrong("sizes", "as many as memory can hold", format!("{self:?}"));
        }
        check_size(OP, "taps", self.channels * self.taps, taps)?;
        check_size(OP, "columns", count * self.channels * (self.taps - 1), columns)
    }

    pub(super) fn check_rows(self, what: &'static str, found: usize) -> Result<()> {
        check_size(OP, what, self.sequences.rows() * self.channels, found)
    }

    pub(super) fn check_taps(self, found: usize) -> Result<()> {
        check_size(OP, "gradients of taps", self.channels * self.taps, found)
    }
}
