//! A text and its held-out tail.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// A text, cut into the part to train on and the part that is held out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    bytes: Vec<u8>,
    training: usize,
}

impl Text {
    /// Holds out the last ⌈`share` · bytes⌉ bytes, or as many as one window of `length` predictions
    /// needs, where that is more.
    ///
    /// # Errors
    /// [`Error::TextTooShort`] when either part is shorter than a window.
    pub fn split(bytes: Vec<u8>, share: f64, length: usize) -> Result<Self> {
        let window = length + 1;
        let held_out = ((bytes.len() as f64 * share).ceil() as usize).max(window);
        match bytes.len().checked_sub(held_out) {
            Some(training) if training >= window => Ok(Self { bytes, training }),
            _ => {
                let expected = (2 * window).max((window as f64 / (1.0 - share)).ceil() as usize);
                Err(Error::TextTooShort { expected, found: bytes.len(), length })
            }
        }
    }

    /// The part that is trained on.
    pub fn training(&self) -> &[u8] {
        &self.bytes[..self.training]
    }

    /// The part that is not.
    pub fn held_out(&self) -> &[u8] {
        &self.bytes[self.training..]
    }
}

/// Bytes that are read of what does not say its length, a pipe or a device: some have no end.
const LARGEST_STREAM: u64 = 4 << 30;

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

    #[test]
    fn the_tail_is_held_out_and_nothing_is_lost() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1001).collect();
        let text = Text::split(bytes.clone(), 0.1, 16).unwrap();
        assert_eq!(text.held_out().len(), 101);
        assert_eq!([text.training(), text.held_out()].concat(), bytes);
    }

    #[test]
    fn at_least_one_window_is_held_out() {
        let text = Text::split(vec![0; 100], 0.1, 16).unwrap();
        assert_eq!((text.training().len(), text.held_out().len()), (83, 17));
    }

    #[test]
    fn a_text_without_a_window_in_each_part_is_refused_with_the_length_it_needs() {
        for share in [0.001, 0.1, 0.5, 0.75, 0.99] {
            for length in [2, 16, 255] {
                let Err(Error::TextTooShort { expected, found: 0, .. }) =
                    Text::split(Vec::new(), share, length)
                else {
                    panic!("an empty text of share {share}");
                };
                assert!(Text::split(vec![0; expected - 1], share, length).is_err(), "{share}");
                assert!(Text::split(vec![0; expected + 1], share, length).is_ok(), "{share}");
            }
        }
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
        let error = read(Path::new("no/such/text")).unwrap_err().to_string();
        assert!(error.contains("no/such/text"), "{error}");
    }
}
