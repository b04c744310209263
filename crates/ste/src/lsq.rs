//! Gradients of learned step sizes.

use ternary_core::{Levels, Real, mutant};

use crate::estimator::Estimator;
use crate::learned::{Group, ParameterGradient, Point};
use crate::progress::Progress;

/// LSQ (Esser et al., ICLR 2020, arXiv 1902.08153), ternary, with a learned α = W_p:
///
/// ```text
/// Q = α·t,   t = clip(round(w/α), −1, 1)
/// φ(w) = clip(w, −α, α)
/// ψ(w; α) = w + α·(t − w/α₀)     |w/α₀| ≤ 1, the residual of rounding held fixed
///         = α·t                  beyond
/// dL/dα = 1/√N · Σ dL/dq · ∂ψ/∂α      N: the weights of the tensor
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lsq;

/// ∂ψ/∂α and whether the weight is inside the clip.
fn slope<T: Real>(point: Point<T>) -> (T, bool) {
    let ratio = point.latent / T::from_f32(point.levels.positive);
    let trit = T::from_f64(f64::from(point.trit));
    if ratio.abs() <= T::ONE { (trit - ratio, true) } else { (trit, false) }
}

impl<T: Real> Estimator<T> for Lsq {
    fn pass(&self, latent: &[T], levels: Levels, _: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        let limit = mutant!("Lsq/clip at the threshold", levels.positive, levels.threshold);
        let limit = T::from_f32(limit);
        for (&weight, gradient) in latent.iter().zip(gradient) {
            let is_inside = mutant!("Lsq/clip left out", weight.abs() <= limit, true);
            if !is_inside {
                *gradient = T::ZERO;
            }
        }
    }

    fn surrogate(&self, latent: T, levels: Levels, _: Progress) -> Option<T> {
        let limit = T::from_f32(levels.positive);
        Some(latent.max(-limit).min(limit))
    }
}

impl<T: Real> ParameterGradient<T> for Lsq {
    fn factor(&self, numbers: usize) -> f64 {
        mutant!("Lsq/factor left out", 1.0 / (numbers.max(1) as f64).sqrt(), 1.0)
    }

    fn add(&self, group: &Group<'_, T>, sums: &mut [f64]) {
        for (point, upstream) in group.points() {
            let slope = mutant!(
                "Lsq/sign of the residual",
                slope(point).0,
                match slope(point) {
                    (residual, true) => -residual,
                    (level, false) => level,
                }
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
        let group = Group {
            latent: &[0.5, -1.5, 4.0],
            trits: &[0, -1, 1],
            upstream: &[1.0, 10.0, 100.0],
            levels: Levels::symmetric(1.0, 2.0),
            largest: 4.0,
        };
        let mut sums = [0.0];
        Lsq.add(&group, &mut sums);
        assert_eq!(sums, [-0.25 - 2.5 + 100.0]);
        assert_eq!(ParameterGradient::<f64>::factor(&Lsq, 16), 0.25);
    }
}
