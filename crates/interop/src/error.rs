//! What can go wrong with files, with what was expected and what was found.

use std::io;
use std::path::{Path, PathBuf};

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong inside.
        problem: Problem,
    },
    /// A model, or adapters, that cannot be written.
    #[error("cannot be written: {0}")]
    Unwritable(Problem),
}

/// What is wrong with the contents of a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A part of the file does not fit.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// The part.
        what: String,
        /// What fits.
        expected: String,
        /// What there is.
        found: String,
    },
    /// A directory of another version of this software.
    #[error("version of the manifest: expected {expected}, found {found}")]
    Version {
        /// The one that is read and written.
        expected: u32,
        /// The one that is there.
        found: u32,
    },
    /// Text that is no JSON, or JSON of another structure.
    #[error("{what}: {source}")]
    Json {
        /// The text.
        what: &'static str,
        /// The first thing that is wrong, and where.
        source: serde_json::Error,
    },
    /// A name is there twice.
    #[error("{what} {name:?} is there twice")]
    Duplicate {
        /// What is named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Something is not there.
    #[error("{what} {name:?} is missing")]
    Missing {
        /// What is named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Something is there that belongs to nothing.
    #[error("{what} {name:?} belongs to nothing")]
    LeftOver {
        /// What is named.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The numbers or codes of a tensor mean nothing.
    #[error("tensor {tensor:?}: {source}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        source: ternary_core::Error,
    },
    /// A tokenizer that cannot be made, or that fails on a text.
    #[error("{what}: {source}")]
    Tokenizer {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An adapter that no projection can have.
    #[error(transparent)]
    Adapter(Box<lora_backward::AdapterError>),
    /// A shape that no model can have.
    #[error(transparent)]
    Model(#[from] models::Error),
}

impl From<lora_backward::AdapterError> for Problem {
    fn from(error: lora_backward::AdapterError) -> Self {
        Self::Adapter(Box::new(error))
    }
}

impl Problem {
    pub(crate) fn mismatch(
        what: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        Self::Mismatch { what: what.into(), expected, found }
    }

    /// `what` of a tensor differs.
    pub(crate) fn of_tensor(
        tensor: &str,
        what: &str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::mismatch(format!("tensor {tensor:?}: {what}"), expected, found)
    }

    /// Says in which file it is.
    pub(crate) fn in_file(self, path: &Path) -> Error {
        Error::File { path: path.to_owned(), problem: self }
    }
}

/// Says what was tried on which file.
pub(crate) fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { path: path.to_owned(), action, source }
}
