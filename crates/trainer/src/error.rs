//! What can go wrong in a run.

use std::io;
use std::path::{Path, PathBuf};

use crate::config;

/// The result of every fallible call of this crate but those of [`config`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Configuration(#[from] config::Error),
    /// A file or folder that cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A text that has no window to train on, or none to hold out.
    #[error(
        "the text is too short: expected at least {expected} bytes for windows of {length}, found {found}"
    )]
    TextTooShort {
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        found: usize,
        /// Predictions of a window.
        length: usize,
    },
    /// The folder of a run has something in it already.
    #[error(
        "the folder {} is not empty: expected a new or empty one, so that no run is overwritten; choose another with --out",
        path.display()
    )]
    FolderNotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Windows of more tokens than the model has positions.
    #[error(
        "windows: expected at most {positions} tokens, which the model has positions for, found {length}"
    )]
    WindowTooLong {
        /// Positions of the model.
        positions: usize,
        /// Tokens asked for.
        length: usize,
    },
    /// Nothing to go on with.
    #[error("the prompt is empty: expected at least one token")]
    EmptyPrompt,
    /// A prompt and tokens after it that the model has no positions for.
    #[error(
        "the prompt has {prompt} tokens and {tokens} are to follow: expected at most the {positions} positions of \
         the model; shorten the prompt, or choose fewer with --tokens"
    )]
    TextTooLong {
        /// Positions of the model.
        positions: usize,
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens that are to follow.
        tokens: usize,
    },
    /// A model whose tokens stand for nothing that is known.
    #[error(
        "{}: expected a tokenizer.json, or at least the 256 tokens of bytes, to read a text: found neither; give the \
         numbers of tokens, with --ids",
        model.display()
    )]
    NoTokenizer {
        /// The folder of the model.
        model: PathBuf,
    },
    /// A number that tokens cannot be drawn by.
    #[error("{what}: expected {expected}, found {found}")]
    Sampling {
        /// The number.
        what: &'static str,
        /// What is allowed, in words.
        expected: &'static str,
        /// What was asked for.
        found: f64,
    },
    /// A list of tokens that cannot be read.
    #[error(
        "{what}: expected whole numbers between spaces or commas, found {found:?} as number {index}"
    )]
    Ids {
        /// The list.
        what: String,
        /// How many stand before it.
        index: usize,
        /// What stands there.
        found: String,
    },
    /// A list of tokens of which the model does not have one.
    #[error(
        "{what}: expected tokens below the model's {vocabulary}, found {found} as number {index}"
    )]
    UnknownId {
        /// The list.
        what: String,
        /// How many stand before it.
        index: usize,
        /// Tokens of the model.
        vocabulary: usize,
        /// What stands there.
        found: u32,
    },
    /// The variable that forces an instruction set names none that this processor has.
    #[error("{}: {source}", ternary_core::kernels::ISA_VARIABLE)]
    InstructionSet {
        /// What was wrong.
        source: ternary_core::Error,
    },
    /// A model that cannot be built.
    #[error(transparent)]
    Model(#[from] models::Error),
    /// A quantiser that does not fit.
    #[error(transparent)]
    Quantiser(#[from] ternary_core::Error),
    /// A step, or the evaluation after it, that failed.
    #[error("step {step}: {source}")]
    Step {
        /// The step, counted from 1.
        step: u32,
        /// Why it failed.
        source: models::Error,
    },
    /// A model that training cannot start from.
    #[error("cannot start from {}: {what}: expected {expected}, found {found}", path.display())]
    Start {
        /// Its folder.
        path: PathBuf,
        /// What does not fit: the key of a setting, or a tensor.
        what: String,
        /// What the configuration asks for.
        expected: String,
        /// What the model has.
        found: String,
    },
    /// A checkpoint that another version of this software wrote.
    #[error(
        "{}: the version of the checkpoint: expected {expected}, found {found}; resume with the ternary that wrote it, \
         or remove this folder to use an older checkpoint",
        path.display()
    )]
    CheckpointVersion {
        /// Its folder.
        path: PathBuf,
        /// The version that is read and written.
        expected: u32,
        /// The version that is there.
        found: u32,
    },
    /// A part of a run's state that cannot be kept or restored.
    #[error("the state of the run: {part}: {source}")]
    State {
        /// The part.
        part: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A model that cannot be read or written.
    #[error(transparent)]
    ModelFolder(#[from] interop::Error),
}

impl From<nn::Error> for Error {
    fn from(error: nn::Error) -> Self {
        Self::Model(error.into())
    }
}

impl Error {
    /// Names what was tried and on which path, for `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
