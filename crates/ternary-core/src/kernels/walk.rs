//! How a product is walked: its blocks of outputs, and the parts that its sums are cut into.
//!
//! A part's panels are meant to fit the second-level cache. The parts of a sum are walked in order.

use std::ops::Range;

use super::outputs::Lanes;
use super::source::{COLUMNS, Source};
use super::unpack::QUADS;

/// The blocks of outputs and the steps of sums of one kind of product.
pub(crate) trait Walk {
    /// Blocks of sixteen outputs.
    fn blocks(&self) -> usize;
    /// The outputs that a block really has.
    fn lanes(&self, block: usize) -> Lanes;
    /// Parts that the steps are cut into.
    fn parts(&self) -> usize;
    /// Steps of part `part`.
    fn steps(&self, part: usize) -> usize;
    /// The first step of part `part`.
    fn first_step(&self, part: usize) -> usize;
}

/// Sums over columns, a part for each segment, in steps of four columns.
pub(crate) struct Segments<'a> {
    pub(crate) source: Source<'a>,
}

impl Walk for Segments<'_> {
    fn blocks(&self) -> usize {
        self.source.layout().blocks()
    }

    fn lanes(&self, block: usize) -> Lanes {
        self.source.row_lanes(block)
    }

    fn parts(&self) -> usize {
        self.source.layout().segments()
    }

    fn steps(&self, _part: usize) -> usize {
        QUADS * self.source.segment_lines()
    }

    fn first_step(&self, part: usize) -> usize {
        part * self.steps(part)
    }
}

/// Two-bit lines of a segment in a part: 1024 columns.
const PART_LINES: usize = 64;
/// Blocks of rows in a part: 1024 rows.
const PART_BLOCKS: usize = 64;

/// Sums over columns, in runs of lines within a segment; a line makes `STEPS` steps.
pub(crate) struct OverColumns<'a, const STEPS: usize> {
    pub(crate) source: Source<'a>,
}

impl<const STEPS: usize> OverColumns<'_, STEPS> {
    fn parts_per_segment(&self) -> usize {
        self.source.segment_lines().div_ceil(PART_LINES)
    }

    /// The segment that part `part` is in.
    pub(crate) fn segment(&self, part: usize) -> usize {
        part / self.parts_per_segment()
    }

    /// The lines of part `part` within its segment.
    pub(crate) fn lines(&self, part: usize) -> Range<usize> {
        let first = part % self.parts_per_segment() * PART_LINES;
        first..(first + PART_LINES).min(self.source.segment_lines())
    }
}

impl<const STEPS: usize> Walk for OverColumns<'_, STEPS> {
    fn blocks(&self) -> usize {
        self.source.layout().blocks()
    }

    fn lanes(&self, block: usize) -> Lanes {
        self.source.row_lanes(block)
    }

    fn parts(&self) -> usize {
        self.source.layout().segments() * self.parts_per_segment()
    }

    fn steps(&self, part: usize) -> usize {
        STEPS * self.lines(part).len()
    }

    fn first_step(&self, part: usize) -> usize {
        STEPS * (self.segment(part) * self.source.segment_lines() + self.lines(part).start)
    }
}

/// Sums over rows, in runs of blocks, for outputs that are columns, a block of them for each line; a
/// block of rows makes `STEPS` steps.
pub(crate) struct OverRows<'a, const STEPS: usize> {
    pub(crate) source: Source<'a>,
}

impl<const STEPS: usize> OverRows<'_, STEPS> {
    /// The segment that block `block` of outputs is in, and its line there.
    pub(crate) fn line(&self, block: usize) -> (usize, usize) {
        (block / self.source.segment_lines(), block % self.source.segment_lines())
    }

    /// The blocks of rows of part `part`.
    pub(crate) fn row_blocks(&self, part: usize) -> Range<usize> {
        let first = part * PART_BLOCKS;
        first..(first + PART_BLOCKS).min(self.source.layout().blocks())
    }
}

impl<const STEPS: usize> Walk for OverRows<'_, STEPS> {
    fn blocks(&self) -> usize {
        self.source.layout().segments() * self.source.segment_lines()
    }

    fn lanes(&self, block: usize) -> Lanes {
        let (segment, line) = self.line(block);
        let columns = self.source.layout().segment_columns();
        Lanes {
            first: segment * columns + COLUMNS * line,
            count: (columns - COLUMNS * line).min(COLUMNS),
        }
    }

    fn parts(&self) -> usize {
        self.source.layout().blocks().div_ceil(PART_BLOCKS)
    }

    fn steps(&self, part: usize) -> usize {
        STEPS * self.row_blocks(part).len()
    }

    fn first_step(&self, part: usize) -> usize {
        STEPS * self.row_blocks(part).start
    }
}
