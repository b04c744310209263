//! Scales as foreign layouts store them: one f16 for each block, or one number for the tensor.

use half::f16;

use crate::error::{Error, Result};
use crate::matrix::TernaryMatrix;
use crate::scales::{Granularity, Scales, check_scales};

const BLOCK_SCALES: &str = "block scales";

/// Rounds scales to f16, to the nearest with ties to even. A zero loses its sign.
///
/// # Errors
/// [`Error::OutOfRange`] for a scale that becomes infinite, or that is not zero and becomes zero.
pub(super) fn round_to_f16(scales: &[f32]) -> Result<Vec<f16>> {
    check_scales(BLOCK_SCALES, scales)?;
    let rounded: Vec<f16> = scales.iter().map(|scale| f16::from_f32(scale.abs())).collect();
    let lost = |(&scale, &rounded): (&f32, &f16)| {
        rounded.is_infinite() || (rounded == f16::ZERO && scale != 0.0)
    };
    match scales.iter().zip(&rounded).position(lost) {
        None => Ok(rounded),
        Some(index) => Err(Error::OutOfRange {
            what: BLOCK_SCALES,
            expected: "0, or a number that f16 rounds to one from 2^-24 to 65504",
            index,
            value: f64::from(scales[index]),
        }),
    }
}

/// Widens the f16 scale of block `block`.
///
/// # Errors
/// As [`check_stored`].
pub(super) fn widen(block: usize, bytes: [u8; 2]) -> Result<f32> {
    check_stored(BLOCK_SCALES, block, f16::from_le_bytes(bytes).to_f32())
}

/// Checks a scale that was read. A negative zero is refused as well: nobody writes it, and it would
/// give every weight the sign that its trit does not have.
///
/// # Errors
/// [`Error::NonFinite`] or [`Error::OutOfRange`].
pub(super) fn check_stored(what: &'static str, index: usize, scale: f32) -> Result<f32> {
    let value = f64::from(scale);
    if !scale.is_finite() {
        Err(Error::NonFinite { what, index, value })
    } else if scale.is_sign_negative() {
        Err(Error::OutOfRange { what, expected: "a number whose sign bit is clear", index, value })
    } else {
        Ok(scale)
    }
}

/// The f16 scale of each block of `block` columns: a matrix's scale is repeated for all the blocks
/// that it covers.
///
/// # Errors
/// [`Error::Mismatch`] when scales are asymmetric or cover no whole number of blocks, and those of
/// [`round_to_f16`] with the index among the matrix's own scales.
pub(super) fn of_blocks(matrix: &TernaryMatrix, block: usize) -> Result<Vec<f16>> {
    let scales = matrix.scales();
    let rounded = round_to_f16(symmetric(scales)?)?;
    let covered = scales.granularity().columns_per_scale(matrix.cols())?;
    if !covered.is_multiple_of(block) {
        return Err(Error::Mismatch {
            what: "columns that share a scale",
            expected: format!("a multiple of the block of {block}"),
            found: covered.to_string(),
        });
    }
    if scales.granularity() == Granularity::Tensor {
        return Ok(vec![rounded[0]; matrix.rows() * (matrix.cols() / block)]);
    }
    Ok(rounded.into_iter().flat_map(|scale| std::iter::repeat_n(scale, covered / block)).collect())
}

/// The one scale of the whole matrix.
///
/// # Errors
/// [`Error::Mismatch`] when scales are asymmetric, or per row or group.
pub(super) fn of_tensor(matrix: &TernaryMatrix) -> Result<f32> {
    let alpha = symmetric(matrix.scales())?;
    match matrix.scales().granularity() {
        Granularity::Tensor => Ok(alpha[0]),
        other => Err(Error::Mismatch {
            what: "scales of a layout that holds one",
            expected: "one for the tensor".into(),
            found: format!("{other:?}"),
        }),
    }
}

