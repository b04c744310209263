//! Gradients of trained ternary quantisation.

use ternary_core::{Levels, Real, mutant};

use crate::estimator::Estimator;
use crate::learned::{Group, ParameterGradient, Point};
use crate::progress::Progress;

/// TTQ (Zhu, Han, Mao & Dally, ICLR 2017, arXiv 1612.01064) with the learned W_p, W_n and the fraction t
/// of the largest weight, Δ = t·max|w|:
///
/// ```text
/// Q = +W_p if w > Δ,   −W_n if w < −Δ,   else 0
/// φ′(w) = W_p, 1, W_n                 above Δ, between, below −Δ
/// dL/dW_p = +Σ dL/dq over t = +1      the true derivatives of Q
/// dL/dW_n = −Σ dL/dq over t = −1
/// ```
///
/// The paper prints dL/dW_n without its minus. It keeps t; a learned one gets the derivative of a forward
/// whose two steps are smoothed over ±h:
///
/// ```text
/// q_h(w; Δ) = W_p·S((w − Δ)/h) − W_n·S((−w − Δ)/h)
/// S(x) = ∫ k = ½ + ¾·(x − x³/3),      k(x) = ¾·(1 − x²) on (−1, 1)
/// dL/dΔ = Σ dL/dq · (−W_p·k((w − Δ)/h) + W_n·k((−w − Δ)/h))/h
/// dL/dt = max|w| · dL/dΔ
/// h = max(Δ, max|w|/64), held fixed as is max|w|
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ttq;

/// The least h, as a share of the largest weight.
const LEAST_WIDTH: f64 = 1.0 / 64.0;

/// k(x), the kernel of Epanechnikov: its area is 1.
fn kernel<T: Real>(x: T) -> T {
    if x.abs() < T::ONE { T::from_f64(0.75) * (T::ONE - x * x) } else { T::ZERO }
}

/// S(x), the integral of [`kernel`]: from 0 to 1.
fn smooth_step<T: Real>(x: T) -> T {
    let x = x.max(-T::ONE).min(T::ONE);
    T::HALF + T::from_f64(0.75) * (x - x * x * x / T::from_f64(3.0))
}

impl Ttq {
    /// h: how far from a threshold weights have a say in where it lies. 0 for a group of zeros.
    pub fn width<T: Real>(levels: Levels, largest: f32) -> T {
        let least = T::from_f64(LEAST_WIDTH) * T::from_f32(largest);
        T::from_f32(levels.threshold).max(least)
    }

    /// q_h(w; Δ) with the magnitudes of `levels`, but this threshold and this width.
    pub fn smoothed<T: Real>(latent: T, levels: Levels, threshold: T, width: T) -> T {
        if width <= T::ZERO {
            return T::ZERO;
        }
        let step = |w: T| smooth_step((w - threshold) / width);
        T::from_f32(levels.positive) * step(latent) - T::from_f32(levels.negative) * step(-latent)
    }
}

/// ∂q_h/∂Δ at the threshold of the levels.
fn threshold_slope<T: Real>(point: Point<T>) -> T {
    let Point { latent, levels, largest, .. } = point;
    let (width, threshold) = (Ttq::width::<T>(levels, largest), T::from_f32(levels.threshold));
    if width <= T::ZERO {
        return T::ZERO;
    }
    let density = |w: T| {
        let density = kernel((w - threshold) / width);
        mutant!("Ttq/kernel without its width", density / width, density)
    };
    let (positive, negative) = (T::from_f32(levels.positive), T::from_f32(levels.negative));
    mutant!(
        "Ttq/sign of the negative side of the threshold",
        negative * density(-latent) - positive * density(latent),
        -negative * density(-latent) - positive * density(latent)
    )
}

