//! Trained ternary quantisation: the rule and its parameters.

use super::group_parameters::GroupParameters;
use super::kept::kept_by_sign;
use super::{Levels, MIN_SCALE, Quantizer, round_down};
use crate::error::{Error, Result};
use crate::matrix::TernaryMatrix;
use crate::packing::Packing;
use crate::scales::{Granularity, Scales};
use crate::weights::Weights;

/// The learned numbers of one scaling group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TtqParameters {
    /// t: the threshold as a fraction of max|w|, in [0, 1).
    pub threshold: f32,
    /// W_n: the magnitude of the negative weights, at least 0.
    pub negative: f32,
    /// W_p: the magnitude of the positive weights, at least 0.
    pub positive: f32,
}

impl TtqParameters {
    /// t of the paper. It learns only W_n and W_p and keeps this fraction.
    pub const DEFAULT_THRESHOLD: f32 = 0.05;

    /// The least-squares start for a given fraction `threshold`: W_n and W_p are the mean magnitudes of
    /// the weights of their sign beyond Δ. Where one sign has none, its number is that of the other;
    /// where neither has (a group of zeros), both are [`MIN_SCALE`].
    ///
    /// # Errors
    /// [`Error::NonFinite`] with the index of the first bad weight, [`Error::OutOfRange`] for a fraction
    /// outside [0, 1).
    pub fn initialised(threshold: f32, weights: Weights<'_>) -> Result<Self> {
        let parameters = Self { threshold, negative: MIN_SCALE, positive: MIN_SCALE };
        let levels = parameters.levels(0, weights)?;
        let [negative, positive] = kept_by_sign(weights, levels.threshold).map(|kept| kept.mean());
        Ok(Self {
            threshold,
            negative: negative.or(positive).unwrap_or(MIN_SCALE),
            positive: positive.or(negative).unwrap_or(MIN_SCALE),
        })
    }

    /// Checks the ranges; `group` is the index that an error names.
    fn check(&self, group: usize) -> Result<()> {
        let numbers = [
            ("threshold of TTQ", self.threshold, 1.0_f32.next_down(), "a fraction in [0, 1)"),
            ("W_n of TTQ", self.negative, f32::MAX, "a number of at least 0"),
            ("W_p of TTQ", self.positive, f32::MAX, "a number of at least 0"),
        ];
        for (what, number, limit, expected) in numbers {
            let value = f64::from(number);
            if !number.is_finite() {
                return Err(Error::NonFinite { what, index: group, value });
            }
            if !(0.0..=limit).contains(&number) {
                return Err(Error::OutOfRange { what, expected, index: group, value });
            }
        }
        Ok(())
    }

    fn levels(&self, group: usize, weights: Weights<'_>) -> Result<Levels> {
        self.check(group)?;
        // t < 1 and a product exact in f64 keep Δ below the largest weight.
        let threshold = round_down(f64::from(self.threshold) * f64::from(weights.max_abs()?));
        Ok(Levels { threshold, negative: self.negative, positive: self.positive })
    }
}

/// TTQ (Zhu, Han, Mao & Dally, ICLR 2017, arXiv 1612.01064):
///
/// ```text
/// Δ = t·max|w|      Q = +W_p if w > Δ,   −W_n if w < −Δ,   else 0
/// ```
///
/// with W_n, W_p and, unlike the paper, the fraction t learned for each scaling group (a layer in the
/// paper). It is not odd: the two signs have their own magnitude.
#[derive(Debug, Clone, PartialEq)]
pub struct Ttq {
    parameters: GroupParameters<TtqParameters>,
}

impl Ttq {
    /// The rule with the given parameters of each scaling group.
    ///
    /// # Errors
    /// [`Error::NonFinite`] or [`Error::OutOfRange`] with the index of the first group that has a bad
    /// parameter.
    pub fn new(granularity: Granularity, parameters: Vec<TtqParameters>) -> Result<Self> {
        let check = |group, parameters: TtqParameters| parameters.check(group);
        Ok(Self { parameters: GroupParameters::new(granularity, parameters, check)? })
    }

    /// The rule started from weights, with the fraction `threshold` for every group
    /// ([`TtqParameters::initialised`]).
    ///
    /// # Errors
    /// Wrong lengths, a group that does not divide the row, the first weight that is not finite, or a
    /// fraction outside [0, 1).
    pub fn initialised(
        granularity: Granularity,
        rows: usize,
        cols: usize,
        weights: Weights<'_>,
        threshold: f32,
    ) -> Result<Self> {
        let start = |weights: Weights<'_>| TtqParameters::initialised(threshold, weights);
        let parameters = GroupParameters::initialised(granularity, rows, cols, weights, start)?;
        Ok(Self { parameters })
    }

