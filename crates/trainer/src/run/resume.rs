//! Going on with a run that was interrupted or killed.

use std::collections::BTreeMap;
use std::path::Path;

use super::base::BaseModel;
use super::folder::RunFolder;
use super::interrupt::Interrupt;
use super::metrics::{Metrics, Record};
use super::progress::Progress;
use super::ready::{Given, Ready, open_corpus};
use super::replace::SETTINGS;
use super::running::Running;
use super::summary::Summary;
use crate::checkpoint::{Checkpoint, Snapshot};
use crate::config::{self, Configuration, Layers};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::storage::{Disk, Storage};

/// Settings that change no number of a run, or only where it ends, so that they may be edited before it is resumed.
/// That a text, a teacher or the model of adapters is the same is known by its content.
const FREE: [&str; 13] = [
    "data",
    "valid",
    "tokenizer",
    "from",
    "teacher",
    "checkpoint_every",
    "keep_last",
    "time_budget",
    "text.cache",
    "lora.model",
    "batch.accumulation",
    "batch.recompute",
    "log.every",
];

/// A run that was begun.
#[derive(Debug)]
pub enum Resumed {
    /// It ended, with this summary.
    Ended(Box<Summary>),
    /// It did not.
    Unfinished(Box<Unfinished>),
}

/// A run to go on with; no other process can as long as this lives.
#[derive(Debug)]
pub struct Unfinished {
    folder: RunFolder,
    configuration: Configuration,
}

impl Resumed {
    /// Opens the run in a folder.
    ///
    /// # Errors
    /// [`Error::Resume`] for a folder without settings, [`Error::InUse`], [`Error::File`]; settings that cannot be used
    /// and a summary that cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(summary) = Summary::read(path)? {
            return Ok(Self::Ended(Box::new(summary)));
        }
        let folder = RunFolder::open(path)?;
        // The process that held the folder may have ended its run just now.
        if let Some(summary) = Summary::read(path)? {
            return Ok(Self::Ended(Box::new(summary)));
        }
        let mut layers = Layers::default();
        layers.add_file(&path.join(SETTINGS))?;
        let configuration = layers.resolve()?;
        Ok(Self::Unfinished(Box::new(Unfinished { folder, configuration })))
    }
}

impl Unfinished {
    /// The settings of the run, from its folder.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Trains on from the newest checkpoint that can be read, or from the beginning where the run was killed before it
    /// saved one. What metrics and events tell of later steps is cut off first. What comes out is, but for times, bit for
    /// bit what the run would have left had nothing stopped it; a time budget aside.
    ///
    /// # Errors
    /// As [`train`](super::train); [`Error::Resume`] for another text than before, for settings that were changed, and
    /// for checkpoints none of which can be read. Nothing was written then.
    pub fn train(self, progress: &Progress, interrupt: &Interrupt) -> Result<Summary> {
        self.train_with(progress, interrupt, &Disk)
    }

    /// The same with checkpoints in a file system.
    pub(super) fn train_with(
        self,
        progress: &Progress,
        interrupt: &Interrupt,
        storage: &dyn Storage,
    ) -> Result<Summary> {
        let Self { folder, configuration } = &self;
        let given = Given::new(configuration, progress, interrupt, storage);
        let Some(mut checkpoint) = self.newest(given)? else {
            let corpus = open_corpus(given)?;
            let ready = Ready::new(given, &corpus, configuration.run.from.as_deref())?;
            return Running::begin(given, ready, folder, folder.begin_records()?);
        };
        self.check_settings(&checkpoint.snapshot)?;
        let corpus = open_corpus(given)?;
        self.check_text(corpus.identity(), &checkpoint.snapshot)?;
        // The weights that it started from are all replaced.
        let mut ready = Ready::new(given, &corpus, None)?;
        let Snapshot { teacher, base, .. } = &checkpoint.snapshot;
        self.check_model("the teacher", ready.teacher.as_deref(), teacher.as_deref())?;
        let found = ready.base.as_ref().map(BaseModel::identity);
        self.check_model("the model of the adapters", found, base.as_deref())?;
        ready.training.restore(&mut checkpoint)?;
        let snapshot = checkpoint.finish()?;
        Running::go_on(given, ready, folder, &snapshot, || self.cut_records(&snapshot))
    }

