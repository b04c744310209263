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
pub(crate) struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps a whole file.
    ///
    /// # Errors
    /// Those of the system, and for what is no file with a length, as a pipe or a directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // Asked before the opening, which waits for a writer where this is a pipe.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let file = File::open(path)?;
        // SAFETY: the map is private to this value and only read. That nobody changes the file while it
        // lives is what the callers' documentation asks for; no process can promise it for another, and
        // no reference outlives a call of `as_ref`, whose bytes are numbers or text that is checked
        // after it was copied: changed bytes are other numbers, in no invariant of any type.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map })
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}
