//! What durable saving needs of a file system.
//!
//! A program that is killed leaves its writes; a machine that loses power leaves of them what was synced, and of
//! the rest anything. So there are two things to sync: the bytes of a file, and the names in a directory.
//!
//! | call | lasts once |
//! |---|---|
//! | [`Output`]'s writes | [`Output::sync`] has returned |
//! | `create`, `make_directory`, `rename`, `remove_…` | `sync_directory` of the directory with the name has |
//!
//! [`Disk`] is the real one. Tests have another that forgets, tears and reorders whatever was not synced, and
//! fails wherever it is told to.

mod disk;
#[cfg(test)]
pub(crate) mod faulty;

use std::fmt::Debug;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

pub use disk::Disk;

/// A file system.
pub trait Storage: Debug {
    /// A new file to write.
    ///
    /// # Errors
    /// Those of the system, as everywhere here; [`io::ErrorKind::AlreadyExists`] for a name that is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>>;

    /// A file to read.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Input>>;

    /// Makes a new directory; the one it lies in must be there.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] for a name that is taken.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or a directory another name in the same directory, one that is not taken. There is no moment
    /// at which it has none.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a directory last.
    ///
    /// # Errors
    /// Those of the system.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// What a directory holds, in the order of the names.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is none.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the system.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with nothing in it.
    ///
    /// # Errors
    /// Those of the system.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
}

/// A file that is written.
pub trait Output: Write {
    /// Makes what was written last.
    ///
    /// # Errors
    /// Those of the system. Whether the file lasts is not known then, even should a later call succeed.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is read.
pub trait Input: Read + Seek {}

impl<R: Read + Seek> Input for R {}

/// Something in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a directory; a link to one is none.
    pub is_directory: bool,
}

impl Entry {
    /// Its name, where that is Unicode.
    pub fn name(&self) -> Option<&str> {
        self.path.file_name()?.to_str()
    }
}

/// Makes a directory and those it lies in, as far as they are missing, so that they last.
///
/// # Errors
/// Those of the system.
pub fn make_directories(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    match storage.list(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_directories(storage, parent)?;
    }
    match storage.make_directory(path) {
        // A call that failed later may have left it without the sync.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => storage.sync_directory(parent.unwrap_or(Path::new("."))),
    }
}

/// Removes a directory and everything in it.
///
/// # Errors
/// Those of the system.
pub fn remove_all(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    for entry in storage.list(path)? {
        if entry.is_directory {
            remove_all(storage, &entry.path)?;
        } else {
            storage.remove_file(&entry.path)?;
        }
    }
    storage.remove_directory(path)
}
