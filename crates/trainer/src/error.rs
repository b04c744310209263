//! What can go wrong in a run.

mod making;

use std::io;
use std::path::PathBuf;

use crate::config;
use crate::plan::in_words;
use making::in_checkpoint;

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
    /// A text that cannot be trained on as it is.
    #[error("the text {}: expected {expected}, found {found}", path.display())]
    Data {
        /// The file, folder or pattern.
        path: PathBuf,
        /// What is needed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A line of a file of samples that is none.
    #[error(transparent)]
    Sample(#[from] crate::data::BadLine),
    /// A file of a text that is not what it was when it was opened.
    #[error(
        "the text {} was changed while it was read: expected the {expected} bytes that were there at first, found \
         {found}; put it back as it was and begin again, a run with --resume",
        path.display()
    )]
    TextChanged {
        /// The file.
        path: PathBuf,
        /// Its bytes when it was opened.
        expected: u64,
        /// What is there now, in words.
        found: String,
    },
    /// A tokenizer that no model can be made for.
    #[error("the tokenizer {}: expected {expected}, found {found}", path.display())]
    Tokenizer {
        /// Its file.
        path: PathBuf,
        /// What is needed.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A window that no story fits in.
    #[error(
        "windows: expected at least {smallest} bytes for the stories that are told where no text is given, found \
         {window}; choose --set batch.length={smallest} or more, or a text with --data"
    )]
    NoRoomForStories {
        /// Bytes of the smallest window.
        smallest: usize,
        /// Bytes of the window.
        window: usize,
    },
    /// A text that has no window to train on, or none to hold out.
    #[error(
        "the text is too short: expected at least {expected} tokens (bytes, without a tokenizer) for windows of \
         {length}, found {found}; shorten the windows, or give more text"
    )]
    TextTooShort {
        /// Tokens needed.
        expected: usize,
        /// Tokens there.
        found: usize,
        /// Predictions of a window.
        length: usize,
    },
    /// A line of the metrics that cannot be read.
    #[error(
        "{}, line {line}: expected a record as a run writes it, found {problem}; take that line out, or run again",
        path.display()
    )]
    Metrics {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of a run that is not what the run wrote.
    #[error("{}: expected {expected}, found {found}", path.display())]
    RunFile {
        /// The file or folder.
        path: PathBuf,
        /// What it should be, in words.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The folder of a run has something in it already.
    #[error(
        "the folder {} is not empty: expected a new or empty one, so that no run is overwritten; choose another with \
         --out, or replace the run in it with --force",
        path.display()
    )]
    FolderNotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A folder to replace that is not that of a run, or not of a run alone.
    #[error(
        "the folder {} is not replaced: expected config.toml, metrics.jsonl and what else a run leaves, found {found}; \
         choose another with --out",
        path.display()
    )]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// What it has, or lacks.
        found: String,
    },
    /// A run that has not left yet what it trains.
    #[error(
        "the run {} has no {what}/ yet, which is written when it ends: found {found}",
        path.display()
    )]
    NoModel {
        /// The folder of the run.
        path: PathBuf,
        /// What it trains: a model, or adapters.
        what: &'static str,
        /// What it has.
        found: String,
    },
    /// A run of adapters in the place of a model.
    #[error(
        "the run {0} has adapters and no model of its own: expected a model; make one of both with: ternary merge \
         --model {0} --out DIR",
        path.display()
    )]
    OnlyAdapters {
        /// The folder of the run.
        path: PathBuf,
    },
    /// Adapters in the place of a model, which no run tells.
    #[error(
        "{}: expected a model, found adapters alone: give them with --adapter, and their model with --model",
        path.display()
    )]
    Adapters {
        /// The folder of the adapters.
        path: PathBuf,
    },
    /// A file that is there already.
    #[error("{} is there already: choose another place with --out, or replace it with --force", path.display())]
    WouldReplace {
        /// The file.
        path: PathBuf,
    },
    /// A run that needs more memory than there is.
    #[error(
        "the run would need about {} of memory: expected at most the {} that this machine has free; --plan tells what \
         takes it",
        in_words(*needed), in_words(*available)
    )]
    TooLarge {
        /// Bytes that it needs.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// A chat template that cannot be used.
    #[error("cannot use the chat template of {}: {problem}", path.display())]
    ChatTemplate {
        /// The file it is in.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A run to be replaced that the next one reads.
    #[error("the run {} is not replaced: --{flag} reads from it; choose another folder with --out", path.display())]
    Needed {
        /// The folder of the run.
        path: PathBuf,
        /// What reads from it.
        flag: &'static str,
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
    /// Windows that would leave tokens out.
    #[error(
        "--stride: expected from 1 to the {length} tokens that a window predicts, found {stride}"
    )]
    Stride {
        /// Predictions of a window.
        length: usize,
        /// Tokens to the next one.
        stride: usize,
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
        "{}: expected tokenizer.json, which says what the {vocabulary} tokens of this model stand for (without one, 256 \
         are bytes): it is missing; put it there, or give eval and generate numbers of tokens with --ids",
        model.display()
    )]
    NoTokenizer {
        /// The folder of the model.
        model: PathBuf,
        /// Tokens of the model.
        vocabulary: usize,
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
    /// A list of tokens that cannot be used.
    #[error(transparent)]
    Ids(#[from] crate::generate::IdsError),
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
    /// Weights that an update made infinite, which no step can go on from.
    #[error(
        "step {step}: the update made {tensor} infinite: expected finite {what}, found {value}; begin a run of its own \
         with a lower optimiser.learning_rate or a lower optimiser.clip{}",
        in_checkpoint(checkpoint.as_deref())
    )]
    Weights {
        /// The step, counted from 1.
        step: u32,
        /// The first tensor, or its layer.
        tensor: String,
        /// What of it.
        what: &'static str,
        /// A number of it.
        value: f64,
        /// The last checkpoint, which is left as it was.
        checkpoint: Option<PathBuf>,
    },
    /// Steps without an end that were skipped.
    #[error("step {step}: {source}")]
    Diverged {
        /// The last of them, counted from 1.
        step: u32,
        /// How many.
        source: crate::guards::TooMany,
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
    /// A state of the optimiser that is that of another model.
    #[error(transparent)]
    OptimiserState(#[from] crate::optimiser::StateError),
    /// A run that another process is in.
    #[error("the run {} is in use: another process trains in it; wait for it, or choose another with --out", path.display())]
    InUse {
        /// The folder of the run.
        path: PathBuf,
    },
    /// A run that cannot go on.
    #[error("cannot resume {}: {what}: expected {expected}, found {found}", path.display())]
    Resume {
        /// The folder of the run.
        path: PathBuf,
        /// What is not as it was: the key of a setting, or a file.
        what: String,
        /// What is needed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A run that was asked to end, and saved a checkpoint.
    #[error(
        "interrupted after step {step}, which is saved; go on with: ternary {command} --resume {}",
        path.display()
    )]
    Interrupted {
        /// The command that the run was begun with.
        command: &'static str,
        /// The folder of the run.
        path: PathBuf,
        /// Steps so far.
        step: u32,
    },
    /// A model that cannot be learnt from.
    #[error("cannot learn from {}: {what}: expected {expected}, found {found}", path.display())]
    Teacher {
        /// Its folder.
        path: PathBuf,
        /// What does not fit.
        what: String,
        /// What the run needs.
        expected: String,
        /// What the model has.
        found: String,
    },
    /// A model that cannot be read or written.
    #[error(transparent)]
    ModelFolder(#[from] interop::Error),
}
