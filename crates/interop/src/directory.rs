//! Directories whose files are replaced all at once.
//!
//! [`Writer`] writes each file under a temporary name, `NAME.new`, and then moves them into place. What
//! makes the new files count is one step, the renaming of the manifest. A reader takes of `NAME` and
//! `NAME.new` the one that the manifest describes, so that whenever the writer is killed, the old files
//! or the new ones can be read:
//!
//! | step of the writer | `NAME` | `NAME.new` | manifest | read are |
//! |---|---|---|---|---|
//! | write `NAME.new` of each file, sync | old | incomplete, then new | old or none | the old |
//! | write `manifest.json.new`, sync it and the directory | old | new | old or none | the old |
//! | rename it to `manifest.json`, sync the directory | old | new | new | the new |
//! | rename each `NAME.new` to `NAME`, sync the directory | old or new | new or none | new | the new |
//!
//! A writer starts with what a killed one left to do. Two writers at a time are not provided for.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::durable;
use crate::error::{Problem, Result, io_error};
use crate::manifest::{Digest, Digester, MANIFEST, Manifest, NEW};
use crate::safetensors::MappedFile;

/// The version of model directories.
const VERSION: u32 = 1;

/// Replaces the files of a directory, all or none. Dropped before it commits, it leaves none of its own.
pub(crate) struct Writer {
    directory: PathBuf,
    manifest: Manifest,
}

impl Writer {
    /// Starts with a directory, which need not be there yet.
    pub(crate) fn begin(directory: &Path) -> Result<Self> {
        if !directory.is_dir() {
            fs::create_dir_all(directory).map_err(io_error(directory, "make the directory"))?;
            let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_directory(parent.unwrap_or(Path::new(".")))?;
        }
        // A manifest that cannot be understood leaves nothing to do: it will be replaced.
        if let Ok(Some(manifest)) = read_manifest(directory) {
            finish_commit(directory, &manifest)?;
        }
        Ok(Self { directory: directory.to_owned(), manifest: Manifest::default() })
    }

    /// Writes a file under its temporary name.
    pub(crate) fn file(
        &mut self,
        name: &str,
        fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        let path = new_name(&self.directory, name);
        let write = || {
            let mut out = Digester::new(BufWriter::new(File::create(&path)?));
            fill(&mut out)?;
            let (digest, out) = out.finish();
            out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            Ok(digest)
        };
        let written = write();
        // Known from now on, complete or not, so that it is removed should there be no commit.
        let digest = written.as_ref().map_or_else(|_| Digest::of(&[]), Digest::clone);
        self.manifest.files.insert(name.to_owned(), digest);
        written.map_err(io_error(&path, "write the file"))?;
        Ok(())
    }

    /// Makes the files that were written the files of the directory.
    pub(crate) fn commit(mut self) -> Result<()> {
        let json = self.manifest.to_json(VERSION);
        let path = new_name(&self.directory, MANIFEST);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(&json)?;
            file.sync_all()
        };
        write().map_err(io_error(&path, "write the file"))?;
        sync_directory(&self.directory)?;
        // From here on the temporary files count.
        let manifest = std::mem::take(&mut self.manifest);
        rename(&self.directory, MANIFEST)?;
        sync_directory(&self.directory)?;
        for name in manifest.files.keys() {
            rename(&self.directory, name)?;
        }
        sync_directory(&self.directory)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        for name in self.manifest.files.keys() {
            // Should it stay, it is in nobody's way.
            let _ = fs::remove_file(new_name(&self.directory, name));
        }
    }
}

/// Moves the temporary files into place that a killed writer committed to.
fn finish_commit(directory: &Path, manifest: &Manifest) -> Result<()> {
    for (name, digest) in &manifest.files {
        let new = read_if_there(&new_name(directory, name))?;
        if new.is_some_and(|bytes| digest.check(&bytes).is_ok()) {
            rename(directory, name)?;
        }
    }
    sync_directory(directory)
}

/// The files of a directory.
pub(crate) struct Reader {
    directory: PathBuf,
    manifest: Option<Manifest>,
}

