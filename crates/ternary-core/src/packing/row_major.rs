//! Trits row after row: the form that files keep.
//!
//! Here a byte holds neighbouring columns of one row, and a row starts on a fresh byte. The code of a
//! byte is that of the [module page](super); only the places of the trits differ.
//!
//! ```text
//! two bits    byte b of a row:  bits 1‥0 → column 4b,  3‥2 → 4b+1,  5‥4 → 4b+2,  7‥6 → 4b+3
//! five trits  byte b of a row:  digits d₀‥d₄ → columns 5b ‥ 5b+4
//! ```
//!
//! What is left of the last byte of a row holds the zero trit.

use super::layout::{Layout, Packing};
use super::packed::PackedTrits;
use crate::error::{Error, Result, check_length};

const NAME: &str = "row-major trits";

impl Packing {
    /// Bytes of a row of `cols` trits in [`PackedTrits::to_row_major`].
    pub const fn row_major_bytes(self, cols: usize) -> usize {
        cols.div_ceil(self.trits_per_byte())
    }
}

impl PackedTrits {
    /// The trits row after row, `rows · `[`Packing::row_major_bytes`] bytes.
    ///
    /// ```
    /// use ternary_core::{Layout, PackedTrits, Packing};
    ///
    /// let layout = Layout::new(2, 3, 3, Packing::TwoBit)?;
    /// let packed = PackedTrits::from_trits(layout, &[1, 0, -1, 0, 1, 1])?;
    /// let bytes = packed.to_row_major();
    /// assert_eq!(bytes, [0b01_00_01_10, 0b01_10_10_01]);
    /// assert_eq!(PackedTrits::from_row_major(layout, &bytes)?, packed);
    /// # Ok::<(), ternary_core::Error>(())
    /// ```
    pub fn to_row_major(&self) -> Vec<u8> {
        let (layout, packing) = (self.layout(), self.layout().packing());
        let row_bytes = packing.row_major_bytes(layout.cols());
        let mut bytes = vec![0; layout.rows() * row_bytes];
        if layout.is_empty() {
            return bytes;
        }
        let mut trits = vec![0; layout.cols()];
        for (row, bytes) in bytes.chunks_exact_mut(row_bytes.max(1)).enumerate() {
            self.row(row, &mut trits).expect("a row of its own layout");
            match packing {
                Packing::TwoBit => encode_row::<4>(Packing::TwoBit, &trits, bytes),
                Packing::FiveTrits => encode_row::<5>(Packing::FiveTrits, &trits, bytes),
            }
        }
        bytes
    }

    /// Packs trits that come row after row, as [`PackedTrits::to_row_major`] gave them.
    ///
    /// # Errors
    /// [`Error::Length`], or [`Error::InvalidCode`] with the position of the first byte that is no
    /// code, or that holds something else than zero trits behind the end of its row.
    pub fn from_row_major(layout: Layout, bytes: &[u8]) -> Result<Self> {
        let packing = layout.packing();
        let row_bytes = packing.row_major_bytes(layout.cols());
        check_length(NAME, layout.rows() * row_bytes, bytes.len())?;
        let mut packed = Self::zeros(layout);
        if layout.is_empty() {
            return Ok(packed);
        }
        let mut trits = vec![0; layout.cols()];
        for (row, codes) in bytes.chunks_exact(row_bytes.max(1)).enumerate() {
            let invalid = match packing {
                Packing::TwoBit => decode_row::<4>(Packing::TwoBit, codes, &mut trits),
                Packing::FiveTrits => decode_row::<5>(Packing::FiveTrits, codes, &mut trits),
            };
            if let Some(byte) = invalid {
                let (position, code) = (row * row_bytes + byte, codes[byte]);
                return Err(Error::InvalidCode { format: NAME, position, code });
            }
            packed.set_row(row, &trits);
        }
        Ok(packed)
    }
}

