//! Gradients of weights that were rounded far are not trusted.

use ternary_core::{Levels, Real, mutant};

use crate::error::{Error, Result};
use crate::estimator::Estimator;
use crate::progress::Progress;
use crate::scale::{odd, quantized, scale};

/// QuEST's trust estimator (Panferov et al., ICML 2025, arXiv 2502.05003): the gradient passes where the
/// weight lies near the level it was rounded to, for there the gradient at q tells of w.
///
/// ```text
/// T = factor·α/2                                 half a step of the grid; α = W_p for w ≥ 0, W_n for w < 0
/// φ′(w) = 1   |w − q| ≤ T
///       = 0   otherwise
/// φ(w)  = sign(w)·[min(|w|, Δ, T) + max(0, min(|w|, α + T) − max(Δ, α − T))]
/// ```
///
/// φ is the integral of the mask, the codes' threshold Δ held fixed. With Δ = α/2 and factor 1 it is
/// clip(w, −1.5α, 1.5α). The paper's rotation of the weights is no matter of an estimator, and not here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrustMask {
    factor: f32,
}

impl TrustMask {
    /// Trusts within `factor` half steps; [`TrustMask::default`] within one.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `factor` is above 0 and finite.
    pub fn new(factor: f32) -> Result<Self> {
        if factor > 0.0 && factor.is_finite() {
            return Ok(Self { factor });
        }
        let value = f64::from(factor);
        Err(Error::OutOfRange { what: "factor of the trust", expected: "above 0", value })
    }

    /// T.
    fn trust<T: Real>(&self, scale: T) -> T {
        T::from_f32(self.factor) * T::HALF * scale
    }
}

impl Default for TrustMask {
    fn default() -> Self {
        Self { factor: 1.0 }
    }
}

impl<T: Real> Estimator<T> for TrustMask {
    fn pass(&self, latent: &[T], levels: Levels, _: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        for (&weight, gradient) in latent.iter().zip(gradient) {
            let trust = self.trust(scale(weight, levels));
            let trust = mutant!("TrustMask/a whole step", trust, trust + trust);
            let error = weight - quantized(weight, levels);
            let error = mutant!("TrustMask/distance from zero", error, weight);
            let is_trusted = error.abs() <= trust;
            if mutant!("TrustMask/mask inverted", !is_trusted, is_trusted) {
                *gradient = T::ZERO;
            }
        }
    }

    fn surrogate(&self, latent: T, levels: Levels, _: Progress) -> Option<T> {
        let (magnitude, alpha) = (latent.abs(), scale(latent, levels));
        let (threshold, trust) = (T::from_f32(levels.threshold), self.trust(alpha));
        let kept = magnitude.min(alpha + trust) - threshold.max(alpha - trust);
        Some(odd(latent, magnitude.min(threshold).min(trust) + kept.max(T::ZERO)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_rounded_far_does_not_pass() {
        let levels = Levels::symmetric(0.5, 2.0);
        let latent = [0.5, 0.6, 0.99, 1.0, 3.0, -3.1];
        let mut gradient = [1.0_f64; 6];
        TrustMask::default().pass(&latent, levels, Progress::DONE, &mut gradient);
        assert_eq!(gradient, [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn with_the_threshold_in_the_middle_it_is_a_clip() {
        let levels = Levels::symmetric(0.5, 1.0);
        for w in [-2.0, -1.5, -0.7, 0.0, 0.3, 0.5, 1.2, 1.6_f64] {
            let surrogate = TrustMask::default().surrogate(w, levels, Progress::DONE);
            assert_eq!(surrogate, Some(w.clamp(-1.5, 1.5)));
        }
    }

    #[test]
    fn weights_that_are_all_zero_stay_alive() {
        let mut gradient = [1.0_f32];
        let levels = Levels::symmetric(0.0, 0.0);
        TrustMask::default().pass(&[0.0], levels, Progress::DONE, &mut gradient);
        assert_eq!(gradient, [1.0]);
        assert!(TrustMask::new(0.0).is_err() && TrustMask::new(f32::NAN).is_err());
    }
}
