//! Where a trit lives: the geometry of blocks, segments and lines.

use crate::error::{Error, Result};

/// Rows in a block: the lanes of a line.
pub(crate) const LANES: usize = 16;
/// Bytes in a line.
pub(crate) const LINE_BYTES: usize = 64;

/// One line: 64 bytes on a 64-byte boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; LINE_BYTES]);

/// How a byte holds trits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Packing {
    /// Four trits in a byte, two bits each: the fastest to read and to write.
    TwoBit,
    /// Five trits in a byte (1.6 bits each): a fifth less memory, for inference.
    FiveTrits,
}

impl Packing {
    /// Both packings.
    pub const ALL: [Self; 2] = [Self::TwoBit, Self::FiveTrits];

    /// Trits in a byte.
    pub const fn trits_per_byte(self) -> usize {
        match self {
            Self::TwoBit => 4,
            Self::FiveTrits => 5,
        }
    }

    /// Columns that a line holds of each of its rows.
    pub const fn columns_per_line(self) -> usize {
        4 * self.trits_per_byte()
    }
}

/// Shape, packing and segment length: everything that says where a trit lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    rows: usize,
    cols: usize,
    segment: usize,
    packing: Packing,
    // Derived; here because every block of a product asks for them and a division is slow.
    segments: usize,
    lines_per_segment: usize,
}

impl Layout {
    /// The layout of a `rows × cols` matrix whose rows are cut into segments of `segment` columns.
    ///
    /// # Errors
    /// [`Error::Block`] when `segment` does not divide `cols` (or is zero while `cols` is not),
    /// [`Error::ShapeOverflow`] when the matrix could not be addressed.
    pub fn new(rows: usize, cols: usize, segment: usize, packing: Packing) -> Result<Self> {
        if !cols.is_multiple_of(segment) {
            return Err(Error::Block { what: "packing segments", block: segment, found: cols });
        }
        // A row without columns is one segment without columns.
        let segments = cols.checked_div(segment).unwrap_or(1);
        let lines_per_segment = segment.div_ceil(packing.columns_per_line());
        let layout = Self { rows, cols, segment, packing, segments, lines_per_segment };
        // An i8 or f32 copy of the matrix must be addressable too, hence the factor of eight; and so
        // must a row or a column where there are none of the others.
        let fits = rows
            .max(1)
            .checked_next_multiple_of(LANES)
            .and_then(|rows| rows.checked_mul(segments.max(1)))
            .and_then(|n| n.checked_mul(lines_per_segment.max(1)))
            .and_then(|n| n.checked_mul(LINE_BYTES))
            .and_then(|n| n.checked_mul(8))
            .is_some_and(|bytes| isize::try_from(bytes).is_ok());
        let dense = rows.checked_mul(cols).and_then(|n| n.checked_mul(8));
        if fits && dense.is_some_and(|bytes| isize::try_from(bytes).is_ok()) {
            Ok(layout)
        } else {
            Err(Error::ShapeOverflow { rows, cols })
        }
    }

    /// Whether there is no trit at all, however many rows or columns there are.
    pub fn is_empty(&self) -> bool {
        self.rows == 0 || self.cols == 0
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// How a byte holds trits.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Columns in a segment.
    pub fn segment_columns(&self) -> usize {
        self.segment
    }

    /// Segments of a row. A row without columns is one segment without columns.
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// Lines of one segment of a block.
    pub fn lines_per_segment(&self) -> usize {
        self.lines_per_segment
    }

    /// Lines of a block.
    pub fn lines_per_block(&self) -> usize {
        self.segments() * self.lines_per_segment()
    }

    /// Blocks of sixteen rows.
    pub fn blocks(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Lines of the whole matrix.
    pub fn lines(&self) -> usize {
        self.blocks() * self.lines_per_block()
    }

    /// Bytes of the whole matrix, padding included.
    pub fn bytes(&self) -> usize {
        self.lines() * LINE_BYTES
    }

    /// Columns of a row with every segment padded to whole lines.
    pub fn padded_columns(&self) -> usize {
        self.lines_per_block() * self.packing.columns_per_line()
    }

    /// The column that digit `digit` of byte `byte` of a lane in line `line` of a block holds;
    /// `None` for padding.
    pub(crate) fn column(&self, line: usize, byte: usize, digit: usize) -> Option<usize> {
        let (segment, line) = (line / self.lines_per_segment(), line % self.lines_per_segment());
        let within = line * self.packing.columns_per_line() + 4 * digit + byte;
        (within < self.segment).then_some(segment * self.segment + within)
    }

    /// Where trit (`row`, `col`) lives: line, byte within the line, digit within the byte.
    pub(crate) fn position(&self, row: usize, col: usize) -> (usize, usize, usize) {
        let (block, lane) = (row / LANES, row % LANES);
        let (segment, within) = (col / self.segment, col % self.segment);
        let columns = self.packing.columns_per_line();
        let line =
            block * self.lines_per_block() + segment * self.lines_per_segment() + within / columns;
        let within = within % columns;
        (line, 4 * lane + within % 4, within / 4)
    }
}
