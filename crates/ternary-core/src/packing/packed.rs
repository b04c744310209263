//! A matrix of packed trits, without scales.

use super::layout::{LANES, LINE_BYTES, Layout, Line, Packing};
use crate::error::{Error, Result, check_length};

/// A matrix of trits in the layout that the kernels read (see the [module page](super)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedTrits {
    layout: Layout,
    lines: Box<[Line]>,
}

impl PackedTrits {
    /// A matrix of zero trits.
    pub fn zeros(layout: Layout) -> Self {
        let line = Line([layout.packing().zero_byte(); LINE_BYTES]);
        Self { layout, lines: vec![line; layout.lines()].into_boxed_slice() }
    }

    /// Packs row-major trits.
    ///
    /// # Errors
    /// [`Error::Length`], or [`Error::OutOfRange`] with the index of the first number that is not
    /// −1, 0 or +1.
    pub fn from_trits(layout: Layout, trits: &[i8]) -> Result<Self> {
        check_length("trits", layout.rows() * layout.cols(), trits.len())?;
        check_trits(trits)?;
        let mut packed = Self::zeros(layout);
        for (row, trits) in trits.chunks_exact(layout.cols().max(1)).enumerate() {
            packed.set_row(row, trits);
        }
        Ok(packed)
    }

    /// Takes bytes that are already in this layout, as [`PackedTrits::as_bytes`] gave them.
    ///
    /// # Errors
    /// [`Error::Length`], or [`Error::InvalidCode`] with the position of the first byte that is no
    /// code, or that holds something else than zero trits in the padding.
    pub fn from_bytes(layout: Layout, bytes: &[u8]) -> Result<Self> {
        check_length("packed bytes", layout.bytes(), bytes.len())?;
        let mut packed = Self::zeros(layout);
        bytemuck::cast_slice_mut(&mut packed.lines).copy_from_slice(bytes);
        for (position, &code) in bytes.iter().enumerate() {
            if !layout.packing().is_valid(code) || !packed.padding_is_zero(position, code) {
                return Err(Error::InvalidCode { format: "packed trits", position, code });
            }
        }
        Ok(packed)
    }

    fn padding_is_zero(&self, position: usize, code: u8) -> bool {
        let layout = &self.layout;
        if code == layout.packing().zero_byte() {
            return true;
        }
        let (line, byte) = (position / LINE_BYTES, position % LINE_BYTES);
        let (block, line) = (line / layout.lines_per_block(), line % layout.lines_per_block());
        let row = block * LANES + byte / 4;
        (0..layout.packing().trits_per_byte()).all(|digit| {
            let inside = row < layout.rows() && layout.column(line, byte % 4, digit).is_some();
            inside || layout.packing().digit(code, digit) == 1
        })
    }

