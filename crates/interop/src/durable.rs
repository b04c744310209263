//! Files that are there whole or not at all, also after a loss of power.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A file that is written under another name and takes its place when it is whole; dropped before that, it goes.
///
/// ```
/// use std::io::Write as _;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("report.html");
/// let mut file = interop::Replacement::create(&path.with_extension("unfinished"), &path)?;
/// file.file().write_all(b"<p>")?;
/// assert!(!path.exists());
/// file.commit()?;
/// assert_eq!(std::fs::read(&path)?, b"<p>");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Replacement {
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
    is_committed: bool,
}

impl Replacement {
    /// Begins under the name `unfinished`, in the folder of `path`; what was left under that name goes.
    ///
    /// # Errors
    /// Those of the system.
    pub fn create(unfinished: &Path, path: &Path) -> io::Result<Self> {
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(unfinished)?;
        let (unfinished, path) = (unfinished.to_owned(), path.to_owned());
        Ok(Self { file, unfinished, path, is_committed: false })
    }

    /// The file, to be filled.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives it its name, in the place of what had it. Once this has returned, it lasts.
    ///
    /// # Errors
    /// Those of the system. What was there is there still, or this is, whole.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.unfinished, &self.path)?;
        self.is_committed = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        sync_directory(folder.unwrap_or(Path::new(".")))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_committed {
            // Should it stay, it is in nobody's way.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

/// Makes the names in a directory last. Elsewhere than on Unix a directory cannot be opened for that; there the system's
/// journal is relied on, which keeps names in the order in which they were given.
///
/// # Errors
/// Those of the system.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_not_committed_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (path, unfinished) = (folder.path().join("a"), folder.path().join("a.new"));
        fs::write(&path, "old").unwrap();
        fs::write(&unfinished, "of a process that was killed").unwrap();
        let begin = || {
            let mut file = Replacement::create(&unfinished, &path).unwrap();
            file.file().write_all(b"new").unwrap();
            file
        };
        drop(begin());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert!(!unfinished.exists());
        begin().commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(!unfinished.exists());
        // Where a directory lies, no file can go.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(begin().commit().is_err());
        assert!(path.is_dir() && !unfinished.exists());
    }
}
