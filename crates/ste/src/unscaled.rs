//! The straight-through estimator of the trit alone.

use ternary_core::{Levels, Real, mutant};

use crate::estimator::Estimator;
use crate::progress::Progress;
use crate::scale::scale;

/// Takes the trit, not the weight, to have slope 1, so that the scale α stays in the gradient:
///
/// ```text
/// q = α·trit(w),  dtrit/dw = 1   ⟹   dq/dw = α          α = W_p for w ≥ 0, W_n for w < 0
/// φ(w) = α·w
/// ```
///
/// He and Fan (arXiv 1810.01018) note that such gradients vanish with α and correct the slope of the trit
/// to 1/α. That corrected estimator is [`Identity`](crate::Identity); this one is what it corrects. Under
/// Adam a constant factor for a whole tensor cancels but for ε and the clip of the norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unscaled;

impl<T: Real> Estimator<T> for Unscaled {
    fn pass(&self, latent: &[T], levels: Levels, _: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        for (&weight, gradient) in latent.iter().zip(gradient) {
            let side = mutant!("Unscaled/sides swapped", weight, -weight);
            let slope = scale(side, levels);
            let slope = mutant!("Unscaled/corrected by the scale", slope, T::ONE);
            *gradient *= mutant!("Unscaled/scale applied twice", slope, slope * slope);
        }
    }

    fn surrogate(&self, latent: T, levels: Levels, _: Progress) -> Option<T> {
        Some(scale(latent, levels) * latent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_its_own_slope() {
        let levels = Levels { threshold: 0.5, negative: 0.25, positive: 2.0 };
        let mut gradient = [1.0_f32, -1.0, 3.0];
        Unscaled.pass(&[0.1, -2.0, 0.0], levels, Progress::DONE, &mut gradient);
        assert_eq!(gradient, [2.0, -0.25, 6.0]);
    }
}
