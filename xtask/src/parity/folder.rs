//! Folders of a case, and what nobody has read of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::fixtures::tensors::{self, Tensor, Tensors};
use crate::fixtures::{Error, Result, read_json};

/// The files of a case.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    unread: BTreeSet<PathBuf>,
}

/// The tensors of a file.
#[derive(Debug)]
pub(crate) struct Read {
    file: String,
    tensors: Tensors,
    unread: BTreeSet<String>,
}

impl Folder {
    /// Lists the files below a folder, and folders without any.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut unread = BTreeSet::new();
        list(path, Path::new(""), &mut unread)?;
        Ok(Self { path: path.to_owned(), unread })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file that is about to be read.
    pub(crate) fn file(&mut self, name: impl AsRef<Path>) -> PathBuf {
        self.unread.remove(name.as_ref());
        self.path.join(name)
    }

    pub(crate) fn json<T: DeserializeOwned>(&mut self, name: impl AsRef<Path>) -> Result<T> {
        read_json(&self.file(name))
    }

    pub(crate) fn tensors(&mut self, name: &str) -> Result<Read> {
        let tensors = tensors::read(&self.file(name))?;
        let unread = tensors.keys().cloned().collect();
        Ok(Read { file: name.to_owned(), tensors, unread })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path.join(name).is_file()
    }

    /// Refuses files that nobody read.
    pub(crate) fn finish(self) -> Result<()> {
        match self.unread.first() {
            None => Ok(()),
            Some(file) => Err(Error::content(&self.path.join(file), "nobody reads this file")),
        }
    }
}

fn list(root: &Path, below: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let path = root.join(below);
    let mut is_empty = true;
    for entry in fs::read_dir(&path).map_err(|source| Error::file(&path, source))? {
        is_empty = false;
        let entry = entry.map_err(|source| Error::file(&path, source))?;
        let name = below.join(entry.file_name());
        if entry.path().is_dir() {
            list(root, &name, files)?;
        } else {
            files.insert(name);
        }
    }
    if is_empty {
        files.insert(below.to_owned());
    }
    Ok(())
}

impl Read {
    /// All tensors, without reading any.
    pub(crate) fn all(&self) -> &Tensors {
        &self.tensors
    }

    pub(crate) fn get(&mut self, name: &str) -> Result<&Tensor> {
        self.unread.remove(name);
        self.tensors.get(name).ok_or_else(|| {
            Error::Contradiction(format!("{}: there is no tensor {name}", self.file))
        })
    }

    /// Refuses tensors that nobody read.
    pub(crate) fn finish(self) -> Result<()> {
        match self.unread.first() {
            None => Ok(()),
            Some(name) => Err(Error::Contradiction(format!("{}: nobody reads {name}", self.file))),
        }
    }
}
