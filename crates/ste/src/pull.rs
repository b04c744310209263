//! [`Pull`]: latent weights drawn towards the grid.

use ternary_core::{Real, mutant};

use crate::error::{Error, Result};
use crate::progress::Progress;

/// A pull of latent weights towards what they are rounded to, decoupled from the gradient as the weight
/// decay of AdamW is: the correction of CAGE (Tabesh, Safaryan et al., 2025, arXiv 2510.18784), in the variant
/// that does not weight it by the statistics of Adam.
///
/// ```text
/// w  ← w − min(1, η·λₜ)·(w − Q(w))         η: the learning rate of the step
/// λₜ = λ·max(0, (s − s₀)/(1 − s₀))         s = t/total after t updates: 0 up to the share s₀, λ at the end
/// ```
///
/// No gradient passes through it and no moment of an optimiser sees it. Where it alone acts, w goes to Q(w);
/// beside a loss it settles where ∇L(Q(w)) + λ·(w − Q(w)) = 0. λₜ is a function of the progress alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pull {
    strength: f64,
    from: f64,
}

impl Pull {
    /// λ of [`Mode::Cage`](crate::Mode::Cage), the default of the published code, as is the next.
    pub const STRENGTH: f64 = 10.0;
    /// s₀, the share of the steps without a pull.
    pub const FROM: f64 = 0.8;

    /// A pull that rises to `strength` from the share `from` of the run on.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a strength that is negative or not finite, and a share outside 0 ..= 1.
    pub fn new(strength: f64, from: f64) -> Result<Self> {
        if !(strength >= 0.0 && strength.is_finite()) {
            let expected = "a finite number of at least 0";
            return Err(Error::OutOfRange { what: "pull", expected, value: strength });
        }
        if !(0.0..=1.0).contains(&from) {
            let expected = "a share of the run, 0 to 1";
            return Err(Error::OutOfRange { what: "start of the pull", expected, value: from });
        }
        Ok(Self { strength, from })
    }

    /// λₜ.
    pub fn at(self, progress: Progress) -> f64 {
        let since = progress.share() - self.from;
        if mutant!("Pull/from the first step", since <= 0.0, self.from < 0.0) {
            return 0.0;
        }
        let risen = mutant!("Pull/never rises", since / (1.0 - self.from), 1.0);
        self.strength * risen
    }

    /// w ← w − min(1, rate)·(w − q), where `rate` is η·λₜ: a pull leads to the grid and not beyond, from where the
    /// next one would lead farther back.
    ///
    /// # Panics
    /// Unless there is one quantised weight for each latent one.
    pub fn correct<T: Real>(rate: T, quantized: &[T], latent: &mut [T]) {
        assert_eq!(quantized.len(), latent.len());
        let rate = rate.min(T::ONE);
        for (w, &q) in latent.iter_mut().zip(quantized) {
            let q = mutant!("Pull/towards zero", q, T::ZERO);
            let away = *w - q;
            *w = mutant!("Pull/away from the grid", *w - rate * away, *w + rate * away);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_silent_at_first_and_rises_to_its_strength_at_the_last_update() {
        let pull = Pull::new(4.0, 0.5).unwrap();
        let at = |step| pull.at(Progress { step, total: 8 });
        let expected = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0];
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8].map(at), expected);
        assert_eq!(Pull::new(4.0, 0.0).unwrap().at(Progress { step: 4, total: 8 }), 2.0);
        assert_eq!(Pull::new(4.0, 1.0).unwrap().at(Progress::DONE), 0.0);
    }

    #[test]
    fn weights_go_to_the_grid_and_what_lies_on_it_stays() {
        let mut latent = [0.75_f32, -0.25, 0.5, 0.0];
        Pull::correct(0.5, &[0.5, 0.0, 0.5, 0.0], &mut latent);
        assert_eq!(latent, [0.625, -0.125, 0.5, 0.0]);
        for rate in [1.0, 1e3, f32::INFINITY] {
            let mut latent = latent;
            Pull::correct(rate, &[0.5, 0.0, 0.5, 0.0], &mut latent);
            assert_eq!(latent, [0.5, 0.0, 0.5, 0.0], "{rate}");
        }
    }

    #[test]
    fn what_is_no_pull_is_refused() {
        for (strength, from) in [(-1.0, 0.5), (f64::INFINITY, 0.5), (1.0, 1.5), (1.0, f64::NAN)] {
            assert!(Pull::new(strength, from).is_err(), "{strength} {from}");
        }
    }
}
