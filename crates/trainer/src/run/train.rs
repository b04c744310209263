//! From a configuration to a trained model.

use std::io;

use super::folder::RunFolder;
use super::interrupt::Interrupt;
use super::progress::Progress;
use super::ready::{Given, Ready, open_corpus};
use super::running::Running;
use super::summary::Summary;
use crate::config::Configuration;
use crate::error::{Error, Result};
use crate::storage::{Disk, Storage};

/// Trains a model and leaves it in the folder of the run.
///
/// Nothing is written before the configuration, the text and the model have proved sound.
///
/// # Errors
/// A text that is missing or too short, more memory than there is, a folder that is not empty or in use, numbers that are
/// no longer finite, and files that cannot be written. [`Error::Interrupted`] once a checkpoint is saved, if `interrupt`
/// asks.
pub fn train(
    configuration: &Configuration,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Summary> {
    train_with(configuration, progress, interrupt, &Disk)
}

/// The same with checkpoints in a file system.
pub(super) fn train_with(
    configuration: &Configuration,
    progress: &Progress,
    interrupt: &Interrupt,
    storage: &dyn Storage,
) -> Result<Summary> {
    let given = Given::new(configuration, progress, interrupt, storage);
    let corpus = open_corpus(given)?;
    let ready = Ready::new(given, &corpus, configuration.run.from.as_deref())?;
    let written = for_another_folder(configuration)?.to_toml();
    let folder = RunFolder::choose(&configuration.run)?;
    let records = folder.begin(&written)?;
    Running::begin(given, ready, &folder, records)
}

/// The configuration as it can be used from anywhere: with the whole paths of what it reads.
///
/// # Errors
/// [`Error::File`] for a path that no TOML can hold: left out, it would mean the stories.
pub(super) fn for_another_folder(configuration: &Configuration) -> Result<Configuration> {
    let mut configuration = configuration.clone();
    let run = &mut configuration.run;
    let paths =
        [&mut run.data, &mut run.valid, &mut run.tokenizer, &mut run.from, &mut run.teacher];
    for path in paths.into_iter().flatten() {
        let whole = std::path::absolute(&path).map_err(Error::file("find", path))?;
        if whole.to_str().is_none() {
            let not_unicode = io::Error::new(io::ErrorKind::InvalidInput, "it is not Unicode");
            return Err(Error::file("write into config.toml the path", &whole)(not_unicode));
        }
        *path = whole;
    }
    Ok(configuration)
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_text_whose_path_cannot_be_written_down_is_an_error_and_not_left_out() {
        let mut configuration = Configuration::default();
        configuration.run.data = Some(OsStr::from_bytes(b"/folder/\xff/text").into());
        let error = for_another_folder(&configuration).unwrap_err().to_string();
        assert!(error.contains("config.toml") && error.contains("not Unicode"), "{error}");
    }
}
