//! What must be sound before anything of a run is written.

use std::path::Path;

use nn::{Memory, Module};

use super::base::BaseModel;
use super::clock::Clock;
use super::folder::RunFolder;
use super::interrupt::Interrupt;
use super::metrics::Start;
use super::model::build;
use super::progress::Progress;
use super::step::Training;
use super::teacher::Teaching;
use crate::checkpoint::Checkpoints;
use crate::config::Configuration;
use crate::data::{Corpus, CorpusRequest, Example};
use crate::error::{Error, Result};
use crate::plan::check_memory;
use crate::storage::Storage;

/// What a run is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) progress: &'a Progress,
    pub(super) interrupt: &'a Interrupt,
    /// Where checkpoints are.
    storage: &'a dyn Storage,
    pub(super) clock: Clock,
}

/// A model that is about to train on a text.
pub(super) struct Ready<'a> {
    pub(super) corpus: &'a Corpus,
    pub(super) training: Training<'a>,
    pub(super) start: Start,
    /// The `tokenizer.json` that the text was read with.
    pub(super) tokenizer: Option<Vec<u8>>,
    /// What tells teachers apart, where there is one.
    pub(super) teacher: Option<String>,
    /// The model that adapters are for, where there is one.
    pub(super) base: Option<BaseModel>,
}

impl<'a> Given<'a> {
    /// From now on the time counts.
    pub(super) fn new(
        configuration: &'a Configuration,
        progress: &'a Progress,
        interrupt: &'a Interrupt,
        storage: &'a dyn Storage,
    ) -> Self {
        Self { configuration, progress, interrupt, storage, clock: Clock::start() }
    }

    /// The checkpoints of a run.
    pub(super) fn checkpoints(&self, folder: &RunFolder) -> Checkpoints<'a> {
        Checkpoints::new(self.storage, folder.path(), self.configuration.run.keep_last)
    }
}

/// The text of a run whose model the machine has the memory for.
///
/// # Errors
/// A text that is missing or too short, more memory than there is.
pub(super) fn open_corpus(given: Given<'_>) -> Result<Corpus> {
    let Given { configuration, progress, .. } = given;
    let corpus = Corpus::open(&CorpusRequest::of(configuration)?, &mut |line| progress.line(line))?;
    check_memory(configuration, corpus.vocabulary())?;
    Ok(corpus)
}

/// The `tokenizer.json` of a text, if it has one.
///
/// # Errors
/// [`Error::File`].
pub(super) fn tokenizer_of(corpus: &Corpus) -> Result<Option<Vec<u8>>> {
    let read = |path| std::fs::read(path).map_err(Error::file("read the tokenizer", path));
    corpus.tokenizer().map(read).transpose()
}

impl<'a> Ready<'a> {
    /// A model with its first weights, those of a saved one or random ones.
    ///
    /// # Errors
    /// Models and settings that do not fit each other.
    pub(super) fn new(given: Given<'_>, corpus: &'a Corpus, from: Option<&Path>) -> Result<Self> {
        let mut configuration = given.configuration.clone();
        configuration.run.from = from.map(Path::to_owned);
        let model = build(&configuration, corpus.vocabulary())?;
        let tokenizer = tokenizer_of(corpus)?;
        let vocabulary = corpus.vocabulary();
        let teaching = Teaching::open(&configuration, vocabulary, tokenizer.as_deref())?;
        let teacher = teaching.as_ref().map(|teaching| teaching.identity().to_owned());
        let Memory { packed, latent, other } = model.memory();
        let start = Start {
            steps: configuration.run.steps,
            parameters: model.parameters().numbers(),
            measure: corpus.measure(),
            floor: corpus.floor(),
            baseline: corpus.baseline()?,
            packed,
            latent,
            other,
        };
        let read_example = Box::new(|index, example: &mut Example| corpus.example(index, example));
        let training = Training::new(&configuration, model, read_example, teaching)?;
        let base = BaseModel::of(&configuration)?;
        Ok(Self { corpus, training, start, tokenizer, teacher, base })
    }
}
