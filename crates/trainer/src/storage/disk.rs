//! [`Disk`]: the file system of the machine.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::{Entry, Input, Output, Storage};

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Storage for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(Created(File::create_new(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Input>> {
        // A pipe may be silent for ever, and opening one waits for a writer.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        Ok(Box::new(File::open(path)?))
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        interop::sync_directory(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok(Entry { path: entry.path(), is_directory: entry.file_type()?.is_dir() })
        };
        let mut entries = fs::read_dir(path)?.map(entry).collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        Ok(entries)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }
}

struct Created(File);

impl Write for Created {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Output for Created {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::storage::{make_directories, remove_all};
    use crate::temporary::TemporaryFolder;

    #[test]
    fn what_is_written_is_listed_read_renamed_and_removed() {
        let folder = TemporaryFolder::new();
        let path = folder.path().join("a/b");
        make_directories(&Disk, &path).unwrap();
        make_directories(&Disk, &path).unwrap();
        let mut file = Disk.create(&path.join("file")).unwrap();
        file.write_all(b"bytes").unwrap();
        file.sync().unwrap();
        drop(file);
        let taken = Disk.create(&path.join("file")).err().unwrap();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        Disk.sync_directory(&path).unwrap();
        let other = folder.path().join("a/c");
        Disk.rename(&path, &other).unwrap();
        assert_eq!(Disk.list(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let entries = Disk.list(&other).unwrap();
        assert_eq!(entries, [Entry { path: other.join("file"), is_directory: false }]);
        assert_eq!(entries[0].name(), Some("file"));
        let mut bytes = Vec::new();
        Disk.open(&entries[0].path).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"bytes");
        remove_all(&Disk, &folder.path().join("a")).unwrap();
        assert_eq!(Disk.list(folder.path()).unwrap(), []);
        assert!(Disk.open(folder.path()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_removed_and_not_what_it_leads_to() {
        let folder = TemporaryFolder::new();
        let precious = folder.path().join("precious");
        make_directories(&Disk, &precious).unwrap();
        let file = folder.file("precious/file", "text");
        let tree = folder.path().join("tree");
        make_directories(&Disk, &tree).unwrap();
        std::os::unix::fs::symlink(&precious, tree.join("link")).unwrap();
        remove_all(&Disk, &tree).unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "text");
    }
}
