//! Stretched elastic quantisation, its ternary case.

use super::group_parameters::{GroupParameters, check_scale};
use super::{Levels, MIN_SCALE, Quantizer};
use crate::error::Result;
use crate::scales::Granularity;
use crate::weights::Weights;

/// SEQ of ParetoQ (Liu et al., NeurIPS 2025, arXiv 2502.02631), ternary, with a learned α for each
/// scaling group (a row in the paper):
///
/// ```text
/// z = clip(w/α, −0.99, 0.99)      t = round(1.5·z)      Q = α·t/1.5
/// ```
///
/// The clip keeps |1.5·z| below 1.5, so that t is a trit: the levels are −⅔α, 0 and ⅔α, and Δ = α/3.
/// A learned α must stay positive; a trainer clamps it at [`MIN_SCALE`].
#[derive(Debug, Clone, PartialEq)]
pub struct Seq {
    alpha: GroupParameters<f32>,
}

impl Seq {
    /// The rule with the given α of each scaling group.
    ///
    /// # Errors
    /// [`Error::NonFinite`](crate::Error::NonFinite) or [`Error::OutOfRange`](crate::Error::OutOfRange)
    /// with the index of the first α that is not positive and finite.
    pub fn new(granularity: Granularity, alpha: Vec<f32>) -> Result<Self> {
        let check = |group, alpha| check_scale("alpha of SEQ", group, alpha);
        Ok(Self { alpha: GroupParameters::new(granularity, alpha, check)? })
    }

    /// The paper's start, α = max|w|, and at least [`MIN_SCALE`]: a third of the range becomes zero.
    ///
    /// # Errors
    /// Wrong lengths, a group that does not divide the row, or the first weight that is not finite.
    pub fn initialised(
        granularity: Granularity,
        rows: usize,
        cols: usize,
        weights: Weights<'_>,
    ) -> Result<Self> {
        let start = |weights: Weights<'_>| Ok(weights.max_abs()?.max(MIN_SCALE));
        Ok(Self { alpha: GroupParameters::initialised(granularity, rows, cols, weights, start)? })
    }

    /// α of each scaling group.
    pub fn alpha(&self) -> &[f32] {
        self.alpha.values()
    }

    /// α of each scaling group, for an optimiser. [`Quantizer::fit`] refuses bad values.
    pub fn alpha_mut(&mut self) -> &mut [f32] {
        self.alpha.values_mut()
    }
}

impl Quantizer for Seq {
    fn name(&self) -> &'static str {
        "seq"
    }

    fn granularity(&self) -> Granularity {
        self.alpha.granularity()
    }

    fn fit(&self, group: usize, weights: Weights<'_>) -> Result<Levels> {
        let alpha = self.alpha.get(group)?;
        check_scale("alpha of SEQ", group, alpha)?;
        weights.check_finite()?;
        Ok(Levels::symmetric(alpha / 3.0, alpha / 1.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_levels_are_those_of_the_clipped_and_rounded_ratio() {
        let rule = Seq::new(Granularity::Tensor, vec![1.5]).unwrap();
        let weights: Vec<f32> = (-64..=64).map(|i| i as f32 / 16.0).collect();
        let levels = rule.fit(0, Weights::F32(&weights)).unwrap();
        for w in weights {
            let trit = (1.5 * (w / 1.5).clamp(-0.99, 0.99)).round_ties_even();
            assert_eq!(levels.value(w), 1.5 * trit / 1.5, "{w}");
        }
    }

    #[test]
    fn alpha_starts_at_the_largest_magnitude_of_its_group() {
        let weights = [1.0, -3.0, 0.25, 0.0, 0.0, 0.0];
        let rule = Seq::initialised(Granularity::Row, 2, 3, Weights::F32(&weights)).unwrap();
        assert_eq!(rule.alpha(), [3.0, MIN_SCALE]);
        assert!(matches!(
            Seq::initialised(Granularity::Row, 2, 4, Weights::F32(&weights)),
            Err(Error::Length { expected: 8, found: 6, .. })
        ));
    }
}
