//! [`Tokenizer`]: texts to tokens and back.
//!
//! ```
//! use interop::tokenizer::Tokenizer;
//!
//! // A directory without `tokenizer.json`, for a model of 256 tokens.
//! let directory = tempfile::tempdir()?;
//! let tokenizer = Tokenizer::open(directory.path(), 256)?.expect("bytes");
//! assert_eq!(tokenizer.encode(b"Hi")?, [72, 105]);
//! assert_eq!(tokenizer.decode(&[72, 105])?, b"Hi");
//! // What other tokens stand for, nobody knows.
//! assert!(Tokenizer::open(directory.path(), 32_000)?.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Problem, Result, io_error};

pub(crate) const FILE: &str = "tokenizer.json";
/// Tokens that it takes to stand for every byte.
const BYTES: usize = 256;

/// Names of the token that ends a text, in the files of well-known models.
#[cfg(feature = "tokenizer")]
const ENDS: [&str; 7] =
    ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]", "<|im_end|>"];

/// What turns a text into the tokens of a model.
#[derive(Debug)]
pub struct Tokenizer {
    kind: Kind,
    vocabulary: usize,
}

#[derive(Debug)]
enum Kind {
    /// A byte is the token of its number.
    Bytes,
    /// That of `tokenizer.json`.
    #[cfg(feature = "tokenizer")]
    File { path: PathBuf, tokenizer: Box<tokenizers::Tokenizer> },
}

impl Tokenizer {
    /// The tokenizer of a model directory: that of its `tokenizer.json`, or else bytes where the vocabulary has one token
    /// for each, or none: what the tokens of any other stand for is written in that file alone.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for a `tokenizer.json` that is none, or one that this build cannot read because it was
    /// made without the feature `tokenizer`; [`Error::Io`](crate::Error::Io).
    pub fn open(directory: &Path, vocabulary: usize) -> Result<Option<Self>> {
        match Self::find(directory)? {
            Some(path) => Ok(Some(Self { kind: read(path)?, vocabulary })),
            None => Ok((vocabulary == BYTES).then_some(Self { kind: Kind::Bytes, vocabulary })),
        }
    }

    /// The `tokenizer.json` of a model directory, if there is one; it is not read.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn find(directory: &Path) -> Result<Option<PathBuf>> {
        let path = directory.join(FILE);
        // A link to nothing is there: what it led to is not the tokenizer of bytes.
        match std::fs::symlink_metadata(&path) {
            Ok(_) => Ok(Some(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error(&path, "find the file")(error)),
        }
    }

    /// The tokenizer of a file, as it is before there is a model: its vocabulary ends with its last token.
    ///
    /// # Errors
    /// As [`Tokenizer::open`], and for a file that is not there.
    pub fn open_file(path: &Path) -> Result<Self> {
        let kind = read(path.to_owned())?;
        let vocabulary = match &kind {
            Kind::Bytes => BYTES,
            #[cfg(feature = "tokenizer")]
            Kind::File { tokenizer, .. } => {
                tokenizer.get_vocab(true).values().max().map_or(0, |&last| last as usize + 1)
            }
        };
        Ok(Self { kind, vocabulary })
    }

    /// The token that ends a text, by the names it commonly has among the special tokens; none where the model has no
    /// such token.
    pub fn end(&self) -> Option<u32> {
        match &self.kind {
            Kind::Bytes => None,
            #[cfg(feature = "tokenizer")]
            Kind::File { tokenizer, .. } => ENDS.iter().find_map(|end| {
                tokenizer
                    .get_added_tokens_decoder()
                    .into_iter()
                    .find_map(|(id, token)| (token.special && token.content == *end).then_some(id))
                    .filter(|&id| (id as usize) < self.vocabulary)
            }),
        }
    }

