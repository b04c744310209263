//! The folder of a run.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use interop::Replacement;

use super::apart::check_unneeded;
use super::metrics::{Metrics, Record};
use super::replace::{ADAPTER, LOCK, SETTINGS, check_run, is_empty, remove_run};
use crate::config::{Configuration, Run};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::storage::{Disk, Storage as _, make_directories};

/// Where runs go that are not told where.
pub(super) const RUNS: &str = "runs";
/// How the names of runs of adapters begin.
pub(super) const ADAPTERS: &str = "lora";

/// The folder of a run, which was empty when the run began, and which no other process is in.
///
/// ```text
/// runs/tiny-0001/
///   .lock                          empty; locked by the process that trains
///   config.toml                    the settings in full: `ternary train --config` reads it
///   metrics.jsonl                  an object for each step, each evaluation, and the matrices then
///   events.out.tfevents.*.ternary  the same curves for TensorBoard
///   checkpoints/                   what the run goes on from
///   report.html                    its page
///   best/                          the model of the best evaluation, if it is kept
///   model/                         the trained model, or
///   adapter/                       the adapters that were trained beside one, and then
///   base.json                      what that one is known by, and how it was kept
///   summary.json                   what came of it, written last
/// ```
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Locked as long as the run has the folder; the system takes the lock from a process that was killed.
    _lock: File,
}

impl RunFolder {
    /// The folder that was asked for, or a new one under `runs` that begins with the name of the preset, or of adapters.
    ///
    /// # Errors
    /// As [`RunFolder::create`]; [`Error::Needed`] for a folder to replace that the run reads from.
    pub fn choose(configuration: &Configuration) -> Result<Self> {
        let Run { out, force, preset, .. } = &configuration.run;
        match out {
            Some(path) => {
                if *force {
                    check_unneeded(path, configuration)?;
                }
                Self::create(path, *force)
            }
            None => {
                let has_adapters = configuration.lora.model.is_some();
                let name = if has_adapters { ADAPTERS } else { preset.name() };
                Self::next(Path::new(RUNS), name)
            }
        }
    }

    /// A new folder, or one that is there and empty. With `replaces`, the run in it is removed first, if there is one.
    ///
    /// # Errors
    /// [`Error::FolderNotEmpty`]; [`Error::NoRun`] for a folder to replace that has something else in it;
    /// [`Error::InUse`], [`Error::File`].
    pub fn create(path: &Path, replaces: bool) -> Result<Self> {
        make_directories(&Disk, path).map_err(Error::file("create the folder", path))?;
        let check = || match (is_empty(path)?, replaces) {
            (true, _) => Ok(()),
            (false, true) => check_run(path),
            (false, false) => Err(Error::FolderNotEmpty { path: path.to_owned() }),
        };
        // Before the lock, which is a file, so that a folder of something else stays as it is; and after it, for a
        // run that has begun in between.
        check()?;
        let folder = Self::lock(path)?;
        check()?;
        if !is_empty(path)? {
            remove_run(path)?;
        }
        Ok(folder)
    }

    /// The folder of a run that has begun, to go on with.
    ///
    /// # Errors
    /// [`Error::Resume`] for a folder without settings, [`Error::InUse`], [`Error::File`].
    pub(super) fn open(path: &Path) -> Result<Self> {
        if !path.join(SETTINGS).is_file() {
            return Err(Error::Resume {
                path: path.to_owned(),
                what: SETTINGS.to_owned(),
                expected: "the settings of a run".to_owned(),
                found: "no such file".to_owned(),
            });
        }
        Self::lock(path)
    }

