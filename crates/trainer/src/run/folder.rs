//! The folder of a run.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::metrics::Metrics;
use super::replace::remove_run;
use crate::config::Run;
use crate::error::{Error, Result};

/// Where runs go that are not told where.
const RUNS: &str = "runs";

/// The folder of a run, which was empty when the run began.
///
/// ```text
/// runs/tiny-0001/
///   config.toml      the settings in full: `ternary train --config` reads it
///   metrics.jsonl    an object for each step, each evaluation, and the matrices then
///   events.out.…     the same curves for TensorBoard
///   best/            the model of the best evaluation, if it is kept
///   model/           the trained model
///   report.html      all of it as a page
///   summary.json     what came of it, written last
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The folder that was asked for, or a new one under `runs` that begins with the name of the preset.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn choose(settings: &Run) -> Result<Self> {
        match &settings.out {
            Some(path) => Self::create(path, settings.force),
            None => Self::next(Path::new(RUNS), settings.preset.name()),
        }
    }

    /// A new folder, or one that is there and empty. With `replaces`, the run in it is removed first, if there is one.
    ///
    /// # Errors
    /// [`Error::FolderNotEmpty`]; [`Error::NoRun`] for a folder to replace that has something else in it;
    /// [`Error::File`].
    pub fn create(path: &Path, replaces: bool) -> Result<Self> {
        fs::create_dir_all(path).map_err(Error::file("create the folder", path))?;
        let mut entries = path.read_dir().map_err(Error::file("list the folder", path))?;
        if entries.next().is_some() {
            if !replaces {
                return Err(Error::FolderNotEmpty { path: path.to_owned() });
            }
            remove_run(path)?;
        }
        Ok(Self(path.to_owned()))
    }

    /// The first of `name-0001`, `name-0002`, … under `parent` that is not there.
    fn next(parent: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(parent).map_err(Error::file("create the folder", parent))?;
        let mut number = 1_u32;
        loop {
            let path = parent.join(format!("{name}-{number:04}"));
            // Creating is the test, so that two runs that start together get two folders.
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Error::file("create the folder", &path)(error)),
            }
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the trained model goes.
    pub fn model(&self) -> PathBuf {
        self.0.join("model")
    }

    /// Where the model of the best evaluation goes.
    pub fn best(&self) -> PathBuf {
        self.0.join("best")
    }

    /// Begins the metrics and writes the settings of the run.
    ///
    /// The metrics come first: only one of two runs that found the same folder empty can create that
    /// file, and the other must not write its settings over those of the first.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn begin(&self, configuration: &str) -> Result<Metrics> {
        let metrics = Metrics::create(self.0.join("metrics.jsonl"))?;
        write_whole(&self.0.join("config.toml"), configuration.as_bytes())?;
        Ok(metrics)
    }
}

/// Writes a file under another name and renames it, so that nobody ever sees half of it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = path.with_extension("unfinished");
    let write = || -> io::Result<()> {
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(Error::file("write", path))
}

/// Opens a file to go on after its first `length` bytes, and cuts off the rest.
///
/// # Errors
/// [`Error::File`]; [`Error::RunFile`] for a file that is shorter.
pub(crate) fn cut(path: &Path, length: u64) -> Result<File> {
    let mut file =
        File::options().read(true).write(true).open(path).map_err(Error::file("open", path))?;
    let found = file.metadata().map_err(Error::file("read the length of", path))?.len();
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
        let names = [1, 2, 3].map(|_| RunFolder::next(folder.path(), "tiny").unwrap().0);
        assert_eq!(names, ["tiny-0001", "tiny-0002", "tiny-0003"].map(|n| folder.path().join(n)));
    }

    #[test]
    fn a_run_begins_with_its_metrics_and_its_whole_configuration() {
        let folder = TemporaryFolder::new();
        RunFolder::create(folder.path(), false).unwrap().begin("steps = 3\n").unwrap();
        let entries = folder.path().read_dir().unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["config.toml", "metrics.jsonl"]);
        assert_eq!(fs::read_to_string(folder.path().join("config.toml")).unwrap(), "steps = 3\n");
    }

    #[test]
    fn of_two_runs_that_find_the_same_folder_empty_one_begins() {
        let folder = TemporaryFolder::new();
        let [first, second] = [1, 2].map(|_| RunFolder::create(folder.path(), false).unwrap());
        first.begin("seed = 1\n").unwrap();
        let error = second.begin("seed = 2\n").unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("config.toml")).unwrap(), "seed = 1\n");
    }
}