impl<T: Real> Estimator<T> for Ttq {
    fn pass(&self, latent: &[T], levels: Levels, _: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        let threshold = T::from_f32(levels.threshold);
        let (positive, negative) = (T::from_f32(levels.positive), T::from_f32(levels.negative));
        let [positive, negative] = mutant!(
            "Ttq/slopes of the two signs swapped",
            [positive, negative],
            [negative, positive]
        );
        for (&weight, gradient) in latent.iter().zip(gradient) {
            let slope = if weight > threshold {
                positive
            } else if weight < -threshold {
                negative
            } else {
                mutant!("Ttq/nothing passes to zeros", T::ONE, T::ZERO)
            };
            *gradient *= mutant!("Ttq/slope left out", slope, T::ONE);
        }
    }

    fn surrogate(&self, latent: T, levels: Levels, _: Progress) -> Option<T> {
        let threshold = T::from_f32(levels.threshold);
        let beyond = (latent.abs() - threshold).max(T::ZERO);
        let inside = latent.abs().min(threshold);
        Some(if latent < T::ZERO {
            -inside - T::from_f32(levels.negative) * beyond
        } else {
            inside + T::from_f32(levels.positive) * beyond
        })
    }
}

/// The parameters are W_p, W_n and t. The sums are as they are: a factor of the learning rate is the
/// optimiser's.
impl<T: Real> ParameterGradient<T> for Ttq {
    fn add(&self, group: &Group<'_, T>, sums: &mut [f64]) {
        let [mut positive, mut negative, mut threshold] = [0.0; 3];
        for (point, upstream) in group.points() {
            match point.trit {
                1 => positive += upstream.to_f64(),
                -1 => negative -= upstream.to_f64(),
                _ => {}
            }
            threshold += (upstream * threshold_slope(point)).to_f64();
        }
        sums[0] += mutant!(
            "Ttq/mean instead of the sum",
            positive,
            positive / group.latent.len().max(1) as f64
        );
        sums[1] += mutant!("Ttq/sign of W_n", negative, -negative);
        sums[2] += mutant!(
            "Ttq/threshold without the largest weight",
            threshold * f64::from(group.largest),
            threshold
        );
    }

    fn surrogate(&self, point: Point<T>, parameters: &[T]) -> T {
        let Point { latent, trit, levels, largest } = point;
        let value = match trit {
            1 => parameters[0],
            -1 => -parameters[1],
            _ => T::ZERO,
        };
        let width = Self::width(levels, largest);
        let smoothed = |threshold| Self::smoothed(latent, levels, threshold, width);
        let threshold = parameters[2] * T::from_f32(largest);
        value + (smoothed(threshold) - smoothed(T::from_f32(levels.threshold)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: Levels = Levels { threshold: 0.5, negative: 0.7, positive: 1.3 };

    #[test]
    fn each_sign_sums_its_own_weights_and_the_negative_one_against_its_sign() {
        let group = Group {
            latent: &[1.5_f64, 2.0, -3.0, -4.0, 0.1],
            trits: &[1, 1, -1, -1, 0],
            upstream: &[1.0, 2.0, 4.0, 8.0, 16.0],
            levels: LEVELS,
            largest: 4.0,
        };
        let mut sums = [0.0; 3];
        Ttq.add(&group, &mut sums);
        assert_eq!(sums[..2], [3.0, -12.0]);
        // Only the last is within ±h = ½ of a threshold, of both.
        let k = |x: f64| 0.75 * (1.0 - x * x) / 0.5;
        let [positive, negative] = [LEVELS.positive, LEVELS.negative].map(f64::from);
        let expected = 4.0 * 16.0 * (negative * 0.0 - positive * k(-0.8));
        assert!((sums[2] - expected).abs() < 1e-9, "{sums:?} and {expected}");
    }

    #[test]
    fn the_smooth_forward_is_the_hard_one_away_from_the_thresholds() {
        for w in [-3.0, -1.1, 0.0, 1.2, 2.0] {
            let smoothed = Ttq::smoothed(w, LEVELS, 0.5_f64, 0.25);
            assert!((smoothed - f64::from(LEVELS.value(w as f32))).abs() < 1e-12, "{w}");
        }
        assert_eq!(Ttq::width::<f64>(Levels { threshold: 0.0, ..LEVELS }, 0.0), 0.0);
        assert_eq!(Ttq::smoothed(0.0, LEVELS, 0.0_f64, 0.0), 0.0);
    }
}