impl Reader {
    /// Reads the manifest, if there is one.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        Ok(Self { directory: directory.to_owned(), manifest: read_manifest(directory)? })
    }

    /// The path of a file, for errors.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The bytes of a file: those that the manifest describes, or without one those there are.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.get(name, read_regular, |bytes| Digest::of(bytes))
    }

    /// The same, mapped: nothing but what is looked at is in memory.
    pub(crate) fn map(&self, name: &str) -> Result<MappedFile> {
        self.get(name, MappedFile::open, MappedFile::digest)
    }

    /// Gets a file that the manifest describes, or without one that which is there.
    fn get<B>(
        &self,
        name: &str,
        get: impl Fn(&Path) -> io::Result<B>,
        digest_of: impl Fn(&B) -> Digest,
    ) -> Result<B> {
        let path = self.path(name);
        let refused = |path: &Path, error| io_error(path, "read the file")(error);
        let Some(manifest) = &self.manifest else {
            return get(&path).map_err(|error| refused(&path, error));
        };
        let Some(digest) = manifest.files.get(name) else {
            let problem = Problem::Missing { what: "file", name: name.to_owned() };
            return Err(problem.in_file(&self.path(MANIFEST)));
        };
        let mut result = Err(refused(&path, io::ErrorKind::NotFound.into()));
        // A writer that was killed may have left it under its temporary name.
        for path in [new_name(&self.directory, name), path] {
            match get(&path) {
                Ok(bytes) => match digest.check_digest(&digest_of(&bytes)) {
                    Ok(()) => return Ok(bytes),
                    Err(problem) => result = Err(problem.in_file(&path)),
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(refused(&path, error)),
            }
        }
        result
    }
}

fn read_manifest(directory: &Path) -> Result<Option<Manifest>> {
    let path = directory.join(MANIFEST);
    let json = read_if_there(&path)?;
    let manifest = json.map(|json| Manifest::from_json(&json, VERSION)).transpose();
    manifest.map_err(|problem| problem.in_file(&path))
}

fn new_name(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}{NEW}"))
}

fn rename(directory: &Path, name: &str) -> Result<()> {
    let path = directory.join(name);
    fs::rename(new_name(directory, name), &path).map_err(io_error(&path, "move the file in place"))
}

/// The bytes of a file. A pipe may be silent for ever, and a device speak.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    fs::read(path)
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match read_regular(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path, "read the file")(error)),
    }
}

