//! A stranger who uses `ternary-core` and nothing else: a rule of their own, packed weights, and
//! products with them.

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

/// Quantises `[outputs, inputs]` weights and packs them five to a byte.
///
/// # Errors
/// For a wrong number of weights, and for weights that are not finite.
pub fn pack(outputs: usize, inputs: usize, weights: &[f32]) -> Result<TernaryMatrix, Error> {
    TernaryMatrix::quantize(outputs, inputs, weights, &HalfOfTheLargest, Packing::FiveTrits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTS: [f32; 6] = [1.0, -0.75, 0.25, 0.5, 4.0, -2.5];

    #[test]
    fn a_rule_from_outside_quantises_row_by_row() {
        let matrix = pack(2, 3, &WEIGHTS).unwrap();
        assert_eq!(matrix.to_trits(), [1, -1, 0, 0, 1, -1]);
        assert_eq!(matrix.scales().positive(), [1.0, 4.0]);
    }

    #[test]
    fn errors_can_be_told_apart_from_outside() {
        assert!(matches!(pack(2, 4, &WEIGHTS), Err(Error::Length { expected: 8, found: 6, .. })));
        let broken = [1.0, f32::NAN];
        assert!(matches!(pack(1, 2, &broken), Err(Error::NonFinite { index: 1, .. })));
    }
}
