//! The trait [`ParameterGradient`]: gradients of what a quantiser learns.

use std::fmt::Debug;

use ternary_core::{Levels, Real};

/// Some weights of one scaling group, and what was decided about them.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a, T> {
    /// The latent weights.
    pub latent: &'a [T],
    /// Their trits, as the forward had them.
    pub trits: &'a [i8],
    /// dL/dq of the quantised weights.
    pub upstream: &'a [T],
    /// The levels of the group.
    pub levels: Levels,
    /// max|w| of the whole group.
    pub largest: f32,
}

/// One weight of such a group.
#[derive(Debug, Clone, Copy)]
pub struct Point<T> {
    /// The latent weight.
    pub latent: T,
    /// Its trit.
    pub trit: i8,
    /// The levels of the group.
    pub levels: Levels,
    /// max|w| of the whole group.
    pub largest: f32,
}

impl<T: Copy> Group<'_, T> {
    /// The weights one by one, each with its dL/dq.
    pub fn points(&self) -> impl Iterator<Item = (Point<T>, T)> {
        let Self { levels, largest, .. } = *self;
        let weights = self.latent.iter().zip(self.trits).zip(self.upstream);
        weights.map(move |((&latent, &trit), &upstream)| {
            (Point { latent, trit, levels, largest }, upstream)
        })
    }
}

/// The gradients of the learned parameters p of one scaling group:
///
/// ```text
/// dL/dp = f · Σ dL/dq · ∂ψ(w; p)/∂p          ψ: the surrogate, f: the factor
/// ```
pub trait ParameterGradient<T: Real>: Debug + Send + Sync {
    /// f, for a tensor of this many weights.
    fn factor(&self, _numbers: usize) -> f64 {
        1.0
    }

    /// Adds Σ dL/dq · ∂ψ/∂p over some weights of a group, a sum for each parameter. The sums are kept in
    /// `f64`: they run over a whole matrix.
    fn add(&self, group: &Group<'_, T>, sums: &mut [f64]);

    /// ψ(w; p): a quantised weight as a function of the parameters, what was decided at `point` held
    /// fixed. At the parameters of the point it is Q(w).
    fn surrogate(&self, point: Point<T>, parameters: &[T]) -> T;
}