    fn lock(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(Error::file("create", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            // On a file system without locks, two runs in a folder are their owner's care.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", &path)(error)),
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: folder.to_owned() }),
        }
        Ok(Self { path: folder.to_owned(), _lock: file })
    }

    /// The first of `name-0001`, `name-0002`, … under `parent` that is not there.
    fn next(parent: &Path, name: &str) -> Result<Self> {
        make_directories(&Disk, parent).map_err(Error::file("create the folder", parent))?;
        let mut number = 1_u32;
        loop {
            let path = parent.join(format!("{name}-{number:04}"));
            // Creating is the test, so that two runs that start together get two folders.
            match fs::create_dir(&path) {
                Ok(()) => {
                    let sync = Disk.sync_directory(parent);
                    sync.map_err(Error::file("sync the folder", parent))?;
                    return Self::lock(&path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Error::file("create the folder", &path)(error)),
            }
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the trained model goes.
    pub fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    /// Where trained adapters go.
    pub fn adapter(&self) -> PathBuf {
        self.path.join(ADAPTER)
    }

    /// Where the model of the best evaluation goes, or its adapters.
    pub fn best(&self) -> PathBuf {
        self.path.join("best")
    }

    /// Writes the settings of the run, and begins its metrics and events. The settings come first: with them alone, a
    /// run that was killed can be resumed.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn begin(&self, configuration: &str) -> Result<(Metrics, Events)> {
        write_whole(&self.path.join(SETTINGS), configuration.as_bytes())?;
        self.begin_records()
    }

    /// Begins the metrics and events of a run, and removes what was there of them.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(super) fn begin_records(&self) -> Result<(Metrics, Events)> {
        let metrics = self.path.join(Record::FILE);
        for path in Events::files(&self.path)?.into_iter().chain([metrics.clone()]) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::file("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok((Metrics::create(metrics)?, Events::create(&self.path)?))
    }
}

/// Writes a file under another name and renames it, so that nobody ever sees half of it, also after a loss of power.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_extension("unfinished");
    let write = || -> io::Result<()> {
        let mut replacement = Replacement::create(&unfinished, path)?;
        replacement.file().write_all(bytes)?;
        replacement.commit()
    };
    write().map_err(Error::file("write", path))
}

/// The bytes of a file so far.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn length_of(file: &File, path: &Path) -> Result<u64> {
    Ok(file.metadata().map_err(Error::file("read the length of", path))?.len())
}

/// Has all that was written into a file survive a loss of power.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn sync(file: &File, path: &Path) -> Result<()> {
    file.sync_all().map_err(Error::file("sync", path))
}

