//! A threshold that the caller chooses.

use super::kept::kept;
use super::{Levels, Quantizer};
use crate::error::{Error, Result};
use crate::scales::Granularity;
use crate::weights::Weights;

/// A fixed Δ in the unit of the weights, with the least-squares scale for it:
///
/// ```text
/// α = mean of the |w| with |w| > Δ, or 0 when there is none
/// ```
///
/// There is no default: a number that suits one layer turns another, with smaller weights, into zeros.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedThreshold {
    granularity: Granularity,
    threshold: f32,
}

impl FixedThreshold {
    /// The rule with the threshold `threshold`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when it is not a finite number of at least 0.
    pub fn new(granularity: Granularity, threshold: f32) -> Result<Self> {
        if threshold.is_finite() && threshold >= 0.0 {
            return Ok(Self { granularity, threshold });
        }
        Err(Error::OutOfRange {
            what: "fixed threshold",
            expected: "a finite number of at least 0",
            index: 0,
            value: f64::from(threshold),
        })
    }
}

impl Quantizer for FixedThreshold {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn granularity(&self) -> Granularity {
        self.granularity
    }

    fn fit(&self, _group: usize, weights: Weights<'_>) -> Result<Levels> {
        weights.check_finite()?;
        let alpha = kept(weights, self.threshold).mean().unwrap_or(0.0);
        Ok(Levels::symmetric(self.threshold, alpha))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_stays_and_the_scale_follows_the_weights() {
        let rule = FixedThreshold::new(Granularity::Tensor, 0.5).unwrap();
        let levels = rule.fit(0, Weights::F32(&[0.5, -0.75, 1.25, 0.0]));
        assert_eq!(levels, Ok(Levels::symmetric(0.5, 1.0)));
        let levels = rule.fit(0, Weights::F32(&[0.5, -0.25]));
        assert_eq!(levels, Ok(Levels::symmetric(0.5, 0.0)));
    }

    #[test]
    fn a_threshold_that_is_no_distance_is_refused() {
        for threshold in [-0.5, f32::NAN, f32::INFINITY] {
            let rule = FixedThreshold::new(Granularity::Tensor, threshold);
            assert!(matches!(rule, Err(Error::OutOfRange { .. })), "{threshold}");
        }
    }
}
