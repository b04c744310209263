//! A long row of tokens, most of it on disk.

use std::ops::Range;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::content::Content;
use crate::error::Result;

/// Files of a text that stay open while it is read.
const MOST_OPEN: usize = 64;
/// Bytes of a text's short files that are held in memory: a text may be larger than that.
const MOST_HELD: usize = 64 << 20;

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
    ///
    /// # Errors
    /// Those of [`Content::open`].
    pub(super) fn of_files(files: &[PathBuf]) -> Result<Self> {
        Self::holding(files, MOST_HELD)
    }

    fn holding(files: &[PathBuf], mut room: usize) -> Result<Self> {
        let mut sequence = Self { parts: Vec::new(), width: Width::One };
        for file in files {
            let mut content = Content::open_within(file, room)?;
            room = room.saturating_sub(content.held_bytes());
            if sequence.parts.len() >= MOST_OPEN {
                content.close();
            }
            sequence.push(content, 0);
        }
        Ok(sequence)
    }

    /// The tokens of a file from byte `start` on.
    pub(super) fn of_tokens(content: Content, start: usize, width: Width) -> Self {
        let mut sequence = Self { parts: Vec::new(), width };
        sequence.push(content, start);
        sequence
    }

    fn push(&mut self, content: Content, start: usize) {
        let tokens = content.len().saturating_sub(start) / self.width as usize;
        if tokens > 0 {
            self.parts.push(Part { content, start, end: self.len() + tokens });
        }
    }

    /// All tokens.
    pub(super) fn len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.end)
    }

    /// Adds the tokens of a range, which lies within.
    ///
    /// # Errors
    /// Those of [`Content::read_at`]: a file that was changed.
    pub(super) fn read(&self, range: Range<usize>, tokens: &mut Vec<u32>) -> Result<()> {
        let width = self.width as usize;
        let mut bytes = Vec::new();
        let mut place = range.start;
        let mut index = self.parts.partition_point(|part| part.end <= place);
        while place < range.end {
            let Part { content, start, end } = &self.parts[index];
            let first = index.checked_sub(1).map_or(0, |before| self.parts[before].end);
            let until = range.end.min(*end);
            bytes.resize((until - place) * width, 0);
            content.read_at(start + (place - first) * width, &mut bytes)?;
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
        Ok(())
    }

    /// A hash of the lengths of all parts and of samples of each.
    ///
    /// # Errors
    /// As [`Sequence::read`].
    pub(super) fn digest(&self) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        for part in &self.parts {
            hash.update((part.end as u64).to_le_bytes());
            hash.update(digest_of_samples(&part.content, part.start)?);
        }
        Ok(hash.finalize().into())
    }
}

/// SHA-256 of the length and of samples of the bytes from `start` on, spread evenly from the first to the last; of all
/// of them where there are few.
///
/// # Errors
/// Those of [`Content::read_at`].
pub(super) fn digest_of_samples(content: &Content, start: usize) -> Result<[u8; 32]> {
    const SAMPLE: usize = 4096;
    const SAMPLES: usize = 64;
    let length = content.len().saturating_sub(start);
    let mut hash = Sha256::new();
    hash.update((length as u64).to_le_bytes());
    let mut bytes = vec![0; if length <= SAMPLE * SAMPLES { length } else { SAMPLE }];
    let samples = if length <= SAMPLE * SAMPLES { 1 } else { SAMPLES };
    let last = (length - bytes.len()) as u128;
    for sample in 0..samples as u128 {
        let place = (sample * last / (SAMPLES as u128 - 1)) as usize;
        content.read_at(start + place, &mut bytes)?;
        hash.update(&bytes);
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::data::content::LARGEST_HELD;
    use crate::temporary::TemporaryFolder;

    fn tokens(sequence: &Sequence, range: Range<usize>) -> Vec<u32> {
        let mut tokens = Vec::new();
        sequence.read(range, &mut tokens).unwrap();
        tokens
    }

    #[test]
    fn files_are_read_as_if_they_were_one_across_their_borders() {
        let folder = TemporaryFolder::new();
        let large: Vec<u8> = (0..=255).cycle().take(LARGEST_HELD as usize + 77).collect();
        let contents = [b"abc".to_vec(), Vec::new(), large, b"de".to_vec()];
        let file = |(index, bytes)| folder.file(&format!("{index}"), bytes);
        let files: Vec<PathBuf> = contents.iter().enumerate().map(file).collect();
        let sequence = Sequence::of_files(&files).unwrap();
        assert_eq!(sequence.parts.len(), 3);
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
        let two = Content::held("two".as_ref(), vec![9, 9, 1, 0, 2, 1, 0xFF, 0xFF]);
        let sequence = Sequence::of_tokens(two, 2, Width::Two);
        assert_eq!(tokens(&sequence, 0..3), [1, 258, 65535]);
        assert_eq!(tokens(&sequence, 1..2), [258]);
        let four = Content::held("four".as_ref(), vec![9, 1, 0, 0, 0, 0, 0, 1, 0]);
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
        let open = || Sequence::of_files(std::slice::from_ref(&path)).unwrap();
        let sequence = open();
        let length = length as usize;
        assert_eq!(sequence.len(), length);
        assert_eq!(tokens(&sequence, length - 4..length), [0, 101, 110, 100]);
        let before = sequence.digest().unwrap();
        file.write_all_at(b"E", length as u64 - 3).unwrap();
        assert_ne!(open().digest().unwrap(), before);
    }

    #[test]
    fn short_files_are_held_while_there_is_room_and_read_from_the_disk_after_that() {
        let folder = TemporaryFolder::new();
        let files = [3, 4, 2].map(|length| folder.file(&format!("{length}"), vec![length; 5]));
        let sequence = Sequence::holding(&files, 11).unwrap();
        let held: Vec<_> = sequence.parts.iter().map(|part| part.content.held_bytes()).collect();
        assert_eq!(held, [5, 5, 0]);
        assert_eq!(tokens(&sequence, 8..12), [4, 4, 2, 2]);
    }

    #[test]
    fn a_text_of_more_files_than_stay_open_is_read_like_others() {
        let folder = TemporaryFolder::new();
        let length = LARGEST_HELD as usize + 1;
        let name = |index: usize| format!("{index:03}");
        let file = |index: usize| folder.file(&name(index), vec![index as u8; length]);
        let files: Vec<PathBuf> = (0..MOST_OPEN + 3).map(file).collect();
        let sequence = Sequence::of_files(&files).unwrap();
        for index in [1, MOST_OPEN - 1, MOST_OPEN, MOST_OPEN + 2] {
            let start = index * length;
            assert_eq!(tokens(&sequence, start - 1..start + 1), [index as u32 - 1, index as u32]);
        }
    }
}
