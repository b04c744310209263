//! A smooth staircase that sharpens during the run.

use ternary_core::{Levels, Real, mutant};

use crate::error::{Error, Result};
use crate::estimator::Estimator;
use crate::progress::Progress;

/// Computes with two sigmoids in place of the two steps, and sharpens them by a falling temperature. Sums of
/// sigmoids whose steepness grows are those of quantisation networks (Yang et al., CVPR 2019, arXiv
/// 1911.09464), where biases and scales are learned; here they are the levels, and the schedule is our own:
///
/// ```text
/// φ(w) = W_p·σ((w − Δ)/T) − W_n·σ((−w − Δ)/T)
/// T    = τ·Δ,   τ = start·(end/start)^min(s/0.9, 1)       s: the share of the run that is over
/// ```
///
/// During the first nine tenths of the run the forward is φ itself and its derivative exact. From there
/// on the forward is Q(w), and φ at the last temperature stays what passes: little but around the
/// thresholds, within some T of them. Without a threshold the half step (W_p + W_n)/4 gives the width; where
/// all of them are 0, φ(w) = w.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tempered {
    start: f32,
    end: f32,
}

/// The share of the run over which the temperature falls.
const FALL: f64 = 0.9;

impl Tempered {
    /// τ that [`Tempered::default`] starts at.
    pub const START: f32 = 0.5;
    /// τ that [`Tempered::default`] ends at.
    pub const END: f32 = 0.05;

    /// With temperatures of its own, in thresholds.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless both are in 0.001 ..= 100.
    pub fn new(start: f32, end: f32) -> Result<Self> {
        for value in [start, end] {
            if !(1e-3..=100.0).contains(&value) {
                let value = f64::from(value);
                return Err(Error::OutOfRange {
                    what: "temperature",
                    expected: "0.001 to 100 thresholds",
                    value,
                });
            }
        }
        Ok(Self { start, end })
    }

    /// T; 0 where there is nothing to measure it by.
    fn temperature<T: Real>(&self, levels: Levels, progress: Progress) -> T {
        let (start, end) = (f64::from(self.start), f64::from(self.end));
        let relative = start * (end / start).powf((progress.share() / FALL).min(1.0));
        let width = if levels.threshold > 0.0 {
            f64::from(levels.threshold)
        } else {
            (f64::from(levels.negative) + f64::from(levels.positive)) / 4.0
        };
        T::from_f64(relative * width)
    }
}

impl Default for Tempered {
    fn default() -> Self {
        Self { start: Self::START, end: Self::END }
    }
}

/// σ(x) = 1/(1 + e⁻ˣ).
fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

/// σ′(x) = σ(x)·σ(−x).
fn slope<T: Real>(x: T) -> T {
    sigmoid(x) * mutant!("Tempered/derivative of the sigmoid", sigmoid(-x), T::ONE)
}

impl<T: Real> Estimator<T> for Tempered {
    fn pass(&self, latent: &[T], levels: Levels, progress: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        let progress = mutant!("Tempered/never sharpens", progress, Progress { step: 0, total: 1 });
        let temperature = self.temperature::<T>(levels, progress);
        if temperature == T::ZERO {
            return;
        }
        let threshold = T::from_f32(levels.threshold);
        let (negative, positive) = (T::from_f32(levels.negative), T::from_f32(levels.positive));
        for (&weight, gradient) in latent.iter().zip(gradient) {
            let rise = positive * slope((weight - threshold) / temperature);
            let fall = negative * slope((-weight - threshold) / temperature);
            let sum = mutant!("Tempered/sign of the negative step", rise + fall, rise - fall);
            *gradient *= mutant!("Tempered/temperature left out", sum / temperature, sum);
        }
    }

    fn surrogate(&self, latent: T, levels: Levels, progress: Progress) -> Option<T> {
        let temperature = self.temperature::<T>(levels, progress);
        if temperature == T::ZERO {
            return Some(latent);
        }
        let threshold = T::from_f32(levels.threshold);
        let rise = T::from_f32(levels.positive) * sigmoid((latent - threshold) / temperature);
        let fall = T::from_f32(levels.negative) * sigmoid((-latent - threshold) / temperature);
        Some(rise - fall)
    }

    fn is_relaxed(&self, progress: Progress) -> bool {
        progress.share() < FALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: Levels = Levels { threshold: 0.5, negative: 0.7, positive: 1.3 };

    #[test]
    fn the_forward_sharpens_to_the_staircase_and_then_is_hard() {
        let tempered = Tempered::default();
        let error = |step| {
            let progress = Progress { step, total: 10 };
            let mut relaxed = [0.0_f64; 4];
            tempered.relax(&[-0.9, 0.1, 0.35, 0.9], LEVELS, progress, &mut relaxed);
            let hard = [-0.7, 0.0, 0.0, 1.3];
            relaxed.iter().zip(hard).map(|(soft, hard)| (soft - hard).abs()).fold(0.0, f64::max)
        };
        assert!(error(0) > error(4) && error(4) > error(8) && error(9) < 0.01);
        let is_relaxed =
            |step| Estimator::<f32>::is_relaxed(&tempered, Progress { step, total: 10 });
        assert!(is_relaxed(0) && is_relaxed(8) && !is_relaxed(9) && !is_relaxed(10));
        assert!(!Estimator::<f32>::is_relaxed(&tempered, Progress::DONE));
    }

    #[test]
    fn extreme_levels_and_weights_stay_finite() {
        for levels in [Levels::symmetric(0.0, 0.0), Levels::symmetric(1e-30, 1.0), LEVELS] {
            let mut gradient = [1.0_f32; 3];
            Tempered::default().pass(&[0.0, 1e3, -1e3], levels, Progress::DONE, &mut gradient);
            assert!(gradient.iter().all(|g| g.is_finite()), "{levels:?}: {gradient:?}");
        }
        assert!(Tempered::new(0.5, 0.0).is_err() && Tempered::new(f32::NAN, 0.1).is_err());
    }
}
