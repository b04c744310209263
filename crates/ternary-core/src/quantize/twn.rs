//! Ternary weight networks.

use super::kept::kept;
use super::{Levels, Quantizer, round_down};
use crate::error::{Error, Result};
use crate::scales::Granularity;
use crate::weights::Weights;

/// TWN (Li, Liu et al. 2016, arXiv 1605.04711):
///
/// ```text
/// Δ = f · mean|w|      α = mean of the |w| with |w| > Δ
/// ```
///
/// α is the least-squares scale for this Δ, and Δ is a rule of thumb for the best one: it is ⅔·mean|w|
/// for uniform and 0.77·mean|w| for Gaussian weights. The paper's first version has f = 0.7, its code
/// f = 0.75, which is the default here. A factor below 1 always keeps the largest weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Twn {
    granularity: Granularity,
    factor: f64,
}

impl Twn {
    /// f of the authors' code.
    pub const DEFAULT_FACTOR: f64 = 0.75;

    /// The rule with f = 0.75.
    pub const fn new(granularity: Granularity) -> Self {
        Self { granularity, factor: Self::DEFAULT_FACTOR }
    }

    /// The rule with another factor.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when `factor` is not in [0, 1).
    pub fn with_factor(granularity: Granularity, factor: f64) -> Result<Self> {
        if (0.0..1.0).contains(&factor) {
            return Ok(Self { granularity, factor });
        }
        Err(Error::OutOfRange {
            what: "factor of TWN",
            expected: "a number in [0, 1)",
            index: 0,
            value: factor,
        })
    }
}

impl Quantizer for Twn {
    fn name(&self) -> &'static str {
        "twn"
    }

    fn granularity(&self) -> Granularity {
        self.granularity
    }

    fn fit(&self, _group: usize, weights: Weights<'_>) -> Result<Levels> {
        let threshold = round_down(self.factor * weights.mean_abs()?);
        let alpha = kept(weights, threshold).mean().unwrap_or(0.0);
        Ok(Levels::symmetric(threshold, alpha))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_the_mean_of_what_the_threshold_keeps() {
        let weights = [0.1, -0.2, 1.0, -3.0, 0.7];
        let rule = Twn::new(Granularity::Tensor);
        // Mean 1, so Δ = 0.75 keeps 1 and −3.
        let levels = rule.fit(0, Weights::F32(&weights)).unwrap();
        assert_eq!((levels.positive, levels.negative), (2.0, 2.0));
        assert_eq!(weights.map(|w| levels.trit(w)), [0, 0, 1, -1, 0]);
        let rule = Twn::with_factor(Granularity::Tensor, 0.6).unwrap();
        let levels = rule.fit(0, Weights::F32(&weights)).unwrap();
        assert_eq!(weights.map(|w| levels.trit(w)), [0, 0, 1, -1, 1]);
    }

    #[test]
    fn factors_that_could_drop_every_weight_are_refused() {
        for factor in [1.0, -0.1, f64::NAN, f64::INFINITY] {
            let rule = Twn::with_factor(Granularity::Tensor, factor);
            assert!(matches!(rule, Err(Error::OutOfRange { .. })), "{factor}");
        }
    }
}
