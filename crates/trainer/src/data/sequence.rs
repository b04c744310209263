//! A long row of tokens, most of it on disk.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use interop::MappedFile;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// Bytes that are read of what does not say its length, a pipe or a device: some have no end.
const LARGEST_STREAM: u64 = 4 << 30;

/// Files up to this length are held in memory: a process can map some ten thousand only.
const SMALLEST_MAP: u64 = 64 << 10;

/// Bytes of a file: mapped, so that those that are looked at are read, or held.
#[derive(Debug)]
pub(super) enum Content {
    Mapped(MappedFile),
    Held(Vec<u8>),
}

impl Content {
    /// Opens a file, or reads a pipe to its end.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(super) fn open(path: &Path) -> Result<Self> {
        let read = || match std::fs::metadata(path)? {
            found if found.is_file() && found.len() > SMALLEST_MAP => {
                MappedFile::open(path).map(Self::Mapped)
            }
            _ => read_stream(path, LARGEST_STREAM).map(Self::Held),
        };
        read().map_err(Error::file("read the text", path))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file.as_ref(),
            Self::Held(bytes) => bytes,
        }
    }
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

/// Bytes of a token, little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    One = 1,
    Two = 2,
    Four = 4,
}

/// Tokens of one file.
#[derive(Debug)]
struct Part {
    content: Content,
    /// Where the tokens begin in it, in bytes.
    start: usize,
    /// Tokens up to the end of this part, those of the parts before it included.
    end: usize,
}

/// The tokens of several files, one file after the other, with nothing in between.
#[derive(Debug)]
pub(super) struct Sequence {
    parts: Vec<Part>,
    width: Width,
}

impl Sequence {
    /// The bytes of files as tokens.
    pub(super) fn of_bytes(contents: impl IntoIterator<Item = Content>) -> Self {
        let mut sequence = Self { parts: Vec::new(), width: Width::One };
        for content in contents {
            sequence.push(content, 0);
        }
        sequence
    }

    /// The tokens of a file from byte `start` on.
    pub(super) fn of_tokens(content: Content, start: usize, width: Width) -> Self {
        let mut sequence = Self { parts: Vec::new(), width };
        sequence.push(content, start);
        sequence
    }

    fn push(&mut self, content: Content, start: usize) {
        let tokens = content.bytes().len().saturating_sub(start) / self.width as usize;
        if tokens > 0 {
            self.parts.push(Part { content, start, end: self.len() + tokens });
        }
    }

    /// All tokens.
    pub(super) fn len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.end)
    }

    /// Adds the tokens of a range, which lies within.
    pub(super) fn read(&self, range: Range<usize>, tokens: &mut Vec<u32>) {
        let width = self.width as usize;
        let mut place = range.start;
        let mut index = self.parts.partition_point(|part| part.end <= place);
        while place < range.end {
            let Part { content, start, end } = &self.parts[index];
            let first = index.checked_sub(1).map_or(0, |before| self.parts[before].end);
            let until = range.end.min(*end);
            let bytes =
                &content.bytes()[start + (place - first) * width..][..(until - place) * width];
            match self.width {
                Width::One => tokens.extend(bytes.iter().map(|&byte| u32::from(byte))),
                Width::Two => tokens.extend(
                    bytes.as_chunks().0.iter().map(|&token| u32::from(u16::from_le_bytes(token))),
                ),
                Width::Four => {
                    tokens
                        .extend(bytes.as_chunks().0.iter().map(|&token| u32::from_le_bytes(token)));
                }
            }
            place = until;
            index += 1;
        }
    }

    /// Bytes that stand for all tokens but no others: what a change of the text most likely changes.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in &self.parts {
            hash.update((part.end as u64).to_le_bytes());
            hash.update(digest_of_samples(&part.content.bytes()[part.start..]));
        }
        hash.finalize().into()
    }
}

/// SHA-256 of the length and of samples of some bytes, spread evenly from the first to the last; of all of them where
/// there are few.
pub(super) fn digest_of_samples(bytes: &[u8]) -> [u8; 32] {
    const SAMPLE: usize = 4096;
    const SAMPLES: usize = 64;
    let mut hash = Sha256::new();
    hash.update((bytes.len() as u64).to_le_bytes());
    if bytes.len() <= SAMPLE * SAMPLES {
        hash.update(bytes);
    } else {
        let last = (bytes.len() - SAMPLE) as u128;
        for sample in 0..SAMPLES as u128 {
            let start = (sample * last / (SAMPLES as u128 - 1)) as usize;
            hash.update(&bytes[start..start + SAMPLE]);
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryFolder;

    fn tokens(sequence: &Sequence, range: Range<usize>) -> Vec<u32> {
        let mut tokens = Vec::new();
        sequence.read(range, &mut tokens);
        tokens
    }

    #[test]
    fn files_are_read_as_if_they_were_one_across_their_borders() {
        let folder = TemporaryFolder::new();
        let large: Vec<u8> = (0..=255).cycle().take(SMALLEST_MAP as usize + 77).collect();
        let contents = [b"abc".to_vec(), Vec::new(), large, b"de".to_vec()];
        let open =
            |(index, bytes)| Content::open(&folder.file(&format!("{index}"), bytes)).unwrap();
        let sequence = Sequence::of_bytes(contents.iter().enumerate().map(open));
        assert_eq!(sequence.parts.len(), 3);
        assert!(matches!(sequence.parts[1].content, Content::Mapped(_)));
        let all: Vec<u32> = contents.concat().into_iter().map(u32::from).collect();
        assert_eq!(sequence.len(), all.len());
        let borders = [0, 1, 2, 3, 4, 1000, all.len() - 3, all.len() - 2, all.len() - 1, all.len()];
        for start in borders {
            for end in borders.into_iter().filter(|&end| end >= start) {
                assert_eq!(tokens(&sequence, start..end), all[start..end], "{start}..{end}");
            }
        }
    }

    #[test]
    fn tokens_of_two_and_four_bytes_are_read_after_a_header() {
        let two = Content::Held(vec![9, 9, 1, 0, 2, 1, 0xFF, 0xFF]);
        let sequence = Sequence::of_tokens(two, 2, Width::Two);
        assert_eq!(tokens(&sequence, 0..3), [1, 258, 65535]);
        assert_eq!(tokens(&sequence, 1..2), [258]);
        let four = Content::Held(vec![9, 1, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(tokens(&Sequence::of_tokens(four, 1, Width::Four), 0..2), [1, 65536]);
    }

    /// A file with holes takes no room on a disk, nor in memory where it is not looked at.
    #[cfg(all(unix, target_pointer_width = "64"))]
    #[test]
    fn a_text_of_more_than_four_gibibytes_is_read_where_it_is_asked_for() {
        use std::os::unix::fs::FileExt as _;
        let folder = TemporaryFolder::new();
        let path = folder.file("large", "");
        let length = (5 << 30) + 3;
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        file.write_all_at(b"end", length - 3).unwrap();
        let sequence = Sequence::of_bytes([Content::open(&path).unwrap()]);
        let length = length as usize;
        assert_eq!(sequence.len(), length);
        assert_eq!(tokens(&sequence, length - 4..length), [0, 101, 110, 100]);
        let before = sequence.digest();
        file.write_all_at(b"E", length as u64 - 3).unwrap();
        assert_ne!(sequence.digest(), before);
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
