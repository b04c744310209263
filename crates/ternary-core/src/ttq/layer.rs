//! One layer: latent weights with their TTQ parameters.

use crate::error::{Error, Result, check_length};
use crate::matrix::TernaryMatrix;
use crate::packing::Packing;
use crate::quantize::{Quantizer, Ttq};
use crate::scales::Granularity;
use crate::statistics::TritCounts;
use crate::weights::Weights;

/// The latent weights of a `rows × cols` layer (`[out, in]`, row-major) and the learned threshold, W_n
/// and W_p of each of its scaling groups.
#[derive(Debug, Clone, PartialEq)]
pub struct TtqLayer {
    rows: usize,
    cols: usize,
    latent: Vec<f32>,
    quantizer: Ttq,
}

/// What a layer, or a network of layers, is once quantised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TtqStatistics {
    /// Number of weights.
    pub weights: usize,
    /// The share of zeros; 0 for no weights.
    pub sparsity: f64,
    /// Entropy of the three symbols in bits for each weight ([`TritCounts::effective_bits`]). That of a
    /// network is the mean over its weights, since each layer has a code of its own.
    pub effective_bits: f64,
    /// Bytes of the packed trits and the scales, as allocated.
    pub size_bytes: usize,
}

impl TtqLayer {
    /// Joins latent weights with a rule that has parameters for each of their scaling groups.
    ///
    /// # Errors
    /// [`Error::Length`] for a wrong number of weights or parameters, [`Error::Block`] or
    /// [`Error::ShapeOverflow`] for a shape that is none. Values are checked when they are quantised.
    pub fn new(rows: usize, cols: usize, latent: Vec<f32>, quantizer: Ttq) -> Result<Self> {
        let elements = rows.checked_mul(cols).ok_or(Error::ShapeOverflow { rows, cols })?;
        check_length("latent weights", elements, latent.len())?;
        let groups = quantizer.granularity().count(rows, cols)?;
        check_length("TTQ parameters", groups, quantizer.parameters().len())?;
        Ok(Self { rows, cols, latent, quantizer })
    }

    /// A layer whose parameters start from its weights ([`Ttq::initialised`]).
    ///
    /// # Errors
    /// As [`Ttq::initialised`].
    pub fn initialised(
        rows: usize,
        cols: usize,
        latent: Vec<f32>,
        granularity: Granularity,
        threshold: f32,
    ) -> Result<Self> {
        let weights = Weights::F32(&latent);
        let quantizer = Ttq::initialised(granularity, rows, cols, weights, threshold)?;
        Self::new(rows, cols, latent, quantizer)
    }

    /// Rows (outputs).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns (inputs).
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The latent weights, row-major.
    pub fn latent(&self) -> &[f32] {
        &self.latent
    }

    /// The latent weights, for an optimiser.
    pub fn latent_mut(&mut self) -> &mut [f32] {
        &mut self.latent
    }

    /// The rule with its parameters.
    pub fn quantizer(&self) -> &Ttq {
        &self.quantizer
    }

    /// The rule with its parameters, for an optimiser.
    pub fn quantizer_mut(&mut self) -> &mut Ttq {
        &mut self.quantizer
    }

    /// The trits alone, with the scale 1 ([`Ttq::quantize`]).
    ///
    /// # Errors
    /// For a weight that is not finite or a parameter out of its range.
    pub fn quantize(&self, packing: Packing) -> Result<TernaryMatrix> {
        self.quantizer.quantize(self.rows, self.cols, Weights::F32(&self.latent), packing)
    }

    /// The quantised weights −W_n, 0, +W_p ([`Ttq::quantize_scaled`]).
    ///
    /// # Errors
    /// As [`TtqLayer::quantize`].
    pub fn quantize_scaled(&self, packing: Packing) -> Result<TernaryMatrix> {
        self.quantizer.quantize_scaled(self.rows, self.cols, Weights::F32(&self.latent), packing)
    }

    /// What the layer is once quantised.
    ///
    /// # Errors
    /// As [`TtqLayer::quantize`].
    pub fn statistics(&self, packing: Packing) -> Result<TtqStatistics> {
        let matrix = self.quantize_scaled(packing)?;
        let counts = TritCounts::of(matrix.codes());
        Ok(TtqStatistics {
            weights: counts.total(),
            sparsity: counts.sparsity(),
            effective_bits: counts.effective_bits(),
            size_bytes: matrix.size_bytes(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::TtqParameters;

    const LATENT: [f32; 8] = [0.5, -0.01, -1.0, 0.25, 0.02, 0.0, 0.75, -0.5];

    fn layer(granularity: Granularity) -> TtqLayer {
        TtqLayer::initialised(2, 4, LATENT.to_vec(), granularity, 0.05).unwrap()
    }

    #[test]
    fn a_layer_weighs_what_its_packed_matrix_does() {
        let layer = layer(Granularity::Row);
        let statistics = layer.statistics(Packing::TwoBit).unwrap();
        assert_eq!((statistics.weights, statistics.sparsity), (8, 3.0 / 8.0));
        // Two −1, three 0, three +1.
        let bits = 0.25 * 2.0 + 0.75 * (8.0_f64 / 3.0).log2();
        assert!((statistics.effective_bits - bits).abs() < 1e-15);
        // One line of 64 bytes, and two scales for each of two rows.
        assert_eq!(statistics.size_bytes, 64 + 16);
        let matrix = layer.quantize_scaled(Packing::TwoBit).unwrap();
        assert_eq!(statistics.size_bytes, matrix.size_bytes());
    }

    #[test]
    fn an_optimiser_step_shows_in_the_next_quantisation() {
        let mut layer = layer(Granularity::Tensor);
        layer.quantizer_mut().parameters_mut()[0] =
            TtqParameters { threshold: 0.5, negative: 3.0, positive: 4.0 };
        layer.latent_mut()[1] = 0.75;
        let weights = layer.quantize_scaled(Packing::TwoBit).unwrap().to_f32();
        assert_eq!(weights, [0.0, 4.0, -3.0, 0.0, 0.0, 0.0, 4.0, 0.0]);
        let trits = layer.quantize(Packing::TwoBit).unwrap().to_f32();
        assert_eq!(trits, [0.0, 1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        layer.latent_mut()[5] = f32::NAN;
        assert!(matches!(
            layer.statistics(Packing::TwoBit),
            Err(Error::NonFinite { index: 5, .. })
        ));
    }

    #[test]
    fn weights_and_parameters_that_do_not_fit_the_shape_are_refused() {
        let rule = layer(Granularity::Row).quantizer().clone();
        let short = TtqLayer::new(2, 4, vec![0.0; 7], rule.clone());
        assert!(matches!(short, Err(Error::Length { expected: 8, found: 7, .. })));
        let wrong_groups = TtqLayer::new(4, 2, vec![0.0; 8], rule.clone());
        assert!(matches!(wrong_groups, Err(Error::Length { expected: 4, found: 2, .. })));
        let huge = TtqLayer::new(usize::MAX, 2, vec![], rule);
        assert!(matches!(huge, Err(Error::ShapeOverflow { .. })));
    }
}
