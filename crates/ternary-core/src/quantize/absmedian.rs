//! Absmean with the median in place of the mean.

use super::{Levels, MIN_SCALE, Quantizer};
use crate::error::Result;
use crate::scales::Granularity;
use crate::weights::Weights;

/// BitNet b1.58 Reloaded (Nielsen & Schneider-Kamp 2024, arXiv 2407.09527):
///
/// ```text
/// γ = max(median|w|, 10⁻⁵)      Δ = γ/2      α = γ
/// ```
///
/// The median of an even number of weights is the lower of the two in the middle, so that γ is the
/// magnitude of a weight and at least half of the weights reach it. The median of none is 0.
///
/// On Gaussian weights γ = 0.674σ, and the squared error is 0.318σ² against 0.263σ² for
/// [`Absmean`](super::Absmean): what it offers is a scale that outliers do not move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Absmedian {
    granularity: Granularity,
}

impl Absmedian {
    /// The rule with one γ for each scaling group.
    pub const fn new(granularity: Granularity) -> Self {
        Self { granularity }
    }
}

impl Quantizer for Absmedian {
    fn name(&self) -> &'static str {
        "absmedian"
    }

    fn granularity(&self) -> Granularity {
        self.granularity
    }

    fn fit(&self, _group: usize, weights: Weights<'_>) -> Result<Levels> {
        weights.check_finite()?;
        let gamma = lower_median_abs(weights).max(MIN_SCALE);
        Ok(Levels::symmetric(gamma / 2.0, gamma))
    }
}

/// Element ⌊(n − 1)/2⌋ of the n magnitudes in ascending order, found by selection.
fn lower_median_abs(weights: Weights<'_>) -> f32 {
    let mut magnitudes = weights.to_f32();
    if magnitudes.is_empty() {
        return 0.0;
    }
    magnitudes.iter_mut().for_each(|w| *w = w.abs());
    let middle = (magnitudes.len() - 1) / 2;
    *magnitudes.select_nth_unstable_by(middle, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_number_of_weights_takes_the_lower_middle() {
        assert_eq!(lower_median_abs(Weights::F32(&[4.0, -1.0, 3.0, -2.0])), 2.0);
        assert_eq!(lower_median_abs(Weights::F32(&[-5.0, 1.0, -3.0])), 3.0);
        assert_eq!(lower_median_abs(Weights::F32(&[-5.0])), 5.0);
        assert_eq!(lower_median_abs(Weights::F32(&[])), 0.0);
    }

    #[test]
    fn an_outlier_does_not_move_the_scale() {
        let rule = Absmedian::new(Granularity::Tensor);
        let levels = rule.fit(0, Weights::F32(&[0.5, -0.5, 0.5, 1000.0, -0.1])).unwrap();
        assert_eq!(levels, Levels::symmetric(0.25, 0.5));
    }
}
