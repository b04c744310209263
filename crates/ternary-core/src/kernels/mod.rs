//! Kernels, chosen once at run time.

use crate::error::{Result, check_length};
use crate::matrix::TernaryMatrix;
use crate::quantize::Quantizer;
use crate::weights::Weights;

/// The kernels of one instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels;

impl Kernels {
    /// The best kernels this processor has.
    ///
    /// # Errors
    /// When the environment asks for an instruction set that is not there.
    pub fn detect() -> Result<Self> {
        Ok(Self)
    }

    /// Quantises latent weights into an existing matrix.
    ///
    /// # Errors
    /// Of the rule, and for wrong lengths.
    pub fn requantize(
        self,
        weights: Weights<'_>,
        quantizer: &dyn Quantizer,
        matrix: &mut TernaryMatrix,
    ) -> Result<()> {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        check_length("latent weights", rows * cols, weights.len())?;
        weights.check_finite()?;
        let granularity = quantizer.granularity();
        let segment = granularity.columns_per_scale(cols)?.max(1);
        let segments = cols / segment;
        let mut levels = Vec::new();
        for group in 0..granularity.count(rows, cols)? {
            let range = match granularity {
                crate::Granularity::Tensor => 0..rows * cols,
                _ => group * segment..(group + 1) * segment,
            };
            levels.push(quantizer.fit(group, weights.slice(range))?);
        }
        let all = weights.to_f32();
        let trits: Vec<i8> = (0..rows * cols)
            .map(|i| levels[granularity.index(i / cols, i % cols / segment, segments)].trit(all[i]))
            .collect();
        let positive = levels.iter().map(|l| l.positive).collect();
        let negative = levels.iter().map(|l| l.negative).collect();
        let scales = if quantizer.is_symmetric() {
            crate::Scales::symmetric(granularity, positive)?
        } else {
            crate::Scales::asymmetric(granularity, negative, positive)?
        };
        *matrix = TernaryMatrix::from_trits(rows, cols, &trits, scales, matrix.packing())?;
        Ok(())
    }
}