/// Packs a row, `N` trits in a byte.
fn encode_row<const N: usize>(packing: Packing, trits: &[i8], bytes: &mut [u8]) {
    let encode = |trits: &[i8]| {
        let mut digits = [1; 5];
        for (digit, &trit) in digits.iter_mut().zip(trits) {
            *digit = (trit + 1) as u8;
        }
        packing.encode(&digits)
    };
    let (whole, rest) = trits.as_chunks::<N>();
    for (byte, trits) in bytes.iter_mut().zip(whole) {
        *byte = encode(trits);
    }
    if !rest.is_empty() {
        bytes[whole.len()] = encode(rest);
    }
}

/// Unpacks a row, `N` trits in a byte, or gives the index of the first byte that is no code or that
/// holds something else than zero trits behind the row.
fn decode_row<const N: usize>(packing: Packing, bytes: &[u8], trits: &mut [i8]) -> Option<usize> {
    let invalid = bytes.iter().position(|&byte| !packing.is_valid(byte));
    if invalid.is_some() {
        return invalid;
    }
    let (whole, rest) = trits.as_chunks_mut::<N>();
    for (trits, &byte) in whole.iter_mut().zip(bytes) {
        for (digit, trit) in trits.iter_mut().enumerate() {
            *trit = packing.digit(byte, digit) as i8 - 1;
        }
    }
    let last = whole.len();
    for digit in 0..N * usize::from(!rest.is_empty()) {
        let trit = packing.digit(bytes[last], digit) as i8 - 1;
        match rest.get_mut(digit) {
            Some(rest) => *rest = trit,
            None if trit != 0 => return Some(last),
            None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_shape_round_trips_and_each_trit_lies_where_the_drawing_says(
            rows in 0..20_usize,
            segments in 0..4_usize,
            segment in 1..23_usize,
            seed in 0..3_usize,
        ) {
            let cols = segments * segment;
            let trits: Vec<i8> =
                (0..rows * cols).map(|i| [1, -1, 0, 1, 1, -1, 0][(i + seed) % 7]).collect();
            for packing in Packing::ALL {
                let layout = Layout::new(rows, cols, segment, packing).unwrap();
                let packed = PackedTrits::from_trits(layout, &trits).unwrap();
                let bytes = packed.to_row_major();
                let row_bytes = packing.row_major_bytes(cols);
                prop_assert_eq!(bytes.len(), rows * row_bytes);
                for (index, &trit) in trits.iter().enumerate() {
                    let (row, col) = (index / cols, index % cols);
                    let (byte, digit) =
                        (col / packing.trits_per_byte(), col % packing.trits_per_byte());
                    let found = packing.digit(bytes[row * row_bytes + byte], digit);
                    prop_assert_eq!(found as i8 - 1, trit);
                }
                prop_assert_eq!(PackedTrits::from_row_major(layout, &bytes).unwrap(), packed);
            }
        }
    }

    #[test]
    fn a_byte_that_is_no_code_and_a_trit_behind_the_row_are_refused_in_their_place() {
        let layout = Layout::new(2, 6, 6, Packing::TwoBit).unwrap();
        let zero = Packing::TwoBit.zero_byte();
        // The last two fields of a row's second byte are padding.
        for code in [0b11_01_01_01, 0b10_01_01_01, 0b01_00_01_01] {
            let bytes = [zero, zero, zero, code];
            let error = Error::InvalidCode { format: NAME, position: 3, code };
            assert_eq!(PackedTrits::from_row_major(layout, &bytes), Err(error));
        }
        let found = PackedTrits::from_row_major(layout, &[zero, zero, zero, 0b01_01_10_01]);
        assert_eq!(found.unwrap().get(1, 5), 1);
        let error = Error::Length { what: NAME, expected: 4, found: 3 };
        assert_eq!(PackedTrits::from_row_major(layout, &[zero; 3]), Err(error));
    }

    #[test]
    fn rows_without_columns_and_columns_without_rows_take_no_time_and_no_memory() {
        for (rows, cols) in [(1 << 45, 0), (0, 1 << 45)] {
            let layout = Layout::new(rows, cols, cols, Packing::FiveTrits).unwrap();
            assert!(PackedTrits::from_row_major(layout, &[]).unwrap().to_row_major().is_empty());
        }
    }
}
