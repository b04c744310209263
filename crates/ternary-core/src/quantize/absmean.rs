//! The rule of BitNet b1.58.

use super::{Levels, MIN_SCALE, Quantizer};
use crate::error::Result;
use crate::scales::Granularity;
use crate::weights::Weights;

/// BitNet b1.58 (Ma et al. 2024, arXiv 2402.17764):
///
/// ```text
/// γ = max(mean|w|, 10⁻⁵)      t = clip(round(w/γ), −1, 1)      Q = γ·t
/// ```
///
/// Rounding is to the even neighbour, so |w| = γ/2 becomes 0: Δ = γ/2, α = γ. A group of weights that
/// are all at most 5·10⁻⁶ becomes zeros.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Absmean {
    granularity: Granularity,
}

impl Absmean {
    /// The rule with one γ for each scaling group.
    pub const fn new(granularity: Granularity) -> Self {
        Self { granularity }
    }
}

impl Quantizer for Absmean {
    fn name(&self) -> &'static str {
        "absmean"
    }

    fn granularity(&self) -> Granularity {
        self.granularity
    }

    fn fit(&self, _group: usize, weights: Weights<'_>) -> Result<Levels> {
        let gamma = (weights.mean_abs()? as f32).max(MIN_SCALE);
        Ok(Levels::symmetric(gamma / 2.0, gamma))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_are_those_of_rounding_to_even_and_clipping() {
        let weights: Vec<f32> = (-40..=40).map(|i| i as f32 / 16.0).collect();
        let rule = Absmean::new(Granularity::Tensor);
        let levels = rule.fit(0, Weights::from(&weights[..])).unwrap();
        for w in weights {
            let expected = (w / levels.positive).round_ties_even().clamp(-1.0, 1.0);
            assert_eq!(f32::from(levels.trit(w)), expected, "{w}");
        }
    }

    #[test]
    fn the_scale_is_clamped_from_below() {
        let levels = Absmean::new(Granularity::Tensor).fit(0, Weights::F32(&[1e-7, -1e-7]));
        assert_eq!(levels, Ok(Levels::symmetric(5e-6, 1e-5)));
    }
}