    /// The tokens of a part of a longer text: without those that its tokenizer puts around a text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_part(&self, text: &[u8]) -> Result<Vec<u32>> {
        self.encode_with(text, false)
    }

    /// The tokens of a text, with those that its tokenizer puts around every text. `truncation` and `padding` of
    /// the file do nothing.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) where a tokenizer of texts meets bytes that are not UTF-8, fails, or gives a token that
    /// the model does not have.
    pub fn encode(&self, text: &[u8]) -> Result<Vec<u32>> {
        self.encode_with(text, true)
    }

    #[cfg_attr(not(feature = "tokenizer"), expect(unused_variables))]
    fn encode_with(&self, text: &[u8], is_whole: bool) -> Result<Vec<u32>> {
        match &self.kind {
            Kind::Bytes => Ok(text.iter().copied().map(u32::from).collect()),
            #[cfg(feature = "tokenizer")]
            Kind::File { path, tokenizer } => encode(tokenizer, self.vocabulary, text, is_whole)
                .map_err(|problem| problem.in_file(path)),
        }
    }

    /// The text of some tokens, without those that only mark something. A token that stands for no byte or text
    /// is shown as the replacement character, U+FFFD, or left out.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) where the tokenizer fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<Vec<u8>> {
        match &self.kind {
            Kind::Bytes => {
                let mut text = Vec::with_capacity(tokens.len());
                for &token in tokens {
                    match u8::try_from(token) {
                        Ok(byte) => text.push(byte),
                        Err(_) => text.extend("\u{fffd}".bytes()),
                    }
                }
                Ok(text)
            }
            #[cfg(feature = "tokenizer")]
            Kind::File { path, tokenizer } => {
                let text = guarded("tokens to text", || tokenizer.decode(tokens, true));
                text.map(String::into_bytes).map_err(|problem| problem.in_file(path))
            }
        }
    }

    /// Tokens of the model.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }
}

#[cfg(feature = "tokenizer")]
fn read(path: PathBuf) -> Result<Kind> {
    let bytes = crate::text::read_text(&path)?;
    // Names that are there twice, of which that crate would take the last.
    let json = crate::json::Json::read(&bytes, "tokenizer").map(drop);
    let tokenizer = json.and_then(|()| {
        guarded("tokenizer", || {
            let mut tokenizer = tokenizers::Tokenizer::from_bytes(bytes)?;
            // Settings of the program that wrote the file, which transformers takes away as well: a text is
            // neither cut nor filled up.
            tokenizer.with_truncation(None)?;
            tokenizer.with_padding(None);
            Ok(tokenizer)
        })
    });
    match tokenizer {
        Ok(tokenizer) => Ok(Kind::File { path, tokenizer: Box::new(tokenizer) }),
        Err(problem) => Err(problem.in_file(&path)),
    }
}

/// What the crate of tokenizers returns. It panics on some files that are wrong; that is an error as well.
#[cfg(feature = "tokenizer")]
fn guarded<R>(
    what: &'static str,
    call: impl FnOnce() -> tokenizers::Result<R>,
) -> Result<R, Problem> {
    // What a panic leaves half done is dropped, or is a cache that is then passed by.
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    result
        .unwrap_or_else(|payload| {
            let text = payload.downcast_ref::<String>().cloned();
            let text = text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()));
            Err(text.unwrap_or_else(|| "it panicked".to_owned()).into())
        })
        .map_err(|source| Problem::Tokenizer { what, source })
}

#[cfg(not(feature = "tokenizer"))]
fn read(path: PathBuf) -> Result<Kind> {
    let problem = Problem::mismatch("feature `tokenizer` of this build", "on", "off");
    Err(problem.in_file(&path))
}

#[cfg(feature = "tokenizer")]
fn encode(
    tokenizer: &tokenizers::Tokenizer,
    vocabulary: usize,
    text: &[u8],
    is_whole: bool,
) -> Result<Vec<u32>, Problem> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let place = error.valid_up_to();
        let found = format!("byte {:#04x} at position {place}", text[place]);
        Problem::mismatch("text", "UTF-8", found)
    })?;
    let encoding = guarded("text to tokens", || tokenizer.encode_fast(text, is_whole))?;
    let tokens = encoding.get_ids().to_vec();
    match tokens.iter().find(|&&token| token as usize >= vocabulary) {
        None => Ok(tokens),
        Some(token) => {
            let expected = format!("one of the model's {vocabulary}");
            Err(Problem::mismatch("token", expected, token))
        }
    }
}