    /// Shape, packing and segments.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The packed bytes, padding included.
    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines)
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(crate) fn lines_mut(&mut self) -> &mut [Line] {
        &mut self.lines
    }

    /// Bytes on the heap.
    pub fn size_bytes(&self) -> usize {
        size_of_val::<[Line]>(&self.lines)
    }

    /// The trit at (`row`, `col`).
    ///
    /// # Panics
    /// When the position is outside the matrix.
    pub fn get(&self, row: usize, col: usize) -> i8 {
        let layout = &self.layout;
        assert!(row < layout.rows() && col < layout.cols(), "trit ({row}, {col}) of {layout:?}");
        let (line, byte, digit) = layout.position(row, col);
        layout.packing().digit(self.lines[line].0[byte], digit) as i8 - 1
    }

    /// Unpacks one row.
    ///
    /// # Errors
    /// [`Error::Length`] when `trits` is not a row long or `row` does not exist.
    pub fn row(&self, row: usize, trits: &mut [i8]) -> Result<()> {
        check_length("row of trits", self.layout.cols(), trits.len())?;
        self.visit_row(row, |col, trit| trits[col] = trit)
    }

    /// Calls `visit` with the column and the trit of each position of a row, in order.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) when there is no such row.
    pub(crate) fn visit_row(&self, row: usize, mut visit: impl FnMut(usize, i8)) -> Result<()> {
        let layout = &self.layout;
        check_row(row, layout.rows())?;
        let first = row / LANES * layout.lines_per_block();
        let lines = &self.lines[first..first + layout.lines_per_block()];
        let lane = 4 * (row % LANES);
        let (columns, segment) = (layout.packing().columns_per_line(), layout.segment_columns());
        let starts = (0..layout.cols()).step_by(segment.max(1));
        for (origin, lines) in starts.zip(lines.chunks(layout.lines_per_segment().max(1))) {
            for (start, line) in (origin..origin + segment).step_by(columns).zip(lines) {
                let lane = [0, 1, 2, 3].map(|byte| line.0[lane + byte]);
                let digits = layout.packing().lane_digits(lane);
                // Two bits fill fewer digits than five trits do.
                let end = (start + columns).min(origin + segment);
                for (col, digit) in (start..end).zip(digits) {
                    visit(col, digit as i8 - 1);
                }
            }
        }
        Ok(())
    }

    /// Packs one row of trits (each −1, 0 or +1, checked by the caller).
    pub(crate) fn set_row(&mut self, row: usize, trits: &[i8]) {
        let layout = self.layout;
        let first = row / LANES * layout.lines_per_block();
        let lines = &mut self.lines[first..first + layout.lines_per_block()];
        let lane = 4 * (row % LANES);
        let columns = layout.packing().columns_per_line();
        let segments = trits.chunks(layout.segment_columns().max(1));
        for (trits, lines) in segments.zip(lines.chunks_mut(layout.lines_per_segment().max(1))) {
            for (trits, line) in trits.chunks(columns).zip(lines) {
                for byte in 0..4 {
                    let mut digits = [1; 5];
                    for (digit, &trit) in digits.iter_mut().zip(trits.iter().skip(byte).step_by(4))
                    {
                        *digit = (trit + 1) as u8;
                    }
                    line.0[lane + byte] = layout.packing().encode(&digits);
                }
            }
        }
    }

    /// All trits, row-major.
    pub fn to_trits(&self) -> Vec<i8> {
        let mut trits = vec![0; self.layout.rows() * self.layout.cols()];
        for (row, trits) in trits.chunks_exact_mut(self.layout.cols().max(1)).enumerate() {
            self.row(row, trits).expect("a row of its own layout");
        }
        trits
    }

    /// The same trits in another packing or with other segments.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn repack(&self, packing: Packing, segment: usize) -> Result<Self> {
        let layout = Layout::new(self.layout.rows(), self.layout.cols(), segment, packing)?;
        let mut packed = Self::zeros(layout);
        if layout.is_empty() {
            return Ok(packed);
        }
        let mut trits = vec![0; layout.cols()];
        for row in 0..layout.rows() {
            self.row(row, &mut trits)?;
            packed.set_row(row, &trits);
        }
        Ok(packed)
    }

    /// The transposed matrix, its rows in segments of `segment` columns.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn transpose(&self, segment: usize) -> Result<Self> {
        let (rows, cols) = (self.layout.rows(), self.layout.cols());
        let layout = Layout::new(cols, rows, segment, self.layout.packing())?;
        let mut packed = Self::zeros(layout);
        if layout.is_empty() {
            return Ok(packed);
        }
        let trits = self.to_trits();
        let mut column = vec![0; rows];
        for col in 0..cols {
            for (row, trit) in column.iter_mut().enumerate() {
                *trit = trits[row * cols + col];
            }
            packed.set_row(col, &column);
        }
        Ok(packed)
    }
}

/// Checks that every number is −1, 0 or +1.
pub(crate) fn check_trits(trits: &[i8]) -> Result<()> {
    let Some(index) = trits.iter().position(|t| !(-1..=1).contains(t)) else { return Ok(()) };
    let value = f64::from(trits[index]);
    Err(Error::OutOfRange { what: "trits", expected: "-1, 0 or 1", index, value })
}

