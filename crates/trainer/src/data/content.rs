//! The bytes of a file, read where they are asked for.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, Result};

/// Bytes that are read of what does not say its length, a pipe or a device: some have no end.
const LARGEST_STREAM: u64 = 4 << 30;

/// Files up to this length may be held in memory.
pub(super) const LARGEST_HELD: u64 = 64 << 10;

/// Bytes of a file, or of what else was read to its end.
///
/// Those of a long file stay in it. They are copied out rather than mapped: a map of a file that another process cuts
/// short ends this process with a bus error, where a read returns; and the system keeps the same pages for both.
#[derive(Debug)]
pub(super) struct Content {
    path: PathBuf,
    length: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Held(Vec<u8>),
    /// A file that must stay as it is; open, or opened for each read.
    File {
        file: Option<File>,
        modified: Option<SystemTime>,
    },
}

impl Content {
    /// Opens a file, and holds a short one; or reads a pipe to its end.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::open_within(path, usize::MAX)
    }

    /// The same, holding only what `room` bytes are enough for.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(super) fn open_within(path: &Path, room: usize) -> Result<Self> {
        let open = || match fs::metadata(path)? {
            found if found.is_file() && found.len() > LARGEST_HELD.min(room as u64) => {
                let file = File::open(path)?;
                let found = file.metadata()?;
                let length = usize::try_from(found.len()).map_err(io::Error::other)?;
                let place = Place::File { file: Some(file), modified: found.modified().ok() };
                Ok(Self { path: path.to_owned(), length, place })
            }
            _ => Ok(Self::held(path, read_stream(path, LARGEST_STREAM)?)),
        };
        open().map_err(Error::file("read the text", path))
    }

    /// Bytes that came from a path.
    pub(super) fn held(path: &Path, bytes: Vec<u8>) -> Self {
        Self { path: path.to_owned(), length: bytes.len(), place: Place::Held(bytes) }
    }

    /// Closes the file until it is read: a process can have some hundred open, and a text more.
    pub(super) fn close(&mut self) {
        if let Place::File { file, .. } = &mut self.place {
            *file = None;
        }
    }

    /// Bytes that it holds in memory.
    pub(super) fn held_bytes(&self) -> usize {
        if matches!(self.place, Place::Held(_)) { self.length } else { 0 }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Fills `bytes` with those from `start` on, all of which are there.
    ///
    /// # Errors
    /// [`Error::TextChanged`] where the file is not what was opened; [`Error::File`].
    pub(super) fn read_at(&self, start: usize, bytes: &mut [u8]) -> Result<()> {
        let Place::File { file, modified } = &self.place else {
            let Place::Held(held) = &self.place else { return Ok(()) };
            bytes.copy_from_slice(&held[start..][..bytes.len()]);
            return Ok(());
        };
        let problem = || Error::file("read the text", &self.path);
        let opened;
        let file = match file {
            Some(file) => file,
            None => {
                // Opening a pipe that has taken its place would wait for somebody to write.
                self.check(&fs::metadata(&self.path).map_err(problem())?, *modified)?;
                opened = File::open(&self.path).map_err(problem())?;
                &opened
            }
        };
        let read = read_exact_at(file, start as u64, bytes);
        // Asked afterwards, so that nothing that was read is of a later time.
        self.check(&file.metadata().map_err(problem())?, *modified)?;
        read.map_err(problem())
    }

    fn check(&self, found: &Metadata, modified: Option<SystemTime>) -> Result<()> {
        let expected = self.length as u64;
        let found = if !found.is_file() {
            "no file any more".to_owned()
        } else if found.len() != expected {
            format!("{} bytes", found.len())
        } else if found.modified().ok() != modified {
            "as many, written at another time".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::TextChanged { path: self.path.clone(), expected, found })
    }
}

/// Reads at a place without moving what another thread reads.
fn read_exact_at(file: &File, mut place: u64, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(file, bytes, place);
        #[cfg(not(windows))]
        let read = std::os::unix::fs::FileExt::read_at(file, bytes, place);
        match read {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                bytes = &mut bytes[count..];
                place += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a file of any bytes.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    read_stream(path, LARGEST_STREAM).map_err(Error::file("read the text", path))
}

/// Reads a file whole, and up to `limit` bytes of what has no length.
fn read_stream(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let limit = limit.max(length);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let problem = format!("expected at most {limit} bytes, found more");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryFolder;

    const LENGTH: usize = LARGEST_HELD as usize + 1000;

    #[test]
    fn a_file_that_changes_while_it_is_read_is_an_error_that_names_it_and_both_lengths() {
        for is_open in [true, false] {
            let folder = TemporaryFolder::new();
            let path = folder.file("book.txt", vec![b'a'; LENGTH]);
            let mut content = Content::open(&path).unwrap();
            if !is_open {
                content.close();
            }
            let read = |start: usize| content.read_at(start, &mut [0; 10]);
            read(LENGTH - 10).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(70_000).unwrap();
            // What is gone, and what is still there.
            for start in [LENGTH - 10, 69_995, 0] {
                let said = read(start).unwrap_err().to_string();
                assert!(said.contains("book.txt") && said.contains("66536"), "{said}");
                assert!(said.contains("found 70000"), "{said}");
            }
        }
    }

    #[test]
    fn a_file_that_is_as_long_as_before_is_told_by_its_time_and_a_folder_as_none() {
        let folder = TemporaryFolder::new();
        let path = folder.file("book.txt", vec![b'a'; LENGTH]);
        let mut content = Content::open(&path).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let said = |content: &Content| content.read_at(0, &mut [0; 4]).unwrap_err().to_string();
        let expected = "expected the 66536 bytes that were there at first, found";
        for _ in 0..2 {
            let said = said(&content);
            let found = format!("{expected} as many, written at another time; put it back");
            assert!(said.contains(&found), "{said}");
            content.close();
        }
        drop(file);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let said = said(&content);
        assert!(said.contains(&format!("{expected} no file any more")), "{said}");
    }

    #[test]
    fn a_file_that_is_replaced_by_another_stays_what_it_was_or_is_an_error() {
        let folder = TemporaryFolder::new();
        let path = folder.file("book.txt", vec![b'a'; LENGTH]);
        let mut content = Content::open(&path).unwrap();
        fs::rename(folder.file("other", vec![b'b'; LENGTH + 1]), &path).unwrap();
        let mut bytes = [0; 4];
        if cfg!(unix) {
            content.read_at(5, &mut bytes).unwrap();
            assert_eq!(bytes, *b"aaaa");
        }
        content.close();
        assert!(matches!(content.read_at(5, &mut bytes), Err(Error::TextChanged { .. })));
        fs::remove_file(&path).unwrap();
        assert!(content.read_at(5, &mut bytes).unwrap_err().to_string().contains("book.txt"));
    }

    #[test]
    fn a_file_is_read_whole_however_long_it_is() {
        let folder = TemporaryFolder::new();
        for length in [0, 1, 10, 11, 5000] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            assert_eq!(read_stream(&folder.file("text", &bytes), 10).unwrap(), bytes, "{length}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_text_without_an_end_is_refused() {
        let error = read_stream(Path::new("/dev/zero"), 1000).unwrap_err().to_string();
        assert_eq!(error, "expected at most 1000 bytes, found more");
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        for error in [
            read(Path::new("no/such/text")).unwrap_err(),
            Content::open(Path::new("no/such/text")).unwrap_err(),
        ] {
            assert!(error.to_string().contains("no/such/text"), "{error}");
        }
    }
}
