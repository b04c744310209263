//! The `bitnet` quantisation of Hugging Face transformers: four rows of a column in a byte.
//!
//! ```text
//! byte (r, c) of R × cols, R = rows / 4        bits 7‥6     5‥4     3‥2     1‥0
//!                                    row         3R+r      2R+r     R+r       r
//! ```
//!
//! The four rows in a byte are R apart, not neighbours. A code is trit + 1; code 3 is no trit. The
//! number of rows must be a multiple of 4: transformers rounds R up when it packs, and down when it
//! makes room to load.
//!
//! The scale is another tensor, `weight_scale`, of one number, and what it means depends on the class
//! of the layer that will read it: [`WeightScale`] has to be said.

use super::two_bit::{self, LOW_FIRST};
use super::{check_block, elements, scale};
use crate::error::{Error, Result, check_length};
use crate::matrix::TernaryMatrix;
use crate::packing::{Packing, check_trits};
use crate::scales::{Scales, check_scales};

/// Rows in a byte.
pub const ROWS_PER_BYTE: usize = 4;

const NAME: &str = "Hugging Face bitnet";
const SCALE: &str = "weight_scale";

/// What a stored `weight_scale` does to the product with the trits. The configuration's
/// `linear_class` says which, and `bitlinear` is meant when it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WeightScale {
    /// The product is multiplied by it: the stored number is α. The class `autobitlinear`.
    Multiply,
    /// The product is divided by it: the stored number is 1/α. The class `bitlinear`.
    Divide,
}

impl WeightScale {
    /// α of a stored scale.
    ///
    /// # Errors
    /// [`Error::NonFinite`] or [`Error::OutOfRange`] when it is not finite or has its sign bit set, or
    /// when its reciprocal is needed and infinite.
    pub fn alpha(self, stored: f32) -> Result<f32> {
        self.convert(scale::check_stored(SCALE, 0, stored)?)
    }

    /// The scale to store for α. A reciprocal is rounded, so that [`WeightScale::alpha`] may give α
    /// back with an error in its last bit.
    ///
    /// # Errors
    /// [`Error::NonFinite`] or [`Error::OutOfRange`] when α is not finite, negative, or has no finite
    /// reciprocal and needs one: α = 0 can be stored only where it multiplies.
    pub fn stored(self, alpha: f32) -> Result<f32> {
        check_scales("scales", &[alpha])?;
        // A zero loses its sign: a stored scale has none.
        self.convert(alpha.abs())
    }

    /// Both ways are the same: nothing, or the reciprocal.
    fn convert(self, value: f32) -> Result<f32> {
        let converted = match self {
            Self::Multiply => value,
            Self::Divide => value.recip(),
        };
        if converted.is_finite() {
            return Ok(converted);
        }
        let value = f64::from(value);
        let expected = "a number with a finite reciprocal";
        Err(Error::OutOfRange { what: SCALE, expected, index: 0, value })
    }
}

/// Bytes of a `rows × cols` matrix.
///
/// # Errors
/// [`Error::Block`] when the number of rows is no multiple of 4, [`Error::ShapeOverflow`].
pub fn size_bytes(rows: usize, cols: usize) -> Result<usize> {
    check_block(NAME, ROWS_PER_BYTE, rows)?;
    Ok(elements(rows, cols)? / ROWS_PER_BYTE)
}

/// The bytes of row-major trits, `[rows / 4, cols]`.
///
/// # Errors
/// Those of [`size_bytes`]; [`Error::Length`]; [`Error::OutOfRange`] with the index of the first number
/// that is no trit.
pub fn encode(rows: usize, cols: usize, trits: &[i8]) -> Result<Vec<u8>> {
    let size = size_bytes(rows, cols)?;
    check_length("trits", elements(rows, cols)?, trits.len())?;
    check_trits(trits)?;
    // Rows R apart are elements R · cols apart: the whole matrix is one run.
    let mut bytes = vec![0; size];
    two_bit::write(trits, LOW_FIRST, &mut bytes);
    Ok(bytes)
}

/// The row-major trits of a `rows × cols` matrix.
///
/// # Errors
/// Those of [`size_bytes`]; [`Error::Length`]; [`Error::InvalidCode`] with the position of the byte.
pub fn decode(rows: usize, cols: usize, bytes: &[u8]) -> Result<Vec<i8>> {
    // The length is checked before anything is allocated.
    check_length(NAME, size_bytes(rows, cols)?, bytes.len())?;
    if let Some(position) = two_bit::first_invalid(bytes) {
        return Err(Error::InvalidCode { format: NAME, position, code: bytes[position] });
    }
    let mut trits = vec![0; elements(rows, cols)?];
    two_bit::read(bytes, LOW_FIRST, &mut trits);
    Ok(trits)
}