/// Opens a file to go on after its first `length` bytes, and cuts off the rest.
///
/// # Errors
/// [`Error::File`]; [`Error::RunFile`] for a file that is shorter.
pub(crate) fn cut(path: &Path, length: u64) -> Result<File> {
    let mut file =
        File::options().read(true).write(true).open(path).map_err(Error::file("open", path))?;
    let found = length_of(&file, path)?;
    if found < length {
        let expected = format!("at least {length} bytes, as at the last checkpoint");
        return Err(Error::RunFile { path: path.to_owned(), expected, found: found.to_string() });
    }
    let cut = |file: &mut File| file.set_len(length).and_then(|()| file.seek(SeekFrom::End(0)));
    cut(&mut file).map_err(Error::file("cut", path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryFolder;

    #[test]
    fn a_folder_with_something_in_it_is_refused_and_left_alone() {
        let folder = TemporaryFolder::new();
        let file = folder.file("results.txt", "precious");
        let error = RunFolder::create(folder.path(), false).unwrap_err().to_string();
        assert!(error.contains("not empty") && error.contains("--out"), "{error}");
        assert_eq!(fs::read_to_string(file).unwrap(), "precious");
    }

    #[test]
    fn a_new_folder_is_made_with_its_parents_and_an_empty_one_is_taken() {
        let folder = TemporaryFolder::new();
        assert!(RunFolder::create(folder.path(), false).is_ok());
        let path = folder.path().join("a/b");
        assert_eq!(RunFolder::create(&path, false).unwrap().path(), path);
        assert!(path.is_dir());
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_an_error() {
        let folder = TemporaryFolder::new();
        let error = RunFolder::create(&folder.file("file", ""), false).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
    }

    #[test]
    fn runs_without_a_folder_are_numbered() {
        let folder = TemporaryFolder::new();
        let names = [1, 2, 3].map(|_| RunFolder::next(folder.path(), "tiny").unwrap().path);
        assert_eq!(names, ["tiny-0001", "tiny-0002", "tiny-0003"].map(|n| folder.path().join(n)));
    }

    fn names(folder: &TemporaryFolder) -> Vec<String> {
        let entries = folder.path().read_dir().unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_run_begins_with_its_whole_configuration_metrics_and_events() {
        let folder = TemporaryFolder::new();
        drop(RunFolder::create(folder.path(), false).unwrap().begin("steps = 3\n").unwrap());
        let found = names(&folder);
        assert_eq!(found[..2], [LOCK, SETTINGS]);
        assert!(found[2].starts_with("events.out.tfevents.") && found[3..] == [Record::FILE]);
        assert_eq!(fs::read_to_string(folder.path().join(SETTINGS)).unwrap(), "steps = 3\n");
    }

    #[test]
    fn records_that_begin_anew_replace_those_that_were_there() {
        let folder = TemporaryFolder::new();
        folder.file(SETTINGS, "");
        let old = ["events.out.tfevents.1.ternary", "events.out.tfevents.2.ternary", Record::FILE];
        let old = old.map(|name| folder.file(name, "old"));
        let run = RunFolder::open(folder.path()).unwrap();
        let (metrics, _) = run.begin_records().unwrap();
        assert_eq!(metrics.length().unwrap(), 0);
        assert!(!old[0].exists() && !old[1].exists());
        assert_eq!(Events::files(folder.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_folder_that_a_run_is_in_is_refused_until_it_ends() {
        let folder = TemporaryFolder::new();
        let first = RunFolder::create(folder.path(), false).unwrap();
        let refused = |error: Error| assert!(matches!(error, Error::InUse { .. }), "{error}");
        refused(RunFolder::create(folder.path(), false).unwrap_err());
        drop(first.begin("seed = 1\n").unwrap());
        refused(RunFolder::open(folder.path()).unwrap_err());
        refused(RunFolder::create(folder.path(), true).unwrap_err());
        assert_eq!(fs::read_to_string(folder.path().join(SETTINGS)).unwrap(), "seed = 1\n");
        drop(first);
        assert!(RunFolder::open(folder.path()).is_ok());
        assert!(RunFolder::create(folder.path(), true).is_ok());
        assert_eq!(names(&folder), [LOCK]);
    }

    #[test]
    fn a_run_that_was_killed_before_it_had_settings_leaves_an_empty_folder() {
        let folder = TemporaryFolder::new();
        folder.file(LOCK, "");
        folder.file("config.unfinished", "steps");
        assert!(RunFolder::open(folder.path()).is_err());
        assert!(RunFolder::create(folder.path(), false).is_ok());
        assert_eq!(names(&folder)[..1], [LOCK]);
    }

    #[test]
    fn a_run_that_the_next_one_reads_is_not_replaced() {
        let folder = TemporaryFolder::new();
        let path = folder.path().join("run");
        fs::create_dir_all(path.join("model")).unwrap();
        for name in [SETTINGS, Record::FILE] {
            fs::write(path.join(name), "").unwrap();
        }
        let run = Run { out: Some(path.clone()), force: true, ..Run::default() };
        let mut settings = Configuration { run, ..Configuration::default() };
        settings.run.teacher = Some(path.join("model"));
        let error = RunFolder::choose(&settings).unwrap_err().to_string();
        assert!(error.contains("--teacher") && path.join("model").is_dir(), "{error}");
        settings.run.teacher = Some(folder.path().to_owned());
        settings.lora.model = Some(path.clone());
        let error = RunFolder::choose(&settings).unwrap_err().to_string();
        assert!(error.contains("--model") && path.join("model").is_dir(), "{error}");
        settings.lora.model = None;
        RunFolder::choose(&settings).unwrap();
        assert!(!path.join("model").exists());
    }
}
