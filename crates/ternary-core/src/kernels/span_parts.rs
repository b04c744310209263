//! How a long sum is cut into parts whose panels fit the second-level cache.

use std::ops::Range;

use super::source::{COLUMNS, Source};

/// Float steps that the columns of a two-bit line make (pairs make half of them).
pub(crate) const COLUMN_STEPS: usize = COLUMNS;

/// Two-bit lines of a segment in a part: 1024 columns.
const PART_LINES: usize = 64;
/// Blocks of rows in a part: 1024 rows.
const PART_BLOCKS: usize = 64;

/// Parts of a sum over columns: runs of lines within a segment.
pub(crate) struct ColumnParts {
    segments: usize,
    lines: usize,
}

impl ColumnParts {
    pub(crate) fn new(source: &Source<'_>) -> Self {
        Self { segments: source.layout().segments(), lines: source.segment_lines() }
    }

    fn per_segment(&self) -> usize {
        self.lines.div_ceil(PART_LINES)
    }

    pub(crate) fn count(&self) -> usize {
        self.segments * self.per_segment()
    }

    pub(crate) fn segment(&self, part: usize) -> usize {
        part / self.per_segment()
    }

    /// The lines of part `part` within its segment.
    pub(crate) fn lines(&self, part: usize) -> Range<usize> {
        let first = part % self.per_segment() * PART_LINES;
        first..(first + PART_LINES).min(self.lines)
    }

    /// The first line of part `part` within the row.
    pub(crate) fn first_line(&self, part: usize) -> usize {
        self.segment(part) * self.lines + self.lines(part).start
    }
}

/// Parts of a sum over rows: runs of blocks.
pub(crate) struct RowParts {
    blocks: usize,
}

impl RowParts {
    pub(crate) fn new(source: &Source<'_>) -> Self {
        Self { blocks: source.layout().blocks() }
    }

    pub(crate) fn count(&self) -> usize {
        self.blocks.div_ceil(PART_BLOCKS)
    }

    pub(crate) fn blocks(&self, part: usize) -> Range<usize> {
        let first = part * PART_BLOCKS;
        first..(first + PART_BLOCKS).min(self.blocks)
    }
}