fn sync_directory(directory: &Path) -> Result<()> {
    durable::sync_directory(directory).map_err(io_error(directory, "sync the directory"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Files = BTreeMap<String, Vec<u8>>;
    const NAMES: [&str; 2] = ["config", "model"];

    fn contents(version: &str) -> [Vec<u8>; 2] {
        NAMES.map(|name| format!("the {name} of the {version}").into_bytes())
    }

    fn write(directory: &Path, version: &str) -> Result<()> {
        let mut writer = Writer::begin(directory)?;
        for (name, bytes) in NAMES.iter().zip(contents(version)) {
            writer.file(name, |out| out.write_all(&bytes))?;
        }
        writer.commit()
    }

    fn read_all(directory: &Path) -> Result<[Vec<u8>; 2]> {
        let reader = Reader::open(directory)?;
        Ok([reader.read(NAMES[0])?, reader.read(NAMES[1])?])
    }

    fn snapshot(directory: &Path) -> Files {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
        let file = |entry: fs::DirEntry| {
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        };
        entries.map(file).collect()
    }

    fn restore(files: &Files) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        directory
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_not_read() {
        for name in [NAMES[0], MANIFEST] {
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), "old").unwrap();
            fs::remove_file(directory.path().join(name)).unwrap();
            std::os::unix::fs::symlink("/dev/zero", directory.path().join(name)).unwrap();
            let error = read_all(directory.path()).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("{name}: cannot read the file: it is no regular file"))
            );
        }
    }

    /// Every state in which a writer can be killed, with whether the new files are to be read.
    fn killed(old: &Files, new: &Files) -> Vec<(Files, bool)> {
        let mut states = Vec::new();
        let mut state = old.clone();
        for name in [NAMES[0], NAMES[1], MANIFEST] {
            let length = new[name].len();
            for length in [0, 1, length / 2, length - 1, length] {
                state.insert(format!("{name}{NEW}"), new[name][..length].to_vec());
                states.push((state.clone(), false));
            }
        }
        for name in [MANIFEST, NAMES[0], NAMES[1]] {
            let bytes = state.remove(&format!("{name}{NEW}")).unwrap();
            state.insert(name.to_owned(), bytes);
            states.push((state.clone(), true));
        }
        states
    }

    #[test]
    fn a_writer_killed_anywhere_leaves_the_old_files_or_the_new_ones() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        write(path, "old").unwrap();
        let old = snapshot(path);
        write(path, "new").unwrap();
        let new = snapshot(path);
        let mut without_manifest = old.clone();
        without_manifest.remove(MANIFEST);
        for old in [old, without_manifest] {
            let states = killed(&old, &new);
            assert_eq!(states.last().unwrap().0, new);
            for (state, is_new) in states {
                let directory = restore(&state);
                let path = directory.path();
                let expected = contents(if is_new { "new" } else { "old" });
                assert_eq!(read_all(path).unwrap(), expected, "{:?}", state.keys());
                // The next writer, killed before it commits, leaves what was there.
                let mut writer = Writer::begin(path).unwrap();
                writer.file(NAMES[1], |out| out.write_all(b"another")).unwrap();
                assert_eq!(read_all(path).unwrap(), expected);
                std::mem::forget(writer);
                assert_eq!(read_all(path).unwrap(), expected);
                write(path, "newest").unwrap();
                assert_eq!(read_all(path).unwrap(), contents("newest"));
                let names: Vec<_> = snapshot(path).into_keys().collect();
                assert_eq!(names, ["config", "manifest.json", "model"]);
            }
        }
    }

    #[test]
    fn a_writer_that_fails_leaves_everything_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper").join("model");
        write(&path, "old").unwrap();
        let old = snapshot(&path);
        let mut writer = Writer::begin(&path).unwrap();
        writer.file(NAMES[0], |out| out.write_all(b"new")).unwrap();
        let full = |out: &mut dyn Write| {
            out.write_all(b"a part")?;
            Err(io::ErrorKind::StorageFull.into())
        };
        let error = writer.file(NAMES[1], full).unwrap_err();
        assert!(error.to_string().contains("model.new: cannot write the file: "), "{error}");
        drop(writer);
        assert_eq!(snapshot(&path), old);
    }

    #[test]
    fn no_file_takes_its_place_before_the_manifest_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        write(path, "old").unwrap();
        // Where a directory lies, the manifest cannot go.
        fs::remove_file(path.join(MANIFEST)).unwrap();
        fs::create_dir(path.join(MANIFEST)).unwrap();
        let error = write(path, "new").unwrap_err().to_string();
        assert!(error.contains("manifest.json: cannot move the file in place: "), "{error}");
        fs::remove_dir(path.join(MANIFEST)).unwrap();
        assert_eq!(read_all(path).unwrap(), contents("old"));
    }

    #[test]
    fn a_file_that_the_manifest_does_not_describe_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let message = |name| Reader::open(path).unwrap().read(name).unwrap_err().to_string();
        assert!(message("model").contains("model: cannot read the file: "));
        write(path, "old").unwrap();
        assert!(message("other").ends_with("manifest.json: file \"other\" is missing"));
        fs::write(path.join("model"), b"the model of the odd").unwrap();
        assert!(message("model").contains("model: SHA-256 by the manifest: expected "));
        fs::write(path.join("model"), b"the model").unwrap();
        assert!(message("model").ends_with("model: bytes by the manifest: expected 20, found 9"));
        fs::remove_file(path.join("model")).unwrap();
        assert!(message("model").contains("model: cannot read the file: "));
        fs::remove_file(path.join("manifest.json")).unwrap();
        fs::write(path.join("model"), b"the model").unwrap();
        assert_eq!(Reader::open(path).unwrap().read("model").unwrap(), b"the model");
    }
}
