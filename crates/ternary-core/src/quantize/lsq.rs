//! Learned step size, its ternary case.

use super::group_parameters::{GroupParameters, check_scale};
use super::{Levels, MIN_SCALE, Quantizer};
use crate::error::Result;
use crate::scales::Granularity;
use crate::weights::Weights;

/// LSQ (Esser et al., ICLR 2020, arXiv 1902.08153), ternary, with a learned α for each scaling group:
///
/// ```text
/// t = clip(round(w/α), −1, 1)      Q = α·t
/// ```
///
/// so Δ = α/2 with ties to 0. A learned α must stay positive; a trainer clamps it at [`MIN_SCALE`].
#[derive(Debug, Clone, PartialEq)]
pub struct Lsq {
    alpha: GroupParameters<f32>,
}

impl Lsq {
    /// The rule with the given α of each scaling group.
    ///
    /// # Errors
    /// [`Error::NonFinite`](crate::Error::NonFinite) or [`Error::OutOfRange`](crate::Error::OutOfRange)
    /// with the index of the first α that is not positive and finite.
    pub fn new(granularity: Granularity, alpha: Vec<f32>) -> Result<Self> {
        let check = |group, alpha| check_scale("alpha of LSQ", group, alpha);
        Ok(Self { alpha: GroupParameters::new(granularity, alpha, check)? })
    }

    /// Starts where [`Absmean`](super::Absmean) stands, at α = max(mean|w|, [`MIN_SCALE`]). The paper's
    /// 2·mean|w|/√Q with the largest level Q = 1 puts Δ at the mean itself, where a group of equal
    /// magnitudes would become zeros.
    ///
    /// # Errors
    /// Wrong lengths, a group that does not divide the row, or the first weight that is not finite.
    pub fn initialised(
        granularity: Granularity,
        rows: usize,
        cols: usize,
        weights: Weights<'_>,
    ) -> Result<Self> {
        let start = |weights: Weights<'_>| Ok((weights.mean_abs()? as f32).max(MIN_SCALE));
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

impl Quantizer for Lsq {
    fn name(&self) -> &'static str {
        "lsq"
    }

    fn granularity(&self) -> Granularity {
        self.alpha.granularity()
    }

    fn fit(&self, group: usize, weights: Weights<'_>) -> Result<Levels> {
        let alpha = self.alpha.get(group)?;
        check_scale("alpha of LSQ", group, alpha)?;
        weights.check_finite()?;
        Ok(Levels::symmetric(alpha / 2.0, alpha))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_are_those_of_rounding_the_ratio() {
        let rule = Lsq::new(Granularity::Tensor, vec![0.75]).unwrap();
        let weights: Vec<f32> = (-64..=64).map(|i| i as f32 / 32.0).collect();
        let levels = rule.fit(0, Weights::F32(&weights)).unwrap();
        for w in weights {
            let trit = (w / 0.75).round_ties_even().clamp(-1.0, 1.0);
            assert_eq!(levels.value(w), 0.75 * trit, "{w}");
        }
    }

    #[test]
    fn alpha_starts_at_the_mean_magnitude_of_its_group() {
        let weights = [1.0, -3.0, 0.5, 0.25, 0.0, 0.0];
        let group = Granularity::group(2).unwrap();
        let rule = Lsq::initialised(group, 1, 6, Weights::F32(&weights)).unwrap();
        assert_eq!(rule.alpha(), [2.0, 0.375, MIN_SCALE]);
    }
}