    /// The parameters of each scaling group.
    pub fn parameters(&self) -> &[TtqParameters] {
        self.parameters.values()
    }

    /// The parameters of each scaling group, for an optimiser. [`Quantizer::fit`] refuses bad values.
    pub fn parameters_mut(&mut self) -> &mut [TtqParameters] {
        self.parameters.values_mut()
    }

    /// The trits alone: a matrix of −1, 0 and +1 with the scale 1.
    ///
    /// # Errors
    /// As [`TernaryMatrix::quantize`].
    pub fn quantize(
        &self,
        rows: usize,
        cols: usize,
        weights: Weights<'_>,
        packing: Packing,
    ) -> Result<TernaryMatrix> {
        self.quantize_scaled(rows, cols, weights, packing)?.with_scales(Scales::tensor(1.0)?)
    }

    /// The quantised weights: a matrix of −W_n, 0 and +W_p.
    ///
    /// # Errors
    /// As [`TernaryMatrix::quantize`].
    pub fn quantize_scaled(
        &self,
        rows: usize,
        cols: usize,
        weights: Weights<'_>,
        packing: Packing,
    ) -> Result<TernaryMatrix> {
        TernaryMatrix::quantize(rows, cols, weights, self, packing)
    }
}

impl Quantizer for Ttq {
    fn name(&self) -> &'static str {
        "ttq"
    }

    fn granularity(&self) -> Granularity {
        self.parameters.granularity()
    }

    fn is_symmetric(&self) -> bool {
        false
    }

    fn fit(&self, group: usize, weights: Weights<'_>) -> Result<Levels> {
        self.parameters.get(group)?.levels(group, weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTS: [f32; 6] = [4.0, -0.2, 2.0, -1.0, 0.1, -2.0];

    #[test]
    fn each_sign_starts_at_the_mean_of_its_own_weights() {
        let parameters = TtqParameters::initialised(0.05, Weights::F32(&WEIGHTS)).unwrap();
        // −0.2 ties with Δ = 0.05 · 4, both rounded to f32, and is dropped.
        assert_eq!((parameters.negative, parameters.positive), (1.5, 3.0));
        let positive_only = TtqParameters::initialised(0.05, Weights::F32(&[1.0, 3.0])).unwrap();
        assert_eq!((positive_only.negative, positive_only.positive), (2.0, 2.0));
    }

    #[test]
    fn the_trits_alone_have_the_scale_one_and_the_scaled_matrix_both_magnitudes() {
        let parameters = TtqParameters { threshold: 0.3, negative: 0.5, positive: 2.0 };
        let rule = Ttq::new(Granularity::Row, vec![parameters; 2]).unwrap();
        let weights = Weights::F32(&WEIGHTS);
        let trits = rule.quantize(2, 3, weights, Packing::TwoBit).unwrap();
        assert_eq!(trits.to_f32(), [1.0, 0.0, 1.0, -1.0, 0.0, -1.0]);
        let scaled = rule.quantize_scaled(2, 3, weights, Packing::FiveTrits).unwrap();
        assert_eq!(scaled.to_f32(), [2.0, 0.0, 2.0, -0.5, 0.0, -0.5]);
        assert_eq!(scaled.to_trits(), trits.to_trits());
    }

    #[test]
    fn bad_parameters_are_refused_with_their_group() {
        let good = TtqParameters { threshold: 0.05, negative: 1.0, positive: 1.0 };
        let bad = [
            TtqParameters { threshold: 1.0, ..good },
            TtqParameters { threshold: -0.1, ..good },
            TtqParameters { negative: -1.0, ..good },
            TtqParameters { positive: f32::NAN, ..good },
        ];
        for bad in bad {
            let error = Ttq::new(Granularity::Row, vec![good, bad]).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::OutOfRange { index: 1, .. } | Error::NonFinite { index: 1, .. }
                ),
                "{error}"
            );
            let mut rule = Ttq::new(Granularity::Row, vec![good, good]).unwrap();
            rule.parameters_mut()[1] = bad;
            // A NaN in the error is not equal to itself, its text is.
            let found = rule.fit(1, Weights::F32(&[1.0])).unwrap_err();
            assert_eq!(found.to_string(), error.to_string());
            assert!(rule.fit(0, Weights::F32(&[1.0])).is_ok());
        }
    }
}
