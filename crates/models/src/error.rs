//! What can go wrong in a model.

use lora_backward::AdapterError;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape that no model can have.
    #[error("{field}: expected {expected}, found {found}")]
    Config {
        /// The field of the configuration.
        field: &'static str,
        /// What is allowed, in words.
        expected: &'static str,
        /// What was asked for.
        found: String,
    },
    /// A batch that does not fit the model.
    #[error("batch: {what}: expected {expected}, found {found}")]
    Batch {
        /// What does not fit.
        what: &'static str,
        /// The size that fits.
        expected: usize,
        /// The size handed in.
        found: usize,
    },
    /// Adapters that the model cannot have.
    #[error(transparent)]
    Adapter(Box<AdapterError>),
    /// A layer failed.
    #[error(transparent)]
    Layer(#[from] nn::Error),
}

// In a box, so that every other result stays small.
impl From<AdapterError> for Error {
    fn from(error: AdapterError) -> Self {
        Self::Adapter(Box::new(error))
    }
}
