//! Quantisers: from latent weights to trits and scales.
//!
//! A rule fits one scaling group at a time and says three numbers, [`Levels`]: a threshold Δ and the
//! magnitudes of both signs. Quantise, forward, requantise, export and statistics all read the
//! rule here.

use std::fmt::Debug;

use crate::error::{Error, Result};
use crate::scales::Granularity;
use crate::weights::Weights;

/// How one scaling group becomes ternary:
///
/// ```text
/// t(w) = +1 if w > Δ,  −1 if w < −Δ,  else 0         (a tie, |w| = Δ, is 0)
/// Q(w) = +positive,    −negative,     0
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// Δ, at least 0.
    pub threshold: f32,
    /// Magnitude of the weights whose trit is −1.
    pub negative: f32,
    /// Magnitude of the weights whose trit is +1.
    pub positive: f32,
}

impl Levels {
    /// One magnitude for both signs.
    pub fn symmetric(threshold: f32, alpha: f32) -> Self {
        Self { threshold, negative: alpha, positive: alpha }
    }

    /// The trit of a weight.
    #[inline]
    pub fn trit(&self, weight: f32) -> i8 {
        i8::from(weight > self.threshold) - i8::from(weight < -self.threshold)
    }

    /// The quantised weight.
    #[inline]
    pub fn value(&self, weight: f32) -> f32 {
        match self.trit(weight) {
            1 => self.positive,
            -1 => -self.negative,
            _ => 0.0,
        }
    }

    /// Checks that the three numbers mean something.
    ///
    /// # Errors
    /// [`Error::NonFinite`] or [`Error::OutOfRange`] for a NaN, infinite or negative number.
    pub fn check(&self) -> Result<()> {
        let named = [("threshold", self.threshold), ("W_n", self.negative), ("W_p", self.positive)];
        for (what, value) in named {
            let value = f64::from(value);
            if !value.is_finite() {
                return Err(Error::NonFinite { what, index: 0, value });
            }
            if value < 0.0 {
                let expected = "a number of at least 0";
                return Err(Error::OutOfRange { what, expected, index: 0, value });
            }
        }
        Ok(())
    }
}

/// A ternary quantisation rule. One type for each rule: everything that needs its scale or its
/// threshold asks it.
pub trait Quantizer: Debug + Send + Sync {
    /// The name of the rule, as command lines and files spell it.
    fn name(&self) -> &'static str;

    /// How many weights share a scale.
    fn granularity(&self) -> Granularity;

    /// Whether both signs share one magnitude.
    fn is_symmetric(&self) -> bool {
        true
    }

    /// Fits the rule to scaling group `group`, whose weights are `weights`.
    ///
    /// # Errors
    /// [`Error::NonFinite`] with the index (within `weights`) of the first weight that is not
    /// finite, or an error of the rule's own parameters.
    fn fit(&self, group: usize, weights: Weights<'_>) -> Result<Levels>;
}
