//! What can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A configuration file.
    File(PathBuf),
    /// `--set key=value`.
    Set,
    /// A flag of its own.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Set => f.write_str("--set"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration file that cannot be read, or is no TOML.
    #[error("cannot read the configuration {}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An argument of `--set` without an equals sign.
    #[error("--set: expected key=value, found {found:?}")]
    Assignment {
        /// The argument.
        found: String,
    },
    /// A key that no setting has.
    #[error("{source_of_key}: unknown key {key:?}{}", suggestion(closest.as_deref()))]
    UnknownKey {
        /// Where it was given.
        source_of_key: Source,
        /// The key.
        key: String,
        /// The key that looks most like it.
        closest: Option<String>,
    },
    /// A value that its setting does not take.
    #[error("{source_of_value}: {key}: expected {expected}, found {found}")]
    Value {
        /// Where it was given.
        source_of_value: Source,
        /// The setting.
        key: String,
        /// The values it takes.
        expected: String,
        /// The value given.
        found: String,
    },
    /// A setting that one source gives twice.
    #[error("{source_of_key}: {key} is given twice: {first}, then {second}")]
    Twice {
        /// Where it was given.
        source_of_key: Source,
        /// The setting.
        key: String,
        /// The first value.
        first: String,
        /// The second value.
        second: String,
    },
    /// Adapters that the model cannot have.
    #[error("lora: {problem}")]
    Adapters {
        /// What was expected, and what was found.
        problem: String,
    },
    /// Settings that do not go together.
    #[error("{keys}: expected {expected}, found {found}")]
    Contradiction {
        /// The settings.
        keys: &'static str,
        /// What must hold between them.
        expected: &'static str,
        /// Their values.
        found: String,
    },
}

fn suggestion(closest: Option<&str>) -> String {
    closest.map_or_else(String::new, |key| format!("; did you mean {key:?}?"))
}
