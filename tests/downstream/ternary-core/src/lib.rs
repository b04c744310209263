//! A stranger who uses `ternary-core` and nothing else: a rule of their own, packed weights, and
//! products with them.

use ternary_core::kernels::{Kernels, QuantizedRows};
use ternary_core::{Error, Granularity, Levels, Packing, Quantizer, TernaryMatrix, Weights};

/// The stranger's rule: everything above half of the largest |w| of a row counts.
#[derive(Debug)]
pub struct HalfOfTheLargest;

impl Quantizer for HalfOfTheLargest {
    fn name(&self) -> &'static str {
        "half-of-the-largest"
    }

    fn granularity(&self) -> Granularity {
        Granularity::Row
    }

    fn fit(&self, _group: usize, weights: Weights<'_>) -> Result<Levels, Error> {
        let largest = weights.max_abs()?;
        Ok(Levels::symmetric(largest / 2.0, largest))
    }
}

/// The stranger's layer: y = W·x with packed weights.
#[derive(Debug)]
pub struct Projection {
    kernels: Kernels,
    weights: TernaryMatrix,
}

impl Projection {
    /// Quantises `[outputs, inputs]` weights by `rule` and packs them five to a byte.
    ///
    /// # Errors
    /// For a wrong number of weights, and for weights that are not finite.
    pub fn new(
        outputs: usize,
        inputs: usize,
        weights: &[f32],
        rule: &dyn Quantizer,
    ) -> Result<Self, Error> {
        let weights = TernaryMatrix::quantize(outputs, inputs, weights, rule, Packing::FiveTrits)?;
        Ok(Self { kernels: Kernels::detect()?, weights })
    }

    /// Multiplies one vector.
    ///
    /// # Errors
    /// For a vector of another length, and for numbers that are not finite.
    pub fn forward(&self, x: &[f32]) -> Result<Vec<f32>, Error> {
        let mut codes = QuantizedRows::new();
        self.kernels.quantize_rows(x, 1, &mut codes)?;
        let mut y = vec![0.0; self.weights.rows()];
        self.kernels.matmul_i8(&codes, &self.weights, &mut y)?;
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use ternary_core::quantize::Absmean;

    use super::*;

    const WEIGHTS: [f32; 6] = [1.0, -0.75, 0.25, 0.5, 4.0, -2.5];

    #[test]
    fn a_rule_from_outside_quantises_row_by_row_and_multiplies() {
        let projection = Projection::new(2, 3, &WEIGHTS, &HalfOfTheLargest).unwrap();
        assert_eq!(projection.weights.to_trits(), [1, -1, 0, 0, 1, -1]);
        // The largest activation is 127, so the codes are the activations themselves.
        let y = projection.forward(&[127.0, 20.0, -3.0]).unwrap();
        assert_eq!(y, [107.0, 4.0 * 23.0]);
    }

    #[test]
    fn a_rule_of_the_crate_does_the_same_work() {
        let rule = Absmean::new(Granularity::Tensor);
        let projection = Projection::new(2, 3, &WEIGHTS, &rule).unwrap();
        // mean|w| = 1.5, so weights above 0.75 count; −0.75 is a tie and becomes zero.
        assert_eq!(projection.weights.to_trits(), [1, 0, 0, 0, 1, -1]);
        assert_eq!(projection.forward(&[127.0, 20.0, -3.0]).unwrap(), [190.5, 34.5]);
    }

    #[test]
    fn errors_can_be_told_apart_from_outside() {
        let wrong = Projection::new(2, 4, &WEIGHTS, &HalfOfTheLargest);
        assert!(matches!(wrong, Err(Error::Length { expected: 8, found: 6, .. })));
        let broken = Projection::new(1, 2, &[1.0, f32::NAN], &HalfOfTheLargest);
        assert!(matches!(broken, Err(Error::NonFinite { index: 1, .. })));
        let projection = Projection::new(2, 3, &WEIGHTS, &HalfOfTheLargest).unwrap();
        assert!(projection.forward(&[1.0, 2.0]).is_err());
    }
}
