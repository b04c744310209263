//! Packed weights as the products read them: two-bit lines, whatever the packing.

use super::arch::Arch;
use super::scratch::{self, Purpose};
use crate::packing::{LANES, LINE_BYTES, Layout, Line, PackedTrits, Packing};

/// Two-bit columns in a line.
pub(crate) const COLUMNS: usize = Packing::TwoBit.columns_per_line();

/// The packed trits of a matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    codes: &'a PackedTrits,
}

impl<'a> Source<'a> {
    pub(crate) fn new(codes: &'a PackedTrits) -> Self {
        Self { codes }
    }

    pub(crate) fn layout(&self) -> &'a Layout {
        self.codes.layout()
    }

    /// Two-bit lines of a segment.
    pub(crate) fn segment_lines(&self) -> usize {
        self.layout().segment_columns().div_ceil(COLUMNS)
    }

    /// The lines of a segment of a block, as they are packed.
    pub(crate) fn packed(&self, block: usize, segment: usize) -> &'a [Line] {
        let layout = self.layout();
        let lines = layout.lines_per_segment();
        let first = block * layout.lines_per_block() + segment * lines;
        &self.codes.lines()[first..first + lines]
    }

    /// Calls `work` with lines `range` of a segment of a block, in two bits.
    ///
    /// # Safety
    /// The processor has `A`.
    pub(crate) unsafe fn two_bit<A: Arch, R>(
        &self,
        block: usize,
        segment: usize,
        range: std::ops::Range<usize>,
        work: impl FnOnce(&[Line]) -> R,
    ) -> R {
        let packed = self.packed(block, segment);
        match self.layout().packing() {
            Packing::TwoBit => work(&packed[range]),
            Packing::FiveTrits => {
                // Four five-trit lines are five two-bit lines: start where both have a border.
                let start = range.start / 5 * 5;
                let first = start / 5 * 4;
                let last = (range.end.div_ceil(5) * 4).min(packed.len());
                let words = (range.end - start) * LINE_BYTES / 4;
                scratch::with(Purpose::Lines, words, |lines| {
                    let lines: &mut [Line] = bytemuck::cast_slice_mut(lines);
                    // SAFETY: passed on from the caller.
                    unsafe { A::five_trits_to_two_bit(&packed[first..last], lines) };
                    work(&lines[range.start - start..])
                })
            }
        }
    }

    /// Rows that block `block` really has.
    pub(crate) fn rows_of(&self, block: usize) -> usize {
        (self.layout().rows() - block * LANES).min(LANES)
    }
}
