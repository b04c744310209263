//! What can go wrong when an estimator is chosen.

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that no mode has.
    #[error("mode {found:?} is unknown: expected one of {expected}")]
    UnknownMode {
        /// The names there are, separated by commas.
        expected: String,
        /// The name asked for.
        found: String,
    },
    /// A parameter outside its range.
    #[error("{what}: expected {expected}, found {value}")]
    OutOfRange {
        /// The parameter.
        what: &'static str,
        /// The allowed range, in words.
        expected: &'static str,
        /// The value asked for.
        value: f64,
    },
}
