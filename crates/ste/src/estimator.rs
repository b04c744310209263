//! The trait [`Estimator`].

use std::fmt::Debug;

use ternary_core::{Levels, Real};

use crate::progress::Progress;

/// A gradient estimator for ternary quantisation: what stands in for dq/dw.
///
/// For a latent weight w of a scaling group with levels (Δ, W_n, W_p), held fixed, at a step of the run:
///
/// ```text
/// dL/dw = dL/dq · φ′(w)          φ: the surrogate
/// ```
pub trait Estimator<T: Real>: Debug + Send + Sync {
    /// Turns dL/dq into dL/dw in place, for latent weights of one scaling group.
    ///
    /// # Panics
    /// When `latent` and `gradient` differ in length.
    fn pass(&self, latent: &[T], levels: Levels, progress: Progress, gradient: &mut [T]);

    /// φ(w): the function whose derivative [`Estimator::pass`] multiplies by, the levels held fixed. None
    /// where what passes is no derivative of anything; such an estimator is held to a plain loop instead.
    fn surrogate(&self, latent: T, levels: Levels, progress: Progress) -> Option<T>;

    /// Whether the forward computes with something softer than Q(w) at this step.
    fn is_relaxed(&self, _progress: Progress) -> bool {
        false
    }

    /// Writes what a relaxed forward computes with in place of Q(w), for all latent weights of one scaling
    /// group: the surrogate, so that what passes is the derivative of that forward.
    ///
    /// # Panics
    /// When `latent` and `relaxed` differ in length.
    fn relax(&self, latent: &[T], levels: Levels, progress: Progress, relaxed: &mut [T]) {
        assert_eq!(latent.len(), relaxed.len());
        for (relaxed, &latent) in relaxed.iter_mut().zip(latent) {
            *relaxed = self.surrogate(latent, levels, progress).unwrap_or(latent);
        }
    }
}

/// An estimator for both floating types: what layers hold.
pub trait AnyEstimator: Estimator<f32> + Estimator<f64> {}

impl<E: Estimator<f32> + Estimator<f64>> AnyEstimator for E {}