fn symmetric(scales: &Scales) -> Result<&[f32]> {
    if scales.is_symmetric() {
        return Ok(scales.positive());
    }
    Err(Error::Mismatch {
        what: "scales of a foreign layout",
        expected: "one magnitude for both signs".into(),
        found: "one for each sign".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packing::Packing;

    fn zeros(rows: usize, cols: usize, scales: Scales) -> TernaryMatrix {
        TernaryMatrix::from_trits(rows, cols, &vec![0; rows * cols], scales, Packing::TwoBit)
            .unwrap()
    }

    #[test]
    fn a_scale_that_f16_cannot_hold_is_an_error_with_its_index() {
        // 65520 is half way between the largest f16 and the next power of two, 2^-25 half way
        // between zero and the smallest: ties go to the even side.
        let below = 65520.0_f32.next_down();
        let above = 2.0_f32.powi(-25).next_up();
        let rounded = round_to_f16(&[0.0, -0.0, below, above]).unwrap();
        let bits: Vec<u16> = rounded.into_iter().map(f16::to_bits).collect();
        assert_eq!(bits, [0, 0, f16::MAX.to_bits(), 1]);
        for lost in [65520.0, f32::MAX, 2.0_f32.powi(-25), f32::from_bits(1)] {
            let error = round_to_f16(&[1.0, lost]).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { index: 1, .. }), "{lost}: {error}");
        }
        assert!(matches!(round_to_f16(&[f32::NAN]), Err(Error::NonFinite { index: 0, .. })));
        assert!(matches!(round_to_f16(&[-1.0]), Err(Error::OutOfRange { index: 0, .. })));
    }

    #[test]
    fn a_stored_scale_must_be_finite_and_its_sign_bit_clear() {
        assert_eq!(widen(3, f16::MAX.to_le_bytes()), Ok(65504.0));
        assert_eq!(widen(3, [1, 0]), Ok(2.0_f32.powi(-24)));
        for bad in [f16::NAN, f16::INFINITY, f16::NEG_INFINITY] {
            let error = widen(3, bad.to_le_bytes()).unwrap_err();
            assert!(matches!(error, Error::NonFinite { index: 3, .. }), "{error}");
        }
        for bad in [f16::NEG_ONE, f16::NEG_ZERO] {
            let error = widen(3, bad.to_le_bytes()).unwrap_err();
            assert!(matches!(error, Error::OutOfRange { index: 3, .. }), "{error}");
        }
    }

    #[test]
    fn a_scale_is_repeated_for_every_block_that_it_covers() {
        let blocks = |scales| {
            let halves = of_blocks(&zeros(2, 16, scales), 4).unwrap();
            halves.into_iter().map(f16::to_f32).collect::<Vec<_>>()
        };
        assert_eq!(blocks(Scales::tensor(3.0).unwrap()), [3.0; 8]);
        let rows = Scales::symmetric(Granularity::Row, vec![1.0, 2.0]).unwrap();
        assert_eq!(blocks(rows), [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        let group = Granularity::group(8).unwrap();
        let groups = Scales::symmetric(group, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(blocks(groups), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
    }

    #[test]
    fn scales_that_a_layout_cannot_say_are_refused() {
        let group = Granularity::group(2).unwrap();
        let groups = zeros(1, 4, Scales::symmetric(group, vec![1.0; 2]).unwrap());
        assert!(matches!(of_blocks(&groups, 4), Err(Error::Mismatch { .. })));
        assert!(matches!(of_tensor(&groups), Err(Error::Mismatch { .. })));
        let signs = Scales::asymmetric(Granularity::Tensor, vec![1.0], vec![1.0]).unwrap();
        let signs = zeros(1, 4, signs);
        assert!(matches!(of_blocks(&signs, 4), Err(Error::Mismatch { .. })));
        assert!(matches!(of_tensor(&signs), Err(Error::Mismatch { .. })));
        assert_eq!(of_tensor(&zeros(1, 4, Scales::tensor(2.5).unwrap())), Ok(2.5));
    }
}