/// The bytes of a matrix with one scale for the tensor, and the scale to store beside them.
///
/// # Errors
/// Those of [`size_bytes`] and [`WeightScale::stored`]; [`Error::Mismatch`] when its scales are
/// asymmetric, or per row or group.
pub fn encode_matrix(matrix: &TernaryMatrix, convention: WeightScale) -> Result<(Vec<u8>, f32)> {
    let stored = convention.stored(scale::of_tensor(matrix)?)?;
    Ok((encode(matrix.rows(), matrix.cols(), &matrix.to_trits())?, stored))
}

/// The `rows × cols` matrix that the bytes and the stored scale mean.
///
/// # Errors
/// Those of [`decode`] and [`WeightScale::alpha`].
pub fn decode_matrix(
    rows: usize,
    cols: usize,
    bytes: &[u8],
    stored: f32,
    convention: WeightScale,
    packing: Packing,
) -> Result<TernaryMatrix> {
    let trits = decode(rows, cols, bytes)?;
    let scales = Scales::tensor(convention.alpha(stored)?)?;
    TernaryMatrix::from_trits(rows, cols, &trits, scales, packing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation_gives_its_rows() {
        let bytes = [0xa1, 0x18, 0x90, 0x0a];
        let rows = [0, -1, -1, 1, -1, 1, -1, 1, 1, 0, 0, -1, 1, -1, 1, -1];
        assert_eq!(decode(8, 2, &bytes).unwrap(), rows);
        assert_eq!(encode(8, 2, &rows).unwrap(), bytes);
    }

    #[test]
    fn each_element_has_its_own_two_bits() {
        let (rows, cols) = (12, 5);
        for element in 0..rows * cols {
            let mut trits = vec![-1; rows * cols];
            trits[element] = 1;
            let (row, col) = (element / cols, element % cols);
            let mut expected = [0; 15];
            expected[row % 3 * cols + col] = 2 << (2 * (row / 3));
            assert_eq!(encode(rows, cols, &trits).unwrap(), expected, "element {element}");
            assert_eq!(decode(rows, cols, &expected).unwrap(), trits);
        }
    }

    #[test]
    fn a_stored_scale_multiplies_or_divides_as_its_convention_says() {
        assert_eq!(WeightScale::Multiply.alpha(1.25), Ok(1.25));
        assert_eq!(WeightScale::Divide.alpha(1.25), Ok(0.8));
        assert_eq!(WeightScale::Divide.stored(0.8), Ok(1.25));
        assert_eq!(WeightScale::Multiply.stored(-0.0).map(f32::to_bits), Ok(0));
        // 1/0 and 1/2^-149 are infinite.
        for lost in [0.0, f32::from_bits(1)] {
            assert!(matches!(WeightScale::Divide.alpha(lost), Err(Error::OutOfRange { .. })));
            assert!(matches!(WeightScale::Divide.stored(lost), Err(Error::OutOfRange { .. })));
            assert_eq!(WeightScale::Multiply.alpha(lost), Ok(lost));
        }
        for convention in [WeightScale::Multiply, WeightScale::Divide] {
            for bad in [f32::NAN, f32::INFINITY] {
                assert!(matches!(convention.alpha(bad), Err(Error::NonFinite { .. })));
                assert!(matches!(convention.stored(bad), Err(Error::NonFinite { .. })));
            }
            assert!(matches!(convention.alpha(-1.0), Err(Error::OutOfRange { .. })));
            assert!(matches!(convention.stored(-1.0), Err(Error::OutOfRange { .. })));
        }
    }

    #[test]
    fn what_means_nothing_is_refused_in_its_place() {
        let error = Error::InvalidCode { format: NAME, position: 1, code: 0b00_11_01_01 };
        assert_eq!(decode(4, 2, &[0, 0b00_11_01_01]), Err(error));
        let error = Error::Block { what: NAME, block: 4, found: 6 };
        assert_eq!(encode(6, 2, &[0; 12]), Err(error.clone()));
        assert_eq!(decode(6, 2, &[0; 3]), Err(error));
        let error = Error::Length { what: NAME, expected: 2, found: 3 };
        assert_eq!(decode(4, 2, &[0; 3]), Err(error));
    }
}
