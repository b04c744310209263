//! [`MappedFile`]: a file whose bytes are read as they are asked for.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

use crate::manifest::Digest;

/// Bytes that a digest looks at before it lets go of them.
const PIECE: usize = 1 << 24;

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

    /// The digest of the whole file, of which no more than a piece is in memory meanwhile.
    pub(crate) fn digest(&self) -> Digest {
        let digest = Digest::of_pieces(self.map.chunks(PIECE).inspect(|_| self.release()));
        self.release();
        digest
    }

    /// Lets go of the pages that were looked at, which would else count as memory of this process until the system is
    /// short of it. Those that are looked at again come from the file again. Only Linux is told.
    pub(crate) fn release(&self) {
        #[cfg(target_os = "linux")]
        {
            // SAFETY: the map is shared, of a file, and was never written to, so that a page which comes back has the
            // bytes that it had: every slice of it is what it was. That the file stays as it is is asked for above.
            let told = unsafe { self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            // Where the system does not take the advice, more memory is in use, and nothing else is different.
            drop(told);
        }
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mapped(bytes: &[u8]) -> (tempfile::TempDir, MappedFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        fs::write(&path, bytes).unwrap();
        let file = MappedFile::open(&path).unwrap();
        (folder, file)
    }

    #[test]
    fn the_digest_of_pieces_is_that_of_the_whole() {
        let bytes: Vec<u8> = (0..PIECE + 5).map(|index| (index % 251) as u8).collect();
        for length in [0, 1, PIECE, PIECE + 5] {
            let (_folder, file) = mapped(&bytes[..length]);
            assert_eq!(file.digest(), Digest::of(&bytes[..length]), "{length}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_let_go_of_is_not_in_memory_and_comes_back_as_it_was() {
        let bytes: Vec<u8> = (0..1 << 21).map(|index| (index % 253) as u8).collect();
        let (folder, file) = mapped(&bytes);
        let path = fs::canonicalize(folder.path().join("numbers")).unwrap();
        let resident = || {
            let maps = fs::read_to_string("/proc/self/smaps").unwrap();
            let mut lines = maps.lines().skip_while(|line| !line.ends_with(path.to_str().unwrap()));
            let line = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap()
        };
        for _ in 0..2 {
            assert!(file.map[..] == bytes[..]);
            assert_eq!(resident(), 1 << 11);
            file.release();
            assert_eq!(resident(), 0);
        }
    }
}
