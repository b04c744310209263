//! The rules by name, as command lines and configurations spell them.

use std::fmt;
use std::str::FromStr;

use super::{
    Absmean, Absmedian, FixedThreshold, Lsq, Optimal, Quantizer, Seq, Ttq, TtqParameters, Twn,
};
use crate::error::{Error, Result};
use crate::scales::Granularity;
use crate::weights::Weights;

/// A rule without its learned parameters: what a command line or a configuration file says.
///
/// ```
/// use ternary_core::{Granularity, Rule};
///
/// let rule: Rule = "twn0.7".parse()?;
/// assert_eq!(rule, Rule::Twn { factor: 0.7 });
/// assert_eq!(rule.to_string(), "twn0.7");
/// let quantizer = rule.quantizer(Granularity::Row)?;
/// assert_eq!(quantizer.name(), "twn");
/// # Ok::<(), ternary_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// `absmean`: [`Absmean`].
    Absmean,
    /// `absmedian`: [`Absmedian`].
    Absmedian,
    /// `twn` (0.75), or `twn` and a factor, as in `twn0.7`: [`Twn`].
    Twn {
        /// Δ = factor · mean|w|.
        factor: f64,
    },
    /// `fixed` and a threshold, as in `fixed0.02`: [`FixedThreshold`].
    Fixed {
        /// Δ.
        threshold: f32,
    },
    /// `optimal`: [`Optimal`].
    Optimal,
    /// `seq`, learned: [`Seq`].
    Seq,
    /// `lsq`, learned: [`Lsq`].
    Lsq,
    /// `ttq` (0.05), or `ttq` and a fraction of max|w|, as in `ttq0.1`, learned: [`Ttq`].
    Ttq {
        /// The fraction to start from.
        threshold: f32,
    },
}

/// What an unknown name is answered with.
const NAMES: &str = "absmean, absmedian, twn, twn<factor>, fixed<threshold>, optimal, seq, lsq, \
                     ttq or ttq<fraction of the largest weight>";

impl Rule {
    /// The rules that a bare name, without a number, stands for.
    pub const DEFAULTS: [Self; 7] = [
        Self::Absmean,
        Self::Absmedian,
        Self::Twn { factor: Twn::DEFAULT_FACTOR },
        Self::Optimal,
        Self::Seq,
        Self::Lsq,
        Self::Ttq { threshold: TtqParameters::DEFAULT_THRESHOLD },
    ];

    /// Whether the rule has parameters that training changes.
    pub fn is_learned(self) -> bool {
        matches!(self, Self::Seq | Self::Lsq | Self::Ttq { .. })
    }

    /// The quantiser of a rule without learned parameters; it serves any number of matrices.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a bad factor or threshold, [`Error::Mismatch`] for a learned rule, which
    /// [`Rule::initialised`] starts from weights.
    pub fn quantizer(self, granularity: Granularity) -> Result<Box<dyn Quantizer>> {
        Ok(match self {
            Self::Absmean => Box::new(Absmean::new(granularity)),
            Self::Absmedian => Box::new(Absmedian::new(granularity)),
            Self::Twn { factor } => Box::new(Twn::with_factor(granularity, factor)?),
            Self::Fixed { threshold } => Box::new(FixedThreshold::new(granularity, threshold)?),
            Self::Optimal => Box::new(Optimal::new(granularity)),
            Self::Seq | Self::Lsq | Self::Ttq { .. } => {
                return Err(Error::Mismatch {
                    what: "a quantiser without weights to start from",
                    expected: "a rule without learned parameters".into(),
                    found: self.to_string(),
                });
            }
        })
    }

