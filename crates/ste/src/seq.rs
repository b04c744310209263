//! Gradients of stretched elastic quantisation.

use ternary_core::{Levels, Real, mutant};

use crate::estimator::Estimator;
use crate::learned::{Group, ParameterGradient, Point};
use crate::progress::Progress;

/// SEQ of ParetoQ (Liu et al., NeurIPS 2025, arXiv 2502.02631), ternary, with a learned α = 1.5·W_p:
///
/// ```text
/// Q = α·t/1.5,   t = round(1.5·clip(w/α, −0.99, 0.99))
/// φ(w) = clip(w, −0.99·α, 0.99·α)
/// ψ(w; α) = w + α·(t/1.5 − w/α₀)     |w/α₀| ≤ 0.99, the residual of rounding held fixed
///         = α·t/1.5                  beyond
/// dL/dα = 1/√N · Σ dL/dq · ∂ψ/∂α      N: the weights of the tensor
/// ```
///
/// Beyond the clip ∂ψ/∂α is ±⅔, the level itself. The code published with the paper has ±1 there, which
/// is not the derivative of its forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seq;

/// Where w/α is clipped.
const CLIP: f64 = 0.99;
/// α in units of the level.
const STRETCH: f64 = 1.5;

fn alpha<T: Real>(levels: Levels) -> T {
    T::from_f64(STRETCH) * T::from_f32(levels.positive)
}

/// ∂ψ/∂α and whether the weight is inside the clip.
fn slope<T: Real>(point: Point<T>) -> (T, bool) {
    let ratio = point.latent / alpha(point.levels);
    let level = T::from_f64(f64::from(point.trit) / STRETCH);
    if ratio.abs() <= T::from_f64(CLIP) { (level - ratio, true) } else { (level, false) }
}

impl<T: Real> Estimator<T> for Seq {
    fn pass(&self, latent: &[T], levels: Levels, _: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        let alpha =
            mutant!("Seq/clip at the level", alpha::<T>(levels), T::from_f32(levels.positive));
        let limit = T::from_f64(CLIP) * alpha;
        for (&weight, gradient) in latent.iter().zip(gradient) {
            let is_inside = mutant!("Seq/clip left out", weight.abs() <= limit, true);
            if !is_inside {
                *gradient = T::ZERO;
            }
        }
    }

    fn surrogate(&self, latent: T, levels: Levels, _: Progress) -> Option<T> {
        let limit = T::from_f64(CLIP) * alpha(levels);
        Some(latent.max(-limit).min(limit))
    }
}

impl<T: Real> ParameterGradient<T> for Seq {
    fn factor(&self, numbers: usize) -> f64 {
        mutant!("Seq/factor left out", 1.0 / (numbers.max(1) as f64).sqrt(), 1.0)
    }

    fn add(&self, group: &Group<'_, T>, sums: &mut [f64]) {
        for (point, upstream) in group.points() {
            let slope = mutant!(
                "Seq/one beyond the clip",
                slope(point).0,
                match slope(point) {
                    (residual, true) => residual,
                    (_, false) => T::from_f64(f64::from(point.trit)),
                }
            );
            let slope = mutant!(
                "Seq/latent weight left out of the gradient of α",
                slope,
                T::from_f64(f64::from(point.trit) / STRETCH)
            );
            sums[0] += (upstream * slope).to_f64();
        }
    }

    fn surrogate(&self, point: Point<T>, parameters: &[T]) -> T {
        match slope(point) {
            (residual, true) => point.latent + parameters[0] * residual,
            (level, false) => parameters[0] * level,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_the_residual_of_rounding_counts_and_beyond_the_level() {
        // α = 1.5: zero up to ½.
        let group = Group {
            latent: &[0.375, -0.75, 1.5, -3.0],
            trits: &[0, -1, 1, -1],
            upstream: &[1.0, 10.0, 100.0, 1000.0],
            levels: Levels::symmetric(0.5, 1.0),
            largest: 3.0,
        };
        let mut sums = [0.0];
        Seq.add(&group, &mut sums);
        let expected = -0.25 + 10.0 * (0.5 - 2.0 / 3.0) + (100.0 - 1000.0) * 2.0 / 3.0;
        assert!((sums[0] - expected).abs() < 1e-12, "{sums:?}");
        for (point, _) in group.points() {
            let q: f64 = ParameterGradient::surrogate(&Seq, point, &[1.5]);
            assert!((q - f64::from(point.trit)).abs() < 1e-12);
        }
    }
}
