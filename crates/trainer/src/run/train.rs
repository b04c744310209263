//! From a configuration to a trained model.

use std::io;
use std::path::{Path, PathBuf};

use super::apart::check_apart;
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
    check_apart(configuration)?;
    let given = Given::new(configuration, progress, interrupt, storage);
    let corpus = open_corpus(given)?;
    let ready = Ready::new(given, &corpus, configuration.run.from.as_deref())?;
    let written = for_another_folder(configuration)?.to_toml();
    let folder = RunFolder::choose(configuration)?;
    let records = folder.begin(&written)?;
    Running::begin(given, ready, &folder, records)
}

/// The configuration as it can be used from anywhere: with the whole paths of what it reads.
///
/// # Errors
/// [`Error::File`] for a path that no TOML can hold: left out, it would mean the stories.
pub(super) fn for_another_folder(configuration: &Configuration) -> Result<Configuration> {
    let mut configuration = configuration.clone();
    // Where there is no such folder any more, a relative path is the error.
    let here = std::env::current_dir().unwrap_or_default();
    let run = &mut configuration.run;
    for path in [&mut run.data, &mut run.valid].into_iter().flatten() {
        if let Some(pattern) = pattern_from(&here, path) {
            *path = pattern;
        }
    }
    let paths = [
        &mut run.data,
        &mut run.valid,
        &mut run.tokenizer,
        &mut run.from,
        &mut run.teacher,
        &mut configuration.data.cache,
        &mut configuration.lora.model,
    ];
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

/// A pattern in the folder `here` as it finds the same from anywhere; none for what is no pattern there. The folder's
/// own name is no pattern, whatever is in it.
fn pattern_from(here: &Path, path: &Path) -> Option<PathBuf> {
    let is_pattern = path.to_str().is_some_and(|path| path.contains(['*', '?', '[']));
    let is_relative = path.is_relative() && !here.join(path).exists();
    let here = here.to_str().filter(|_| is_pattern && is_relative)?;
    Some(Path::new(&glob::Pattern::escape(here)).join(path))
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

    #[test]
    fn a_pattern_finds_the_same_from_another_folder_whatever_the_name_of_the_first() {
        let folder = crate::temporary::TemporaryFolder::new();
        let here = folder.path().join("it[s] *?");
        std::fs::create_dir(&here).unwrap();
        std::fs::write(here.join("[a].txt"), "").unwrap();
        let whole = pattern_from(&here, "*.txt".as_ref()).unwrap();
        assert!(whole.ends_with("it[[]s[]] [*][?]/*.txt"), "{}", whole.display());
        for plain in ["[a].txt", "text", "/texts/*.txt"] {
            assert_eq!(pattern_from(&here, plain.as_ref()), None, "{plain}");
        }
    }

    #[test]
    fn every_path_that_a_run_reads_from_is_whole() {
        let mut configuration = Configuration::default();
        configuration.run.data = Some("texts/*.none".into());
        configuration.data.cache = Some("cache".into());
        let found = for_another_folder(&configuration).unwrap();
        assert!(found.run.data.unwrap().is_absolute() && found.data.cache.unwrap().is_absolute());
    }
}
