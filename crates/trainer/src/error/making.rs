//! How errors are made of other ones.

use std::io;
use std::path::Path;

use super::Error;
use crate::run::Skipped;

impl From<nn::Error> for Error {
    fn from(error: nn::Error) -> Self {
        Self::Model(error.into())
    }
}

impl Error {
    /// What went wrong when new codes were decided after step `step`, counted from 1.
    pub(crate) fn after_update(step: u32, source: models::Error) -> Self {
        match Skipped::from(&source) {
            Some(Skipped { tensor, what, value }) => {
                Self::Weights { step, tensor, what, value, checkpoint: None }
            }
            None => Self::Step { step, source },
        }
    }

    /// A text that cannot be used.
    pub(crate) fn data(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Data { path: path.to_owned(), expected: expected.into(), found: found.into() }
    }

    /// Names what was tried and on which path, for `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}

/// What is said of the last checkpoint of a run that ends with an error.
pub(super) fn in_checkpoint(checkpoint: Option<&Path>) -> String {
    checkpoint.map_or_else(String::new, |path| {
        format!("; the weights before are in the last checkpoint, {}", path.display())
    })
}