    /// The quantiser for one `rows × cols` matrix, its learned parameters, where it has some, started
    /// from the weights.
    ///
    /// # Errors
    /// As [`Rule::quantizer`] and the `initialised` of each learned rule.
    pub fn initialised(
        self,
        granularity: Granularity,
        rows: usize,
        cols: usize,
        weights: Weights<'_>,
    ) -> Result<Box<dyn Quantizer>> {
        Ok(match self {
            Self::Seq => Box::new(Seq::initialised(granularity, rows, cols, weights)?),
            Self::Lsq => Box::new(Lsq::initialised(granularity, rows, cols, weights)?),
            Self::Ttq { threshold } => {
                Box::new(Ttq::initialised(granularity, rows, cols, weights, threshold)?)
            }
            _ => self.quantizer(granularity)?,
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Absmean => f.pad("absmean"),
            Self::Absmedian => f.pad("absmedian"),
            Self::Twn { factor } if factor == Twn::DEFAULT_FACTOR => f.pad("twn"),
            Self::Twn { factor } => f.pad(&format!("twn{factor}")),
            Self::Fixed { threshold } => f.pad(&format!("fixed{threshold}")),
            Self::Optimal => f.pad("optimal"),
            Self::Seq => f.pad("seq"),
            Self::Lsq => f.pad("lsq"),
            Self::Ttq { threshold } if threshold == TtqParameters::DEFAULT_THRESHOLD => {
                f.pad("ttq")
            }
            Self::Ttq { threshold } => f.pad(&format!("ttq{threshold}")),
        }
    }
}

impl FromStr for Rule {
    type Err = Error;

    /// # Errors
    /// [`Error::Mismatch`] listing the names. Whether a number is in range, [`Rule::quantizer`] says.
    fn from_str(name: &str) -> Result<Self> {
        if let Some(rule) = Self::DEFAULTS.into_iter().find(|rule| rule.to_string() == name) {
            return Ok(rule);
        }
        let number = |family| name.strip_prefix(family)?.parse::<f64>().ok();
        let short = |family| name.strip_prefix(family)?.parse::<f32>().ok();
        None.or_else(|| number("twn").map(|factor| Self::Twn { factor }))
            .or_else(|| short("fixed").map(|threshold| Self::Fixed { threshold }))
            .or_else(|| short("ttq").map(|threshold| Self::Ttq { threshold }))
            .ok_or_else(|| Error::Mismatch {
                what: "quantiser",
                expected: NAMES.into(),
                found: format!("{name:?}"),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_parsed_from_what_it_prints() {
        let numbered = [
            Rule::Twn { factor: 0.7 },
            Rule::Fixed { threshold: 0.02 },
            Rule::Fixed { threshold: 1e-7 },
            Rule::Ttq { threshold: 0.1 },
        ];
        for rule in Rule::DEFAULTS.into_iter().chain(numbered) {
            assert_eq!(rule.to_string().parse(), Ok(rule), "{rule}");
        }
        assert_eq!(numbered.map(|rule| rule.to_string())[..2], ["twn0.7", "fixed0.02"]);
        assert_eq!(format!("{:>5}|{:<6}|", Rule::Seq, Rule::Twn { factor: 0.7 }), "  seq|twn0.7|");
    }

    #[test]
    fn a_quantiser_belongs_to_the_family_its_rule_prints() {
        for rule in Rule::DEFAULTS {
            let weights = Weights::F32(&[1.0, -0.5]);
            let quantizer = rule.initialised(Granularity::Row, 1, 2, weights).unwrap();
            assert_eq!(quantizer.name(), rule.to_string());
            assert_eq!(quantizer.granularity(), Granularity::Row);
            assert_eq!(rule.quantizer(Granularity::Row).is_err(), rule.is_learned(), "{rule}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_list() {
        for name in ["", "absmeans", "AbsMean", "fixed", "twn0.7x", "optimal1"] {
            let error = name.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains("absmedian, twn"), "{error}");
            assert!(error.contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused_when_the_quantiser_is_made() {
        let weights = Weights::F32(&[1.0]);
        for name in ["twn1", "twn-0.1", "twnnan", "fixed-1", "fixedinf", "ttq1.5", "ttqnan"] {
            let rule: Rule = name.parse().unwrap();
            assert!(rule.initialised(Granularity::Tensor, 1, 1, weights).is_err(), "{name}");
        }
    }
}
