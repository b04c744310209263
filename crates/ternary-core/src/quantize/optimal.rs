//! The threshold and scale of least squared error.

use super::{Levels, Quantizer};
use crate::error::Result;
use crate::scales::Granularity;
use crate::weights::Weights;

/// The exact minimum of ‖w − α·t‖² over all α ≥ 0 and trits t, the objective of TWN (Li, Liu et al.
/// 2016, arXiv 1605.04711).
///
/// For a given set of k kept weights the best scale is the mean of their magnitudes, α = S/k, and the
/// error is Σw² − S²/k. So the best set of k weights is that of the k largest magnitudes, and
///
/// ```text
/// |w|₍₁₎ ≥ |w|₍₂₎ ≥ …      S_k = |w|₍₁₎ + … + |w|₍ₖ₎      k* = argmax S_k²/k      Δ = |w|₍ₖ*₊₁₎
/// ```
///
/// which sorting and prefix sums find in n log n. Δ is the largest magnitude that is not kept (0 when
/// all are), so that w > Δ keeps exactly k* weights; equal magnitudes are kept or dropped together,
/// which loses nothing, since S_k²/k is convex in k along a run of them. Of equally good sets the
/// smallest is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimal {
    granularity: Granularity,
}

impl Optimal {
    /// The rule with one minimum for each scaling group.
    pub const fn new(granularity: Granularity) -> Self {
        Self { granularity }
    }
}

impl Quantizer for Optimal {
    fn name(&self) -> &'static str {
        "optimal"
    }

    fn granularity(&self) -> Granularity {
        self.granularity
    }

    fn fit(&self, _group: usize, weights: Weights<'_>) -> Result<Levels> {
        weights.check_finite()?;
        let mut magnitudes = weights.to_f32();
        magnitudes.iter_mut().for_each(|w| *w = w.abs());
        magnitudes.sort_unstable_by(|a, b| b.total_cmp(a));
        let (mut sum, mut best_gain) = (0.0, 0.0);
        let mut best = Levels::symmetric(0.0, 0.0);
        for (index, &magnitude) in magnitudes.iter().enumerate() {
            sum += f64::from(magnitude);
            let next = magnitudes.get(index + 1).copied().unwrap_or(0.0);
            let mean = sum / (index + 1) as f64;
            // sum · mean is S²/k. A threshold between equal magnitudes does not exist.
            if next < magnitude && sum * mean > best_gain {
                best_gain = sum * mean;
                best = Levels::symmetric(next, mean as f32);
            }
        }
        Ok(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn squared_error(weights: &[f32], levels: &Levels) -> f64 {
        weights.iter().map(|&w| (f64::from(w) - f64::from(levels.value(w))).powi(2)).sum()
    }

    /// The least error over every choice of trits, each with its own best scale.
    fn least_error(weights: &[f32]) -> f64 {
        let total: f64 = weights.iter().map(|&w| f64::from(w).powi(2)).sum();
        let subsets = 1..1_u32 << weights.len();
        let gains = subsets.map(|subset| {
            let kept = weights.iter().enumerate().filter(|(i, _)| subset >> i & 1 == 1);
            let sum: f64 = kept.map(|(_, w)| f64::from(w.abs())).sum();
            sum * sum / f64::from(subset.count_ones())
        });
        total - gains.fold(0.0, f64::max)
    }

    proptest! {
        #[test]
        fn no_choice_of_trits_and_scale_has_a_smaller_error(
            // Eighths up to 2, so that many magnitudes tie.
            weights in prop::collection::vec((-16..=16_i32).prop_map(|i| i as f32 / 8.0), 0..10),
        ) {
            let levels = Optimal::new(Granularity::Tensor).fit(0, Weights::F32(&weights)).unwrap();
            let (found, expected) = (squared_error(&weights, &levels), least_error(&weights));
            // α is rounded to f32; the error is flat around its minimum.
            prop_assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
        }
    }

    #[test]
    fn the_threshold_keeps_exactly_the_chosen_set() {
        let weights = [1.0, -1.0, 0.9, 0.1, -0.1, 0.1];
        let levels = Optimal::new(Granularity::Tensor).fit(0, Weights::F32(&weights)).unwrap();
        assert_eq!(weights.map(|w| levels.trit(w)), [1, -1, 1, 0, 0, 0]);
        assert_eq!(levels.threshold, 0.1);
    }
}
