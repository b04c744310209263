//! How close a quantised matrix is to its latent weights.

use crate::error::{Result, check_length};
use crate::matrix::TernaryMatrix;
use crate::weights::Weights;

/// The distance between weights w and their quantised matrix q, from sums in `f64`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fidelity {
    /// Mean squared error, `Σ(w − q)² / N`; 0 for no weights.
    pub mse: f64,
    /// Cosine of the angle between w and q, `Σwq / √(Σw² · Σq²)`: 1 where both are zero (or there are
    /// no weights), 0 where only one of them is.
    pub cosine: f64,
    /// Signal to noise in decibels, `10·log₁₀(Σw² / Σ(w − q)²)`: ∞ where nothing was lost, −∞ where
    /// zeros became something else.
    pub snr_db: f64,
}

impl Fidelity {
    /// Compares row-major weights with a matrix, a row at a time.
    ///
    /// # Errors
    /// [`Error::Length`](crate::Error::Length) when the weights are not those of a matrix of this shape,
    /// [`Error::NonFinite`](crate::Error::NonFinite) with the index of the first that is not finite.
    pub fn between<'a>(weights: impl Into<Weights<'a>>, matrix: &TernaryMatrix) -> Result<Self> {
        let (weights, cols) = (weights.into(), matrix.cols());
        check_length("weights", matrix.rows() * cols, weights.len())?;
        weights.check_finite()?;
        // Without weights there are no rows to compare, however many rows or columns the shape has.
        let (rows, width) = if weights.is_empty() { (0, 0) } else { (matrix.rows(), cols) };
        let (mut latent, mut quantized) = (vec![0.0; width], vec![0.0; width]);
        let [mut signal, mut image, mut product, mut noise] = [0.0; 4];
        for row in 0..rows {
            weights.slice(row * cols..(row + 1) * cols).widen(&mut latent);
            matrix.row_f32(row, &mut quantized)?;
            for (w, q) in latent.iter().zip(&quantized) {
                let (w, q) = (f64::from(*w), f64::from(*q));
                signal += w * w;
                image += q * q;
                product += w * q;
                noise += (w - q) * (w - q);
            }
        }
        Ok(Self {
            mse: if weights.is_empty() { 0.0 } else { noise / weights.len() as f64 },
            cosine: match (signal > 0.0, image > 0.0) {
                (true, true) => product / (signal.sqrt() * image.sqrt()),
                (false, false) => 1.0,
                _ => 0.0,
            },
            snr_db: if noise > 0.0 { 10.0 * (signal / noise).log10() } else { f64::INFINITY },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::packing::Packing;
    use crate::scales::{Granularity, Scales};

    fn matrix(rows: usize, cols: usize, trits: &[i8], alpha: Vec<f32>) -> TernaryMatrix {
        let scales = Scales::symmetric(Granularity::Row, alpha).unwrap();
        TernaryMatrix::from_trits(rows, cols, trits, scales, Packing::TwoBit).unwrap()
    }

    #[test]
    fn the_three_numbers_follow_from_the_definition() {
        let matrix = matrix(2, 2, &[1, 0, -1, 1], vec![1.0, 2.0]);
        let fidelity = Fidelity::between(&[2.0_f32, 1.0, -2.0, 0.0][..], &matrix).unwrap();
        // w − q = (1, 1, 0, −2), w·w = 9, q·q = 9, w·q = 6.
        assert_eq!(fidelity.mse, 1.5);
        assert!((fidelity.cosine - 6.0 / 9.0).abs() < 1e-15);
        assert!((fidelity.snr_db - 10.0 * 1.5_f64.log10()).abs() < 1e-12);
    }

    #[test]
    fn a_lossless_matrix_has_no_error_and_an_infinite_signal_to_noise() {
        let weights = [0.5_f32, 0.0, -0.5];
        let fidelity = Fidelity::between(&weights[..], &matrix(1, 3, &[1, 0, -1], vec![0.5]));
        let fidelity = fidelity.unwrap();
        assert_eq!((fidelity.mse, fidelity.snr_db), (0.0, f64::INFINITY));
        assert!((fidelity.cosine - 1.0).abs() < 1e-15);
    }

    #[test]
    fn zero_and_empty_input_are_defined() {
        let perfect = Fidelity { mse: 0.0, cosine: 1.0, snr_db: f64::INFINITY };
        assert_eq!(Fidelity::between(&[][..] as &[f32], &matrix(0, 3, &[], vec![])), Ok(perfect));
        let zeros = [0.0_f32; 2];
        assert_eq!(Fidelity::between(&zeros[..], &matrix(1, 2, &[0, 0], vec![1.0])), Ok(perfect));
        let invented = Fidelity::between(&zeros[..], &matrix(1, 2, &[1, 0], vec![1.0])).unwrap();
        assert_eq!((invented.cosine, invented.snr_db), (0.0, f64::NEG_INFINITY));
        let lost = Fidelity::between(&[1.0_f32, 1.0][..], &matrix(1, 2, &[0, 0], vec![1.0]));
        assert_eq!(lost, Ok(Fidelity { mse: 1.0, cosine: 0.0, snr_db: 0.0 }));
    }

    #[test]
    fn wrong_lengths_and_bad_weights_are_refused_and_large_ones_do_not_overflow() {
        let matrix = matrix(1, 2, &[1, -1], vec![f32::MAX]);
        let short = Fidelity::between(&[1.0_f32][..], &matrix);
        assert!(matches!(short, Err(Error::Length { expected: 2, found: 1, .. })));
        let bad = Fidelity::between(&[1.0, f32::NAN][..], &matrix);
        assert!(matches!(bad, Err(Error::NonFinite { index: 1, .. })));
        let large = Fidelity::between(&[-f32::MAX, f32::MAX][..], &matrix).unwrap();
        assert!(large.mse.is_finite() && (large.cosine + 1.0).abs() < 1e-15);
    }
}