    /// The newest checkpoint that can be read; none where there is none at all.
    fn newest(&self, given: Given<'_>) -> Result<Option<Checkpoint>> {
        let mut passed_over = 0;
        let checkpoints = given.checkpoints(&self.folder);
        let newest = checkpoints.newest(&mut |line| {
            passed_over += 1;
            given.progress.line(format_args!("{line}"));
        })?;
        // What there is may have taken days.
        if newest.is_none() && passed_over > 0 {
            return Err(self.unfit(
                "checkpoints",
                "one that can be read, or none, to begin with the first step".to_owned(),
                format!(
                    "{passed_over} that cannot; remove that folder to begin with the first step"
                ),
            ));
        }
        Ok(newest)
    }

    fn check_settings(&self, snapshot: &Snapshot) -> Result<()> {
        let found = settings_of(&self.configuration);
        let mut keys = snapshot.configuration.keys().chain(found.keys());
        let differs = |key: &&String| {
            !FREE.contains(&key.as_str()) && snapshot.configuration.get(*key) != found.get(*key)
        };
        let Some(key) = keys.find(differs) else { return Ok(()) };
        let value = |settings: &BTreeMap<String, String>| match settings.get(key) {
            Some(value) => value.clone(),
            None => "none".to_owned(),
        };
        let expected = format!("{}, as at the last checkpoint", value(&snapshot.configuration));
        let found =
            format!("{} in {SETTINGS}; put it back, or begin a run of its own", value(&found));
        Err(self.unfit(key, expected, found))
    }

    fn check_text(&self, identity: &str, snapshot: &Snapshot) -> Result<()> {
        if identity == snapshot.data {
            return Ok(());
        }
        let expected = "that which the run began with".to_owned();
        let found = "another one; put it back, or begin a run of its own".to_owned();
        Err(self.unfit("the text", expected, found))
    }

    /// Checks that a model which a run reads is the one that it began with.
    fn check_model(&self, what: &str, found: Option<&str>, before: Option<&str>) -> Result<()> {
        if found == before {
            return Ok(());
        }
        let expected = match before {
            Some(_) => {
                "that which the run began with, by the hash of its config.json, weights and tokenizer"
            }
            None => "none, as the run began",
        };
        let found = if found.is_some() { "another one" } else { "none" };
        let found = format!("{found}; put it back, or begin a run of its own");
        Err(self.unfit(what, expected.to_owned(), found))
    }

    /// Cuts off what metrics and events tell of steps after a checkpoint.
    fn cut_records(&self, snapshot: &Snapshot) -> Result<(Metrics, Events)> {
        let length = |name: &str| {
            snapshot.lengths.get(name).copied().ok_or_else(|| {
                self.unfit(name, "its length in the checkpoint".to_owned(), "none".to_owned())
            })
        };
        let path = self.folder.path().join(Record::FILE);
        let (metrics, events) = (length(Record::FILE)?, length(Events::KIND)?);
        let found = Events::files(self.folder.path())?.len();
        if found != 1 {
            let found = format!("{found} event files");
            return Err(self.unfit(Events::KIND, "the event file of the run".to_owned(), found));
        }
        let records = self.records(&path, metrics)?;
        let events = Events::resume(self.folder.path(), events, &records)?;
        Ok((Metrics::resume(path, metrics)?, events))
    }

    /// The records of the first `length` bytes of the metrics, whole lines as they were written.
    fn records(&self, path: &Path, length: u64) -> Result<Vec<Record>> {
        let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
        let kept = usize::try_from(length).ok().and_then(|length| bytes.get(..length));
        let is_whole = |kept: &&[u8]| kept.last().is_none_or(|&last| last == b'\n');
        let Some(kept) = kept.filter(is_whole) else {
            let expected = format!("at least {length} bytes, and there the end of a line");
            let found = format!("{} bytes of another text; put it back", bytes.len());
            return Err(self.unfit(Record::FILE, expected, found));
        };
        Record::parse_all(path, kept)
    }

    fn unfit(&self, what: &str, expected: String, found: String) -> Error {
        let path = self.folder.path().to_owned();
        Error::Resume { path, what: what.to_owned(), expected, found }
    }
}

/// Every setting that has a value, as TOML.
pub(super) fn settings_of(configuration: &Configuration) -> BTreeMap<String, String> {
    let kept = config::SETTINGS.iter().filter(|setting| setting.is_kept());
    let values =
        kept.filter_map(|setting| Some((setting.key(), setting.value(configuration)?.to_string())));
    values.collect()
}

#[cfg(test)]
mod tests;
