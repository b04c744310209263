//! Gradients scaled by the rounding error.

use ternary_core::{Levels, Real, mutant};

use crate::error::{Error, Result};
use crate::estimator::Estimator;
use crate::progress::Progress;
use crate::scale::{quantized, scale};

/// Element-wise gradient scaling: a gradient grows where its step leads away from the level that the
/// weight was rounded to, and shrinks where it leads towards it (Lee, Kim, Ham, CVPR 2021, arXiv 2104.00903).
///
/// ```text
/// dL/dw = g·(1 + δ·sign(g)·(w − q)/α) = g + δ·|g|·(w − q)/α        g = dL/dq
/// ```
///
/// The rounding error is measured in steps of the grid: α = W_p for w ≥ 0 and W_n for w < 0, so that the
/// levels lie at −1, 0 and 1. (The paper's inputs lie in 0 to 1, and its weights are then stretched
/// to the same −1 to 1.) Where α is 0, all is: g passes as it is. The factor is not held above 0, as in
/// the paper: with δ = 10⁻³ it is, up to a thousand steps from a level.
///
/// It depends on the sign of g, so it is the derivative of no function of w, and names none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ewgs {
    delta: f32,
}

impl Ewgs {
    /// δ of [`Ewgs::default`].
    pub const DELTA: f32 = 1e-3;

    /// With a δ of its own; 0 is straight through.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `delta` is in 0 ..= 1.
    pub fn new(delta: f32) -> Result<Self> {
        if (0.0..=1.0).contains(&delta) {
            return Ok(Self { delta });
        }
        let value = f64::from(delta);
        Err(Error::OutOfRange { what: "δ of the gradient scaling", expected: "0 to 1", value })
    }
}

impl Default for Ewgs {
    fn default() -> Self {
        Self { delta: Self::DELTA }
    }
}

impl<T: Real> Estimator<T> for Ewgs {
    fn pass(&self, latent: &[T], levels: Levels, _: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        let delta = T::from_f32(self.delta);
        for (&weight, gradient) in latent.iter().zip(gradient) {
            let alpha = scale(weight, levels);
            if alpha == T::ZERO {
                continue;
            }
            let error = weight - quantized(weight, levels);
            let error = mutant!("Ewgs/error not in steps", error / alpha, error);
            let size = mutant!("Ewgs/sign of the gradient forgotten", gradient.abs(), *gradient);
            *gradient += mutant!("Ewgs/sign", delta * size * error, -(delta * size * error));
        }
    }

    fn surrogate(&self, _: T, _: Levels, _: Progress) -> Option<T> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_away_from_the_level_grows_and_one_towards_it_shrinks() {
        let levels = Levels::symmetric(0.5, 2.0);
        let latent = [0.4, 0.4, 1.0, 1.0, -1.0];
        let mut gradient = [1.0_f64, -1.0, 1.0, -1.0, 1.0];
        // A positive gradient lowers the weight: from 1 away from the 2 it rounds to.
        Ewgs::new(0.5).unwrap().pass(&latent, levels, Progress::DONE, &mut gradient);
        let expected = [1.1, -0.9, 0.75, -1.25, 1.25];
        for (found, expected) in gradient.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
        }
    }

    #[test]
    fn without_a_scale_the_gradient_passes_as_it_is() {
        let mut gradient = [1.0_f32, -2.0];
        let levels = Levels::symmetric(0.0, 0.0);
        Ewgs::default().pass(&[0.0, 0.5], levels, Progress::DONE, &mut gradient);
        assert_eq!(gradient, [1.0, -2.0]);
        assert!(Ewgs::new(-1.0).is_err() && Ewgs::new(f32::NAN).is_err());
    }
}
