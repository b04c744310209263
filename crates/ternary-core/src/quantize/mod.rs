//! Quantisers: from latent weights to trits and scales.
//!
//! A rule fits one scaling group at a time and says three numbers, [`Levels`]: a threshold Δ and the
//! magnitudes of both signs. Quantise, forward, requantise, export and statistics all read the
//! rule here.
//!
//! | rule | name | threshold Δ | magnitude α | a group of zeros, or none |
//! |---|---|---|---|---|
//! | [`Absmean`] | `absmean` | γ/2 | γ = max(mean\|w\|, 10⁻⁵) | zeros, α = 10⁻⁵ |
//! | [`Absmedian`] | `absmedian` | γ/2 | γ = max(median\|w\|, 10⁻⁵) | zeros, α = 10⁻⁵ |
//! | [`Twn`] | `twn`, `twn0.7` | 0.75·mean\|w\| | mean of the \|w\| > Δ | zeros, α = 0 |
//! | [`FixedThreshold`] | `fixed0.02` | given | mean of the \|w\| > Δ | zeros, α = 0 |
//! | [`Optimal`] | `optimal` | least squared error | mean of the \|w\| > Δ | zeros, α = 0 |
//! | [`Seq`] | `seq` | α/3 | 2α/3, α learned | zeros, α as it is |
//! | [`Lsq`] | `lsq` | α/2 | α learned | zeros, α as it is |
//! | [`Ttq`] | `ttq`, `ttq0.1` | t·max\|w\|, t learned | W_n, W_p learned | zeros, W as they are |
//!
//! Every rule refuses a NaN or an infinity with its index. Every rule without a number in its name
//! leaves at least one non-zero trit in a group whose largest magnitude is above 10⁻⁵, so none turns
//! a fresh layer into zeros. Sums and means are taken in `f64`, so weights near the largest `f32` have
//! finite scales.
//!
//! For c a power of two, Q(c·w) = c·Q(w) exactly, as long as nothing overflows or becomes subnormal.
//! The clamp of [`Absmean`] and [`Absmedian`] breaks this below 10⁻⁵, a fixed threshold must be scaled
//! along, and so must learned parameters. Symmetric rules are odd: Q(−w) = −Q(w).

mod absmean;
mod absmedian;
mod fixed_threshold;
mod group_parameters;
mod kept;
mod lsq;
mod optimal;
mod rule;
mod seq;
mod ttq;
mod twn;

use std::fmt::Debug;

use crate::error::{Error, Result};
use crate::scales::Granularity;
use crate::weights::Weights;

pub use absmean::Absmean;
pub use absmedian::Absmedian;
pub use fixed_threshold::FixedThreshold;
pub use lsq::Lsq;
pub use optimal::Optimal;
pub use rule::Rule;
pub use seq::Seq;
pub use ttq::{Ttq, TtqParameters};
pub use twn::Twn;

/// The smallest scale that a rule with a clamp gives, and the smallest that a learned one starts from.
pub const MIN_SCALE: f32 = 1e-5;

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
        self.check_group(0)
    }

    /// [`Levels::check`], naming the scaling group in the error.
    pub(crate) fn check_group(&self, index: usize) -> Result<()> {
        let named = [("threshold", self.threshold), ("W_n", self.negative), ("W_p", self.positive)];
        for (what, value) in named {
            let value = f64::from(value);
            if !value.is_finite() {
                return Err(Error::NonFinite { what, index, value });
            }
            if value < 0.0 {
                let expected = "a number of at least 0";
                return Err(Error::OutOfRange { what, expected, index, value });
            }
        }
        Ok(())
    }
}

/// A ternary quantisation rule. One type for each rule: everything that needs its scale or its
/// threshold asks it.
pub trait Quantizer: Debug + Send + Sync {
    /// The family of the rule: `twn` for every factor. [`Rule`] prints the whole.
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

/// The largest `f32` that is at most `value` (which is at least 0). For a weight w in `f32`, w > x holds
/// exactly when w > `round_down(x)`, so a threshold rounded this way decides as the real number does.
fn round_down(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) > value { nearest.next_down() } else { nearest }
}

#[cfg(test)]
mod tests;
