//! A text in files as tokens: of training, and of `ternary eval`.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::files::files_of;
use super::sequence::Sequence;
use super::tokens::{TokenizerFile, default_cache, tokens_of};
use crate::error::{Error, Result};

/// The tokens of a file, of the files of a folder or of those of a pattern.
#[derive(Debug)]
pub(crate) struct FileText {
    pub(super) tokens: Sequence,
    /// Where there is a tokenizer.
    pub(crate) bytes_per_token: Option<f64>,
}

impl FileText {
    /// Opens the text: its bytes, or its tokens out of the cache or made into it. `tell` hears of what takes long.
    ///
    /// # Errors
    /// Files that cannot be read, are empty, or are no text for the tokenizer.
    pub(crate) fn open(
        data: &Path,
        tokenizer: Option<&TokenizerFile>,
        cache: Option<&Path>,
        tell: &mut dyn FnMut(fmt::Arguments<'_>),
    ) -> Result<Self> {
        let files = files_of(data)?;
        let text = match tokenizer {
            Some(tokenizer) => {
                let cache = cache.map_or_else(default_cache, Path::to_owned);
                let text = tokens_of(&files, tokenizer, &cache, tell)?;
                let bytes_per_token = text.bytes as f64 / text.tokens.len() as f64;
                Self { tokens: text.tokens, bytes_per_token: Some(bytes_per_token) }
            }
            None => Self { tokens: Sequence::of_files(&files)?, bytes_per_token: None },
        };
        if text.len() == 0 {
            return Err(Error::data(data, "a text", "nothing: it is empty"));
        }
        Ok(text)
    }

    /// Its tokens.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The tokens of a range, which lies within.
    ///
    /// # Errors
    /// [`Error::TextChanged`], [`Error::File`].
    pub(crate) fn read(&self, range: Range<usize>) -> Result<Vec<u32>> {
        let mut tokens = Vec::with_capacity(range.len());
        self.tokens.read(range, &mut tokens)?;
        Ok(tokens)
    }
}
