//! A softmax over the levels that sharpens during the run.

use std::f64::consts::PI;

use ternary_core::{Levels, Real, mutant};

use crate::error::{Error, Result};
use crate::estimator::Estimator;
use crate::progress::Progress;
use crate::scale::scale;

/// Mixes the three levels by their distance from the weight, sharper and sharper (HESTIA, arXiv 2601.20745):
///
/// ```text
/// x = w/α                                         α = W_p for w ≥ 0, W_n for w < 0
/// q = α·Σ_c c·p_c,   p = softmax_c(−(x − c)²/τ)    c in {−1, 0, 1}
/// φ(w) = w + m·(q − w)
/// φ′(w) = 1 + m·(2·Var_p(c)/τ − 1)
/// ```
///
/// The mix m rises from 0 to 1 over the first fifth of the run, at the first temperature; then τ falls on
/// half a cosine to 0. Up to there the forward is φ, and its derivative exact. From τ < 10⁻³ on, where
/// slopes would be huge and almost nowhere, τ counts as 0: Q(w), and straight through, φ(w) = w. As τ
/// falls q goes to steps at α/2, so the rule should be the paper's, absmean, whose threshold is that.
///
/// The paper also holds back the temperature of tensors by their sensitivity, from an estimate of the trace
/// of the Hessian. That factor is left out: all tensors share one temperature. Where α is 0, φ(w) = w.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hestia {
    start: f32,
}

/// The share of the run over which the mix rises.
const MIXING: f64 = 0.2;
/// Lower temperatures count as 0.
const COLDEST: f64 = 1e-3;

impl Hestia {
    /// τ that [`Hestia::default`] starts at.
    pub const START: f32 = 1.0;

    /// With a first temperature of its own.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `start` is in 0.01 ..= 100.
    pub fn new(start: f32) -> Result<Self> {
        if (0.01..=100.0).contains(&start) {
            return Ok(Self { start });
        }
        let value = f64::from(start);
        Err(Error::OutOfRange { what: "first temperature", expected: "0.01 to 100", value })
    }

    /// m and τ; None where τ counts as 0.
    fn schedule<T: Real>(&self, progress: Progress) -> Option<(T, T)> {
        let share = progress.share();
        let mix = (share / MIXING).min(1.0);
        let fall = ((share - MIXING) / (1.0 - MIXING)).max(0.0);
        let temperature = f64::from(self.start) * 0.5 * (1.0 + (PI * fall).cos());
        (temperature >= COLDEST).then(|| (T::from_f64(mix), T::from_f64(temperature)))
    }
}

impl Default for Hestia {
    fn default() -> Self {
        Self { start: Self::START }
    }
}

/// p of −1 and of 1.
fn outer<T: Real>(x: T, temperature: T) -> (T, T) {
    // The logits less that of 0, −x²/τ, and less the largest, so that no power overflows.
    let (negative, positive) = ((-x - x - T::ONE) / temperature, (x + x - T::ONE) / temperature);
    let largest = negative.max(positive).max(T::ZERO);
    let powers = [negative, T::ZERO, positive].map(|logit| (logit - largest).exp());
    let sum = powers[0] + powers[1] + powers[2];
    (powers[0] / sum, powers[2] / sum)
}

impl<T: Real> Estimator<T> for Hestia {
    fn pass(&self, latent: &[T], levels: Levels, progress: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        let Some((mix, temperature)) = self.schedule::<T>(progress) else { return };
        for (&weight, gradient) in latent.iter().zip(gradient) {
            let alpha = scale(weight, levels);
            if alpha == T::ZERO {
                continue;
            }
            let (negative, positive) = outer(weight / alpha, temperature);
            let mean = positive - negative;
            let mean = mutant!("Hestia/square of the mean left out", mean, T::ZERO);
            let variance = positive + negative - mean * mean;
            let slope = (variance + variance) / temperature;
            let slope = mutant!("Hestia/scale applied twice", slope, slope * alpha);
            let slope = mutant!("Hestia/factor 2", slope, slope * T::HALF);
            let mix = mutant!("Hestia/mix left out", mix, T::ONE);
            *gradient *= T::ONE + mix * (slope - T::ONE);
        }
    }

    fn surrogate(&self, latent: T, levels: Levels, progress: Progress) -> Option<T> {
        let alpha = scale(latent, levels);
        let schedule = self.schedule::<T>(progress).filter(|_| alpha != T::ZERO);
        let Some((mix, temperature)) = schedule else { return Some(latent) };
        let (negative, positive) = outer(latent / alpha, temperature);
        Some(latent + mix * (alpha * (positive - negative) - latent))
    }

    fn is_relaxed(&self, progress: Progress) -> bool {
        self.schedule::<T>(progress).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u32) -> Progress {
        Progress { step, total: 100 }
    }

    #[test]
    fn the_forward_goes_from_the_weight_to_its_level() {
        let levels = Levels::symmetric(0.5, 1.0);
        let surrogate = |w: f64, step| Hestia::default().surrogate(w, levels, at(step)).unwrap();
        for (weight, level) in [(0.8, 1.0), (0.2, 0.0), (-0.7, -1.0)] {
            assert_eq!(surrogate(weight, 0), weight);
            let error = |step| (surrogate(weight, step) - level).abs();
            assert!(error(50) > error(80) && error(95) < 1e-3, "{weight}");
        }
        let is_relaxed = |step| Estimator::<f32>::is_relaxed(&Hestia::default(), at(step));
        assert!(is_relaxed(0) && is_relaxed(95) && !is_relaxed(100));
        assert!(!Estimator::<f32>::is_relaxed(&Hestia::default(), Progress::DONE));
    }

    #[test]
    fn at_the_end_and_without_a_scale_it_is_straight_through() {
        let mut gradient = [2.0_f32, -3.0];
        Hestia::default().pass(&[0.5, 9.0], Levels::symmetric(0.5, 1.0), at(100), &mut gradient);
        Hestia::default().pass(&[0.0, 1.0], Levels::symmetric(0.0, 0.0), at(50), &mut gradient);
        assert_eq!(gradient, [2.0, -3.0]);
        assert!(Hestia::new(0.0).is_err() && Hestia::new(f32::NAN).is_err());
    }
}
