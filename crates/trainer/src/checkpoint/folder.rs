//! The files of one checkpoint.

use std::fmt;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use interop::Problem;
use interop::manifest::{Digest, Digester, MANIFEST, Manifest};
use interop::safetensors;

use super::{Checkpoint, Snapshot, VERSION, VisitArrays, arrays, to_json};
use crate::error::{Error, Result};
use crate::storage::Storage;

const ARRAYS: &str = "arrays.safetensors";
const STATE: &str = "state.json";
/// Bytes that are written at a time.
const BUFFER: usize = 1 << 20;
/// A manifest of more bytes is none: it names two files.
const LONGEST_MANIFEST: u64 = 1 << 16;

/// Writes the files into a new folder and makes them last. Until it is renamed they count for nothing.
pub(super) fn write(
    storage: &dyn Storage,
    folder: &Path,
    snapshot: &Snapshot,
    visit: &VisitArrays<'_>,
) -> Result<()> {
    let state = to_json(STATE, snapshot)?;
    storage.make_directory(folder).map_err(Error::file("make the folder", folder))?;
    let mut manifest = Manifest::default();
    let mut add = |name: &str, fill: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        let path = folder.join(name);
        let digest = write_file(storage, &path, fill).map_err(Error::file("write", &path))?;
        manifest.files.insert(name.to_owned(), digest);
        Ok::<_, Error>(())
    };
    add(ARRAYS, &|out| arrays::write(out, visit))?;
    add(STATE, &|out| out.write_all(&state))?;
    let path = folder.join(MANIFEST);
    write_file(storage, &path, &|out| out.write_all(&manifest.to_json(VERSION)))
        .map_err(Error::file("write", &path))?;
    storage.sync_directory(folder).map_err(Error::file("sync the folder", folder))
}

fn write_file(
    storage: &dyn Storage,
    path: &Path,
    fill: &dyn Fn(&mut dyn Write) -> io::Result<()>,
) -> io::Result<Digest> {
    let file = BufWriter::with_capacity(BUFFER, storage.create(path)?);
    let mut out = Digester::new(file);
    fill(&mut out)?;
    let (digest, file) = out.finish();
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync()?;
    Ok(digest)
}

/// Why a folder is no checkpoint, or none that can be read.
#[derive(Debug)]
pub(super) enum Flaw {
    /// A file cannot be read.
    File(String, io::Error),
    /// A file is not what was written.
    Content(String, Problem),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, source) if source.kind() == io::ErrorKind::NotFound => {
                write!(f, "{file} is missing")
            }
            Self::File(file, source) => write!(f, "cannot read {file}: {source}"),
            Self::Content(file, problem) => write!(f, "{file}: {problem}"),
        }
    }
}

/// Opens the checkpoint of a step after a look at every byte of it: the inner error is that of a folder to pass over.
///
/// # Errors
/// [`Error::CheckpointVersion`]; [`Error::File`] for what the system does not let us read, which may be whole.
pub(super) fn open(
    storage: &dyn Storage,
    folder: &Path,
    step: u32,
) -> Result<Result<Checkpoint, Flaw>> {
    match checked(storage, folder, step) {
        Err(Flaw::Content(_, Problem::Version { expected, found })) => {
            Err(Error::CheckpointVersion { path: folder.to_owned(), expected, found })
        }
        Err(Flaw::File(name, source)) if !is_of_the_folder(source.kind()) => {
            Err(Error::file("read", &folder.join(name))(source))
        }
        other => Ok(other),
    }
}

/// Whether an error says that a folder is not as it was written, and not that the system fails.
fn is_of_the_folder(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        InvalidData, InvalidInput, IsADirectory, NotADirectory, NotFound, UnexpectedEof,
    };
    let kinds = [NotFound, IsADirectory, NotADirectory, InvalidData, InvalidInput, UnexpectedEof];
    kinds.contains(&kind)
}

fn checked(storage: &dyn Storage, folder: &Path, step: u32) -> Result<Checkpoint, Flaw> {
    let file = |name: &'static str| move |error| Flaw::File(name.to_owned(), error);
    let content = |name: &'static str| move |problem| Flaw::Content(name.to_owned(), problem);
    let mut json = Vec::new();
    let manifest = storage.open(&folder.join(MANIFEST));
    let read = manifest.and_then(|file| file.take(LONGEST_MANIFEST).read_to_end(&mut json));
    read.map_err(file(MANIFEST))?;
    let manifest = Manifest::from_json(&json, VERSION).map_err(content(MANIFEST))?;
    for name in [ARRAYS, STATE] {
        let missing = || Problem::Missing { what: "file", name: name.to_owned() };
        let expected = manifest.files.get(name).ok_or_else(missing).map_err(content(MANIFEST))?;
        let found = digest(storage, &folder.join(name)).map_err(file(name))?;
        expected.check_digest(&found).map_err(content(name))?;
    }
    let mut json = Vec::new();
    let state = storage.open(&folder.join(STATE));
    state.and_then(|mut file| file.read_to_end(&mut json)).map_err(file(STATE))?;
    let snapshot: Snapshot = serde_json::from_slice(&json).map_err(|source| {
        Flaw::Content(STATE.to_owned(), Problem::Json { what: "state", source })
    })?;
    if snapshot.step != step {
        // Somebody gave the folder another name.
        let (expected, found) = (step.to_string(), snapshot.step.to_string());
        let problem = Problem::Mismatch { what: "step".to_owned(), expected, found };
        return Err(Flaw::Content(STATE.to_owned(), problem));
    }
    let arrays = storage.open(&folder.join(ARRAYS)).and_then(safetensors::Arrays::open);
    let arrays = arrays.map_err(file(ARRAYS))?;
    Ok(Checkpoint { path: folder.to_owned(), snapshot, arrays })
}

/// What the bytes of a file are known by.
fn digest(storage: &dyn Storage, path: &Path) -> io::Result<Digest> {
    let mut out = Digester::new(io::sink());
    let mut file = io::BufReader::with_capacity(BUFFER, storage.open(path)?);
    io::copy(&mut file, &mut out)?;
    Ok(out.finish().0)
}
