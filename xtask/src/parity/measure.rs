//! How far two computations of the same tensor are apart.

use serde_json::{Value, json};

use crate::fixtures::distance::{largest, largest_difference};

/// A tensor, compared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measurement {
    /// What was compared with what, such as `f32` or `tokens`.
    pub(crate) check: &'static str,
    pub(crate) tensor: String,
    pub(crate) numbers: usize,
    /// The largest difference; NaN where a number is not finite.
    pub(crate) error: f64,
    /// The largest number of the reference.
    pub(crate) largest: f64,
    /// The largest difference that passes.
    pub(crate) allowed: f64,
}

/// What passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tolerance {
    pub(crate) check: &'static str,
    /// Differences of so much of the largest number of the reference.
    pub(crate) relative: f64,
    /// Where the reference is zeros alone: differences of so much. A number that is exactly zero is there the sum of
    /// others that cancel, so it is held to the largest gradient of its case, of which rounding leaves a share.
    pub(crate) of_zeros: f64,
}

impl Measurement {
    /// Compares `found` with `expected`; another number of numbers fails.
    pub(crate) fn new(
        tensor: impl Into<String>,
        found: &[f64],
        expected: &[f64],
        tolerance: Tolerance,
    ) -> Self {
        let largest = largest(expected);
        let mut error = largest_difference(found, expected);
        if found.len() != expected.len() || !largest.is_finite() {
            error = f64::NAN;
        }
        let Tolerance { check, relative, of_zeros } = tolerance;
        let allowed = if largest == 0.0 { of_zeros } else { relative * largest };
        let (tensor, numbers) = (tensor.into(), expected.len());
        Self { check, tensor, numbers, error, largest, allowed }
    }

    /// Whether `found` has the bits of `expected`.
    pub(crate) fn bits(
        check: &'static str,
        tensor: impl Into<String>,
        found: &[f32],
        expected: &[f32],
    ) -> Self {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let numbers = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
        let tolerance = Tolerance { check, relative: 0.0, of_zeros: 0.0 };
        let mut row = Self::new(tensor, &numbers(found), &numbers(expected), tolerance);
        if bits(found) != bits(expected) && row.error == 0.0 {
            // Zeros of another sign.
            row.error = f64::MIN_POSITIVE;
        }
        row
    }

    pub(crate) fn passed(&self) -> bool {
        self.numbers > 0 && self.error <= self.allowed
    }

    /// The error as a share of what is allowed.
    pub(crate) fn share(&self) -> f64 {
        match (self.error, self.allowed) {
            (0.0, _) => 0.0,
            (error, allowed) if error.is_nan() || allowed == 0.0 => f64::INFINITY,
            (error, allowed) => error / allowed,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "check": self.check,
            "tensor": self.tensor,
            "numbers": self.numbers,
            "error": self.error,
            "largest": self.largest,
            "allowed": self.allowed,
            "share": self.share(),
            "passed": self.passed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance { check: "f32", relative: 1e-2, of_zeros: 1e-6 };

    fn measured(found: &[f64], expected: &[f64]) -> Measurement {
        Measurement::new("a", found, expected, TOLERANCE)
    }

    #[test]
    fn the_largest_difference_counts_as_a_share_of_the_largest_number() {
        let row = measured(&[1.0, -99.5], &[1.25, -100.0]);
        assert!(row.passed());
        assert_eq!((row.error, row.share()), (0.5, 0.5));
        assert!(!measured(&[1.0, -98.0], &[1.0, -100.0]).passed());
        assert!(measured(&[1e-7], &[0.0]).passed() && !measured(&[1e-5], &[0.0]).passed());
    }

    #[test]
    fn what_is_no_number_is_missing_or_is_nothing_at_all_fails() {
        let (nan, infinity) = (f64::NAN, f64::INFINITY);
        for (found, expected) in [
            (&[nan, 1.0][..], &[1.0, 1.0][..]),
            (&[1.0, nan], &[1.0, 1.0]),
            (&[1.0, 1.0], &[nan, 1.0]),
            (&[1.0, 1.0], &[1.0, nan]),
            (&[infinity], &[infinity]),
            (&[infinity], &[1.0]),
            (&[1.0], &[1.0, 1.0]),
            (&[1.0, 1.0], &[1.0]),
            (&[], &[]),
        ] {
            assert!(!measured(found, expected).passed(), "{found:?}, {expected:?}");
        }
    }

    #[test]
    fn bits_are_the_same_or_not() {
        let passed = |found: &[f32], expected: &[f32]| {
            Measurement::bits("decoding", "a", found, expected).passed()
        };
        assert!(passed(&[1.0, 0.0], &[1.0, 0.0]));
        assert!(!passed(&[1.0, 0.0], &[1.0, -0.0]));
        assert!(!passed(&[0.0], &[-0.0]));
        assert!(!passed(&[1.0], &[1.0 + f32::EPSILON]));
        assert!(!passed(&[f32::NAN], &[f32::NAN]));
        assert!(!passed(&[], &[]));
    }
}
