//! [`MappedFile`]: a file whose bytes are read as they are asked for.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

/// The bytes of a file, mapped into memory: the system reads pages when they are looked at, and may drop
/// them again.
///
/// The file must stay as it is meanwhile. When another process writes to it, numbers that are read later
/// are the new ones, and when one makes it shorter, looking at what is gone ends this process with a bus
/// error (`SIGBUS`), as the system does with every mapped file. Replacing it by renaming another one is
/// harmless: the map keeps the file that it was made of.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps a whole file.
    ///
    /// # Errors
    /// Those of the system, and for what is no file with a length, as a pipe or a directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Asked before the opening, which waits for a writer where this is a pipe.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let file = File::open(path)?;
        // SAFETY: the map is only read, and unmapped when this value is dropped, which every slice of it
        // borrows. That nobody changes the file meanwhile is asked for in the documentation, for no process
        // can promise it for another; should it happen all the same, nothing relies on the bytes: text is copied
        // before it is checked and read, and everything else is numbers, of which any bytes make one.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map })
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}
