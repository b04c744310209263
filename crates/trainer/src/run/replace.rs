//! What a folder of a run holds, and taking it away for another run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checkpoint::is_of_checkpoint;
use crate::error::{Error, Result};

/// The settings, which say that a folder is that of a run.
pub(super) const SETTINGS: &str = "config.toml";
/// The metrics, with which a run begins.
pub(super) const METRICS: &str = "metrics.jsonl";
/// The file that a process locks while it trains.
pub(super) const LOCK: &str = ".lock";
pub(super) const MODEL: &str = "model";
/// The adapters in its place.
pub(super) const ADAPTER: &str = "adapter";
/// What the model is that those are for.
pub(super) const BASE: &str = "base.json";
/// What runs leave beside those.
const OTHERS: [&str; 7] = [MODEL, ADAPTER, BASE, BEST, CHECKPOINTS, "report.html", "summary.json"];
/// The model or the adapters of the best evaluation.
const BEST: &str = "best";
const CHECKPOINTS: &str = "checkpoints";
/// What is in the folders of models, adapters and checkpoints; each may be there as `NAME.new` too, not yet whole.
const PARTS: [&str; 9] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "adapter_config.json",
    "adapter_model.safetensors",
    BASE,
    "manifest.json",
    "arrays.safetensors",
    "state.json",
];
/// What a run that was killed may leave beside its files.
const UNFINISHED: [&str; 4] =
    ["config.unfinished", "report.unfinished", "summary.unfinished", UNFINISHED_BASE];
const UNFINISHED_BASE: &str = "base.unfinished";
/// How event files begin.
const EVENTS: &str = "events.out.tfevents.";

/// Whether a folder has nothing in it but what a run that was killed before it began may leave.
///
/// # Errors
/// [`Error::File`].
pub(super) fn is_empty(path: &Path) -> Result<bool> {
    Ok(names(path)?.iter().all(|name| [LOCK, UNFINISHED[0]].contains(&name.as_str())))
}

/// Checks that a folder has a run in it, and nothing else.
///
/// # Errors
/// [`Error::NoRun`], [`Error::File`].
pub(super) fn check_run(path: &Path) -> Result<()> {
    let names = names(path)?;
    let no_run = |found: String| Err(Error::NoRun { path: path.to_owned(), found });
    let has = |name: &str| names.iter().any(|found| found == name);
    // Many a folder has a config.toml.
    for (is_there, needed) in [(has(SETTINGS), SETTINGS), (has(METRICS) || has(LOCK), METRICS)] {
        if !is_there {
            return no_run(format!("no {needed}"));
        }
    }
    let is_ours = |name: &&String| {
        let all = [&[SETTINGS, METRICS, LOCK][..], &OTHERS, &UNFINISHED].concat();
        all.contains(&name.as_str()) || name.starts_with(EVENTS)
    };
    if let Some(other) = names.iter().find(|name| !is_ours(name)) {
        return no_run(other.clone());
    }
    let in_parts = [MODEL, ADAPTER, BEST].map(|part| foreign(&path.join(part), |_| false));
    let in_checkpoints = foreign(&path.join(CHECKPOINTS), is_of_checkpoint);
    for other in in_parts.into_iter().chain([in_checkpoints]) {
        if let Some(other) = other? {
            let other = other.strip_prefix(path).unwrap_or(&other);
            return no_run(other.display().to_string());
        }
    }
    Ok(())
}

/// The first thing in a folder of a run that no run leaves there. Of folders in it `has_folder` tells; what a link leads to
/// stays when the link goes.
fn foreign(folder: &Path, has_folder: fn(&str) -> bool) -> Result<Option<PathBuf>> {
    let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    if !is_folder(folder) {
        return Ok(None);
    }
    for name in names(folder)? {
        let path = folder.join(&name);
        let other = match is_folder(&path) {
            true if has_folder(&name) => foreign(&path, |_| false)?,
            is_folder => (is_folder || !is_part(&name)).then_some(path),
        };
        if other.is_some() {
            return Ok(other);
        }
    }
    Ok(None)
}

/// Whether a run leaves a file of this name in a folder of its own.
fn is_part(name: &str) -> bool {
    let whole = name.strip_suffix(".new").unwrap_or(name);
    PARTS.contains(&whole) || name == UNFINISHED_BASE
}

/// Removes a run from its folder, and nothing else: a folder with anything in it that no run leaves stays as it is. So
/// does the lock, which is held.
///
/// # Errors
/// [`Error::NoRun`], [`Error::File`].
pub(super) fn remove_run(path: &Path) -> Result<()> {
    check_run(path)?;
    let names = names(path)?;
    // Whatever interrupts this, what is left is still the folder of a run.
    let is_last = |name: &&String| [SETTINGS, METRICS].contains(&name.as_str());
    let (last, first): (Vec<_>, Vec<_>) =
        names.iter().filter(|name| *name != LOCK).partition(|name| is_last(name));
    for name in first.into_iter().chain(last.into_iter().rev()) {
        let path = path.join(name);
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(Error::file("remove", &path))?;
    }
    Ok(())
}

/// The names of what a folder holds, in order.
pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
    let list = || {
        let entries = path.read_dir()?.map(|entry| Ok(entry?.file_name()));
        entries.collect::<std::io::Result<Vec<_>>>()
    };
    let names = list().map_err(Error::file("list the folder", path))?;
    let mut names: Vec<String> =
        names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryFolder;

    fn run() -> TemporaryFolder {
        let folder = TemporaryFolder::new();
        folder.file(SETTINGS, "");
        folder.file(METRICS, "");
        folder
    }

    #[test]
    fn a_run_is_removed_from_its_folder() {
        let folder = run();
        folder.file("report.html", "");
        folder.file("events.out.tfevents.1", "");
        fs::create_dir_all(folder.path().join("checkpoints/step-00000004")).unwrap();
        remove_run(folder.path()).unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn whatever_is_not_of_a_run_keeps_its_folder_as_it_is() {
        let folder = run();
        folder.file("thesis.txt", "years of work");
        let error = remove_run(folder.path()).unwrap_err().to_string();
        assert!(error.contains("thesis.txt"), "{error}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 3);
        fs::remove_file(folder.path().join("thesis.txt")).unwrap();
        for (place, named) in [
            ("best/samples.jsonl", "best/samples.jsonl"),
            ("best/merged/config.json", "best/merged;"),
            ("checkpoints/step-00000004/notes.txt", "checkpoints/step-00000004/notes.txt"),
            ("checkpoints/step-00000004-good/state.json", "checkpoints/step-00000004-good;"),
        ] {
            let path = folder.path().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "years of work").unwrap();
            let error = remove_run(folder.path()).unwrap_err().to_string();
            assert!(error.contains(named) && path.is_file(), "{error}");
            fs::remove_dir_all(path.parent().unwrap()).unwrap();
        }
        let folder = TemporaryFolder::new();
        folder.file(SETTINGS, "[project]");
        let error = remove_run(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no metrics.jsonl"), "{error}");
        assert!(folder.path().join(SETTINGS).exists());
    }
}