pub(crate) fn check_row(row: usize, rows: usize) -> Result<()> {
    if row < rows {
        return Ok(());
    }
    Err(Error::Mismatch {
        what: "row",
        expected: format!("an index below {rows}"),
        found: row.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any shape with any segment that divides it, and trits to fill it.
    fn any_matrix() -> impl Strategy<Value = (Layout, Vec<i8>)> {
        (0..40_usize, 0..8_usize, 1..45_usize, prop::bool::ANY).prop_flat_map(
            |(rows, segments, segment, two_bit)| {
                let packing = if two_bit { Packing::TwoBit } else { Packing::FiveTrits };
                let layout = Layout::new(rows, segments * segment, segment, packing).unwrap();
                let trits = prop::collection::vec(-1..=1_i8, rows * segments * segment);
                (Just(layout), trits)
            },
        )
    }

    proptest! {
        #[test]
        fn every_shape_round_trips((layout, trits) in any_matrix()) {
            let packed = PackedTrits::from_trits(layout, &trits).unwrap();
            prop_assert_eq!(packed.to_trits(), &trits[..]);
            prop_assert_eq!(packed.size_bytes(), layout.bytes());
            let reread = PackedTrits::from_bytes(layout, packed.as_bytes()).unwrap();
            prop_assert_eq!(&reread, &packed);
            for packing in Packing::ALL {
                let whole = packed.repack(packing, layout.cols()).unwrap();
                prop_assert_eq!(whole.to_trits(), &trits[..]);
            }
            for row in 0..layout.rows() {
                let mut visited = Vec::new();
                packed.visit_row(row, |col, trit| visited.push((col, trit))).unwrap();
                let own = &trits[row * layout.cols()..(row + 1) * layout.cols()];
                prop_assert_eq!(visited, own.iter().copied().enumerate().collect::<Vec<_>>());
                for col in 0..layout.cols() {
                    prop_assert_eq!(packed.get(row, col), trits[row * layout.cols() + col]);
                }
            }
        }

        #[test]
        fn transposing_twice_gives_the_matrix_back((layout, trits) in any_matrix()) {
            let packed = PackedTrits::from_trits(layout, &trits).unwrap();
            let transposed = packed.transpose(layout.rows()).unwrap();
            for row in 0..layout.rows() {
                for col in 0..layout.cols() {
                    prop_assert_eq!(transposed.get(col, row), packed.get(row, col));
                }
            }
            prop_assert_eq!(transposed.transpose(layout.segment_columns()).unwrap(), packed);
        }
    }

    #[test]
    fn an_invalid_code_is_an_error_with_its_position() {
        for (packing, code) in [(Packing::TwoBit, 0b11_00_00_00), (Packing::FiveTrits, 1)] {
            assert!(!packing.is_valid(code), "{packing:?}");
            let layout = Layout::new(16, 40, 40, packing).unwrap();
            let mut bytes = PackedTrits::zeros(layout).as_bytes().to_vec();
            bytes[70] = code;
            assert_eq!(
                PackedTrits::from_bytes(layout, &bytes),
                Err(Error::InvalidCode { format: "packed trits", position: 70, code })
            );
        }
    }

    #[test]
    fn padding_that_is_not_zero_is_refused() {
        let layout = Layout::new(3, 5, 5, Packing::TwoBit).unwrap();
        let mut bytes = PackedTrits::zeros(layout).as_bytes().to_vec();
        bytes[13] = 0b01_01_01_10; // row 3 of a matrix of three rows
        assert!(PackedTrits::from_bytes(layout, &bytes).is_err());
        bytes[13] = layout.packing().zero_byte();
        bytes[2] = 0b01_01_10_01; // column 6 of a row of five
        assert!(PackedTrits::from_bytes(layout, &bytes).is_err());
        bytes[2] = 0b01_01_01_10; // column 2
        assert_eq!(PackedTrits::from_bytes(layout, &bytes).unwrap().get(0, 2), 1);
    }

    #[test]
    fn numbers_that_are_no_trits_and_shapes_that_overflow_are_refused() {
        let layout = Layout::new(1, 3, 3, Packing::TwoBit).unwrap();
        let bad = PackedTrits::from_trits(layout, &[0, 2, 0]);
        assert!(matches!(bad, Err(Error::OutOfRange { index: 1, .. })));
        assert!(matches!(PackedTrits::from_trits(layout, &[0]), Err(Error::Length { .. })));
        for (rows, cols) in [(usize::MAX, 1), (1, usize::MAX), (1 << 32, 1 << 32)] {
            let shape = Layout::new(rows, cols, cols, Packing::TwoBit);
            assert_eq!(shape, Err(Error::ShapeOverflow { rows, cols }));
        }
        assert!(Layout::new(1, 4, 0, Packing::TwoBit).is_err());
    }
}
