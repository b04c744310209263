//! [`Mode`]: the ways to train through a quantiser, by name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ternary_core::Rule;
use ternary_core::quantize::{TtqParameters, Twn};

use crate::clipped::Clipped;
use crate::error::{Error, Result};
use crate::estimator::AnyEstimator;
use crate::ewgs::Ewgs;
use crate::hestia::Hestia;
use crate::identity::Identity;
use crate::lsq::Lsq;
use crate::pull::Pull;
use crate::ramp::Ramp;
use crate::reste::Reste;
use crate::seq::Seq;
use crate::staged::Staged;
use crate::tempered::Tempered;
use crate::trust_mask::TrustMask;
use crate::ttq::Ttq;
use crate::unscaled::Unscaled;

/// A way to train through a quantiser, by its name on a command line or in a configuration: an
/// estimator, the rule it is tied to, if any, and how weights go from float to ternary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Mode {
    /// No quantiser at all: float weights.
    None,
    /// [`Identity`], also read as `identity`.
    #[default]
    Vanilla,
    /// [`Identity`] under the TWN rule. Its α is part of q and so counted once, in dL/dq.
    Twn,
    /// [`Clipped`], attenuated to its default floor.
    Clipped,
    /// [`Clipped::hard`].
    ClippedHard,
    /// [`Identity`] on [`Ramp::PROGRESSIVE`].
    Progressive,
    /// [`Tempered`].
    Tempered,
    /// [`Unscaled`].
    Unscaled,
    /// [`Ewgs`].
    Ewgs,
    /// [`Reste`].
    Reste,
    /// [`TrustMask`].
    Trust,
    /// [`Hestia`], under the absmean rule that it is made for.
    Hestia,
    /// [`Staged`].
    Staged,
    /// [`Seq`], under its rule, whose α is learned.
    Seq,
    /// [`Lsq`], under its rule, whose α is learned.
    Lsq,
    /// [`Ttq`], under its rule, whose W_n and W_p are learned.
    Ttq,
    /// [`Identity`], where weights that are zero are a bias of their output ([`Mode::dead_bias`]).
    Tequila,
    /// [`Identity`], with a [`Pull`] towards the grid ([`Mode::pull`]).
    Cage,
}

/// The older name of [`Mode::Vanilla`].
const IDENTITY: &str = "identity";

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 18] = [
        Self::None,
        Self::Vanilla,
        Self::Twn,
        Self::Clipped,
        Self::ClippedHard,
        Self::Progressive,
        Self::Tempered,
        Self::Unscaled,
        Self::Ewgs,
        Self::Reste,
        Self::Trust,
        Self::Hestia,
        Self::Staged,
        Self::Seq,
        Self::Lsq,
        Self::Ttq,
        Self::Tequila,
        Self::Cage,
    ];

    /// The name, as [`Mode::from_str`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Vanilla => "vanilla",
            Self::Twn => "twn",
            Self::Clipped => "clipped",
            Self::ClippedHard => "clipped-hard",
            Self::Progressive => "progressive",
            Self::Tempered => "tempered",
            Self::Unscaled => "unscaled",
            Self::Ewgs => "ewgs",
            Self::Reste => "reste",
            Self::Trust => "trust",
            Self::Hestia => "hestia",
            Self::Staged => "staged",
            Self::Seq => "seq",
            Self::Lsq => "lsq",
            Self::Ttq => "ttq",
            Self::Tequila => "tequila",
            Self::Cage => "cage",
        }
    }

    /// Whether nothing is quantised.
    pub fn is_float(self) -> bool {
        self == Self::None
    }

    /// The estimator itself. Without a quantiser gradients pass as they are.
    pub fn estimator(self) -> Arc<dyn AnyEstimator> {
        match self {
            Self::None | Self::Vanilla | Self::Twn | Self::Progressive => Arc::new(Identity),
            Self::Tequila | Self::Cage => Arc::new(Identity),
            Self::Clipped => Arc::new(Clipped::default()),
            Self::ClippedHard => Arc::new(Clipped::hard()),
            Self::Tempered => Arc::new(Tempered::default()),
            Self::Unscaled => Arc::new(Unscaled),
            Self::Ewgs => Arc::new(Ewgs::default()),
            Self::Reste => Arc::new(Reste::default()),
            Self::Trust => Arc::new(TrustMask::default()),
            Self::Hestia => Arc::new(Hestia::default()),
            Self::Staged => Arc::new(Staged::default()),
            Self::Seq => Arc::new(Seq),
            Self::Lsq => Arc::new(Lsq),
            Self::Ttq => Arc::new(Ttq),
        }
    }

    /// The rule that belongs to the mode; None where any will do.
    pub fn rule(self) -> Option<Rule> {
        match self {
            Self::Twn => Some(Rule::Twn { factor: Twn::DEFAULT_FACTOR }),
            Self::Hestia => Some(Rule::Absmean),
            Self::Seq => Some(Rule::Seq),
            Self::Lsq => Some(Rule::Lsq),
            Self::Ttq => Some(Rule::Ttq { threshold: TtqParameters::DEFAULT_THRESHOLD }),
            _ => None,
        }
    }

    /// λ of Tequila (arXiv 2509.23809): weights that are quantised to zero add λ·Σw to their output. 0 adds
    /// nothing.
    pub const fn dead_bias(self) -> f64 {
        match self {
            Self::Tequila => 1e-3,
            _ => 0.0,
        }
    }

    /// λ of a [`Pull`] towards the grid; 0 is none.
    pub const fn pull(self) -> f64 {
        match self {
            Self::Cage => Pull::STRENGTH,
            _ => 0.0,
        }
    }

    /// The ramp of a run that asks for no other.
    pub fn ramp(self) -> Ramp {
        if self == Self::Progressive { Ramp::PROGRESSIVE } else { Ramp::NONE }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        if name == IDENTITY {
            return Ok(Self::Vanilla);
        }
        Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.into_iter().map(Self::name).collect();
            Error::UnknownMode { expected: names.join(", "), found: name.to_owned() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;

    #[test]
    fn every_name_reads_back_and_an_unknown_one_lists_them() {
        for mode in Mode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!("identity".parse(), Ok(Mode::Vanilla));
        let error = "straight".parse::<Mode>().unwrap_err().to_string();
        assert!(error.contains("\"straight\"") && error.contains("clipped-hard"), "{error}");
    }

    #[test]
    fn every_mode_ends_hard_and_its_rule_reads_back() {
        for mode in Mode::ALL {
            let estimator = mode.estimator();
            let estimator: &dyn crate::Estimator<f32> = &*estimator;
            assert!(!estimator.is_relaxed(Progress::DONE), "{mode}");
            assert_eq!(mode.ramp().lambda(Progress::DONE), 1.0, "{mode}");
            if let Some(rule) = mode.rule() {
                assert_eq!(rule.to_string().parse(), Ok(rule));
            }
        }
    }
}
