//! The straight-through estimator.

use ternary_core::{Levels, Real, mutant};

use crate::estimator::Estimator;
use crate::progress::Progress;

/// dq/dw = 1: the gradient passes as it is (Bengio, Léonard, Courville, arXiv 1308.3432; BitNet b1.58,
/// arXiv 2402.17764). It differentiates φ(w) = w.
///
/// The scale α is part of q, so dL/dq is with respect to the scaled weight and α does not appear here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Identity;

impl<T: Real> Estimator<T> for Identity {
    fn pass(&self, latent: &[T], _levels: Levels, _: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        mutant!("Identity/sign", { gradient.iter_mut().for_each(|g| *g = -*g) });
        mutant!("Identity/factor 2", { gradient.iter_mut().for_each(|g| *g += *g) });
        mutant!("Identity/scale applied twice", {
            gradient.iter_mut().for_each(|g| *g *= T::from_f32(_levels.positive))
        });
    }

    fn surrogate(&self, latent: T, _: Levels, _: Progress) -> Option<T> {
        Some(latent)
    }
}
