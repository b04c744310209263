//! The names of the estimators.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::clipped::Clipped;
use crate::error::{Error, Result};
use crate::estimator::AnyEstimator;
use crate::identity::Identity;

/// An estimator by its name on a command line or in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// [`Identity`].
    #[default]
    Identity,
    /// [`Clipped`], attenuated to its default floor.
    Clipped,
    /// [`Clipped::hard`].
    ClippedHard,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::Identity, Self::Clipped, Self::ClippedHard];

    /// The name, as [`Method::from_str`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Clipped => "clipped",
            Self::ClippedHard => "clipped-hard",
        }
    }

    /// The estimator itself.
    pub fn estimator(self) -> Arc<dyn AnyEstimator> {
        match self {
            Self::Identity => Arc::new(Identity),
            Self::Clipped => Arc::new(Clipped::default()),
            Self::ClippedHard => Arc::new(Clipped::hard()),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.into_iter().map(Self::name).collect();
            Error::UnknownMethod { expected: names.join(", "), found: name.to_owned() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_an_unknown_one_lists_them() {
        for method in Method::ALL {
            assert_eq!(method.to_string().parse(), Ok(method));
        }
        let error = "straight".parse::<Method>().unwrap_err().to_string();
        assert!(error.contains("\"straight\"") && error.contains("clipped-hard"), "{error}");
    }
}
