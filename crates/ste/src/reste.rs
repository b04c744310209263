//! A power function around each threshold.

use ternary_core::{Levels, Real, mutant};

use crate::error::{Error, Result};
use crate::estimator::Estimator;
use crate::progress::Progress;
use crate::scale::{odd, scale};

/// The rectified straight-through estimator (ReSTE; Wu et al., "Estimator meets equilibrium perspective",
/// ICCV 2023, arXiv 2308.06689): a power
/// function that goes from straight through to the step while the run goes on. The paper's is for binary
/// weights, whose step lies at 0; a ternary weight has two, and each gets the function, centred on the
/// threshold and as wide as the threshold is far from 0:
///
/// ```text
/// z    = (|w| − Δ)/Δ                                  −1 at w = 0, 0 at the threshold
/// f(z) = sign(z)·|z|^(1/o)         0.1 ≤ |z| ≤ 1.5
///      = z·0.1^(1/o)/0.1           |z| < 0.1          the secant, for the slope at 0 is infinite
///      = sign(z)·1.5^(1/o)         |z| > 1.5          nothing passes
/// φ(w) = sign(w)·α/2·(f(z) + 1)                       α = W_p for w ≥ 0, W_n for w < 0
/// ```
///
/// f(−1) = −1 for every o, so φ is 0 at 0 and continuous; it is odd where W_p = W_n. The power rises with
/// the share s of the run that is over, o = 1 + (o_end − 1)·s, to 3 unless told otherwise. At o = 1 and
/// Δ = α/2, absmean's, φ is w itself up to 2.5Δ. Without a threshold there is no width: φ(w) = w.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reste {
    end: f32,
}

/// |z| below which the power function is filled in linearly.
const FILLED: f64 = 0.1;
/// |z| beyond which nothing passes.
const CLIPPED: f64 = 1.5;

impl Reste {
    /// o at the end of [`Reste::default`].
    pub const END: f32 = 3.0;

    /// With an o of its own at the end of the run.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `end` is in 1 ..= 100.
    pub fn new(end: f32) -> Result<Self> {
        if (1.0..=100.0).contains(&end) {
            return Ok(Self { end });
        }
        let value = f64::from(end);
        Err(Error::OutOfRange { what: "power at the end", expected: "1 to 100", value })
    }

    /// 1/o.
    fn exponent<T: Real>(&self, progress: Progress) -> T {
        T::from_f64(1.0 / (1.0 + (f64::from(self.end) - 1.0) * progress.share()))
    }
}

impl Default for Reste {
    fn default() -> Self {
        Self { end: Self::END }
    }
}

/// f(z).
fn power<T: Real>(z: T, exponent: T) -> T {
    let (magnitude, filled) = (z.abs(), T::from_f64(FILLED));
    if magnitude < filled {
        return z * (filled.powf(exponent) / filled);
    }
    odd(z, magnitude.min(T::from_f64(CLIPPED)).powf(exponent))
}

/// f′(z).
fn slope<T: Real>(z: T, exponent: T) -> T {
    let (magnitude, filled) = (z.abs(), T::from_f64(FILLED));
    if magnitude > mutant!("Reste/nothing is clipped", T::from_f64(CLIPPED), T::MAX) {
        T::ZERO
    } else if magnitude < filled {
        mutant!("Reste/tangent for the secant", T::ONE, exponent) * filled.powf(exponent) / filled
    } else {
        let power = mutant!("Reste/power", exponent - T::ONE, exponent);
        mutant!("Reste/factor 1/o left out", exponent, T::ONE) * magnitude.powf(power)
    }
}

impl<T: Real> Estimator<T> for Reste {
    fn pass(&self, latent: &[T], levels: Levels, progress: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        let threshold = T::from_f32(levels.threshold);
        if threshold == T::ZERO {
            return;
        }
        let exponent = self.exponent::<T>(progress);
        let exponent = mutant!("Reste/schedule", exponent, T::ONE);
        for (&weight, gradient) in latent.iter().zip(gradient) {
            let z = (weight.abs() - threshold) / threshold;
            let width = mutant!("Reste/width", scale(weight, levels) / threshold, T::ONE);
            *gradient *= T::HALF * width * slope(z, exponent);
        }
    }

    fn surrogate(&self, latent: T, levels: Levels, progress: Progress) -> Option<T> {
        let threshold = T::from_f32(levels.threshold);
        if threshold == T::ZERO {
            return Some(latent);
        }
        let z = (latent.abs() - threshold) / threshold;
        let value = T::HALF * scale(latent, levels) * (power(z, self.exponent(progress)) + T::ONE);
        Some(odd(latent, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(step: u32) -> Progress {
        Progress { step, total: 8 }
    }

    #[test]
    fn it_begins_straight_through_and_ends_near_the_step() {
        let levels = Levels::symmetric(0.5, 1.0);
        let surrogate = |w: f64, step| Reste::default().surrogate(w, levels, at(step)).unwrap();
        for w in [0.0, 0.2, -0.49, 0.7, -1.2] {
            assert!((surrogate(w, 0) - w).abs() < 1e-12, "{w}");
        }
        let to_the_step = |step| (surrogate(0.9, step) - 1.0).abs() + surrogate(0.1, step).abs();
        assert!(to_the_step(8) < to_the_step(4) && to_the_step(4) < to_the_step(0));
    }

    #[test]
    fn the_surrogate_is_odd_and_continuous_where_its_slope_bends() {
        let levels = Levels::symmetric(0.5, 1.3);
        for step in [0, 3, 8] {
            let surrogate = |w: f64| Reste::default().surrogate(w, levels, at(step)).unwrap();
            for bend in [0.0, 0.45, 0.5, 0.55, 1.25] {
                let jump = surrogate(bend + 1e-9) - surrogate(bend - 1e-9);
                assert!(jump.abs() < 1e-7, "at {bend} of step {step}: {jump}");
                assert_eq!(surrogate(-bend), -surrogate(bend));
            }
        }
    }

    #[test]
    fn without_a_threshold_it_is_straight_through() {
        let levels = Levels::symmetric(0.0, 2.0);
        let mut gradient = [3.0_f32];
        Reste::default().pass(&[0.7], levels, at(4), &mut gradient);
        assert_eq!(gradient, [3.0]);
        assert!(Reste::new(0.5).is_err() && Reste::new(f32::NAN).is_err());
    }
}
