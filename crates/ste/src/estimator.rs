//! The trait [`Estimator`].

use std::fmt::Debug;

use ternary_core::{Levels, Real};

/// A gradient estimator for ternary quantisation: what stands in for dq/dw.
///
/// For a latent weight w of a scaling group with levels (Δ, W_n, W_p), held fixed:
///
/// ```text
/// dL/dw = dL/dq · φ′(w)          φ: the surrogate
/// ```
pub trait Estimator<T: Real>: Debug + Send + Sync {
    /// Turns dL/dq into dL/dw in place, for latent weights of one scaling group.
    ///
    /// # Panics
    /// When `latent` and `gradient` differ in length.
    fn pass(&self, latent: &[T], levels: Levels, gradient: &mut [T]);

    /// φ(w): the function whose derivative [`Estimator::pass`] multiplies by, the levels held fixed.
    fn surrogate(&self, latent: T, levels: Levels) -> T;
}

/// An estimator for both floating types: what layers hold.
pub trait AnyEstimator: Estimator<f32> + Estimator<f64> {}

impl<E: Estimator<f32> + Estimator<f64>> AnyEstimator for E {}
