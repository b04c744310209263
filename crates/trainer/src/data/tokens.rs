//! A text as the tokens of a tokenizer, made once and kept.
//!
//! ```text
//! magic (16) │ key (32) │ bytes of the text (8) │ tokens (8) │ bytes of a token: 2 or 4 (1) │ zeros (31) │ samples (32)
//! tokens, little endian, one file of the text after the other
//! ```
//!
//! The key is a hash of the tokenizer and of the path, length, time and samples of each file: where anything changed,
//! the tokens are made again. `samples` is a hash of samples of the tokens, so that a file that was torn is not
//! believed. It is written beside its place, synced and then renamed.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use interop::Replacement;
use interop::tokenizer::Tokenizer;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::content::Content;
use super::sequence::{Sequence, Width, digest_of_samples};
use crate::error::{Error, Result};

const MAGIC: [u8; 16] = *b"ternary tokens 1";

/// Bytes before the tokens.
const HEADER: usize = 128;

/// Bytes of a text after which a part ends at the next end of a line, and those after which it ends anywhere.
const PART: usize = 256 << 10;
const LONGEST_PART: usize = 4 * PART;

/// Parts that are made into tokens at a time, and then written.
const PARTS: usize = 32;

/// A tokenizer and its file.
#[derive(Debug)]
pub(crate) struct TokenizerFile {
    pub(super) path: PathBuf,
    pub(super) tokenizer: Tokenizer,
    pub(super) digest: [u8; 32],
}

/// Tokens of a vocabulary at most: a row of the embedding for each.
const LARGEST_VOCABULARY: usize = 1 << 20;

/// Bytes of a `tokenizer.json` at most: those of real ones are some ten million.
const LARGEST_FILE: u64 = 64 << 20;

impl TokenizerFile {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// A file that is none, and a vocabulary that is empty or too large.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let bytes = read_up_to(path, LARGEST_FILE)?;
        let tokenizer = Tokenizer::open_file(path)?;
        let vocabulary = tokenizer.vocabulary();
        if !(1..=LARGEST_VOCABULARY).contains(&vocabulary) {
            return Err(Error::Tokenizer {
                path: path.to_owned(),
                expected: format!("a vocabulary of 1 to {LARGEST_VOCABULARY} tokens"),
                found: format!("{vocabulary}"),
            });
        }
        Ok(Self { path: path.to_owned(), tokenizer, digest: Sha256::digest(&bytes).into() })
    }

    fn width(&self) -> Width {
        if self.tokenizer.vocabulary() <= 1 << 16 { Width::Two } else { Width::Four }
    }
}

/// The bytes of a tokenizer's file. A device may have no end.
fn read_up_to(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let problem = || Error::file("read the tokenizer", path);
    let wrong = |expected: String, found: &str| Error::Tokenizer {
        path: path.to_owned(),
        expected,
        found: found.to_owned(),
    };
    // Opening a pipe would wait for somebody to write.
    if !fs::metadata(path).map_err(problem())?.is_file() {
        return Err(wrong("a file, such as tokenizer.json".to_owned(), "a folder, pipe or device"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(problem())?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(problem())?;
    if bytes.len() as u64 > limit {
        return Err(wrong(format!("at most {limit} bytes"), "more"));
    }
    Ok(bytes)
}

/// The tokens of some files, and how many bytes they stand for.
#[derive(Debug)]
pub(super) struct TokenText {
    pub(super) tokens: Sequence,
    pub(super) bytes: u64,
}

/// The folder for tokens where none is given: that of the user's caches, or else the temporary one.
pub(super) fn default_cache() -> PathBuf {
    let folder = |name: &str| {
        std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute())
    };
    folder("XDG_CACHE_HOME")
        .or_else(|| folder("LOCALAPPDATA"))
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("ternary")
}

/// The tokens of files, from the cache or into it. Those of a pipe or a device, which tells its bytes once, are not kept.
///
/// # Errors
/// Files that cannot be read, texts that the tokenizer does not take, a cache that cannot be written.
pub(super) fn tokens_of(
    files: &[PathBuf],
    tokenizer: &TokenizerFile,
    cache: &Path,
    tell: &mut dyn FnMut(fmt::Arguments<'_>),
) -> Result<TokenText> {
    let width = tokenizer.width();
    if let Some(stream) = files.iter().find(|file| !file.is_file() && file.exists()) {
        let mut tokens = Vec::new();
        let bytes = make(files, tokenizer, (&mut tokens, stream), tell)?.bytes;
        let tokens = Sequence::of_tokens(Content::held(stream, tokens), 0, width);
        return Ok(TokenText { tokens, bytes });
    }
    let key = key(files, tokenizer)?;
    let name: String = key.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let path = cache.join(format!("{name}.tokens"));
    if let Some(text) = kept(&path, key, width) {
        tell(format_args!("{} tokens of the text are in {}", text.tokens.len(), path.display()));
        return Ok(text);
    }
    fs::create_dir_all(cache).map_err(Error::file("make the folder", cache))?;
    tell(format_args!("makes tokens of the text, once, into {}", path.display()));
    let unfinished = cache.join(format!("{name}.{}.unfinished", std::process::id()));
    let problem = || Error::file("write the tokens", &unfinished);
    let mut replacement = Replacement::create(&unfinished, &path).map_err(problem())?;
    let mut out = BufWriter::with_capacity(1 << 20, replacement.file());
    out.write_all(&[0; HEADER]).map_err(problem())?;
    let Made { bytes, tokens } = make(files, tokenizer, (&mut out, &unfinished), tell)?;
    let file = out.into_inner().map_err(|error| problem()(error.into_error()))?;
    let samples = digest_of_samples(&Content::open(&unfinished)?, HEADER)?;
    file.seek(SeekFrom::Start(0)).map_err(problem())?;
    file.write_all(&head(key, bytes, tokens, width, samples)).map_err(problem())?;
    replacement.commit().map_err(Error::file("write the tokens", &path))?;
    kept(&path, key, width).ok_or_else(|| {
        let changed = io::Error::other("another process changed it");
        Error::file("read the tokens", &path)(changed)
    })
}

/// A hash of all that the tokens follow from.
fn key(files: &[PathBuf], tokenizer: &TokenizerFile) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    hash.update(MAGIC);
    hash.update(tokenizer.digest);
    for file in files {
        let whole = std::path::absolute(file).map_err(Error::file("find", file))?;
        let name = whole.as_os_str().as_encoded_bytes();
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        let found = fs::metadata(file).map_err(Error::file("read the text", file))?;
        // A system without such times has the samples alone.
        let time = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        hash.update(time.map_or(0, |time| time.as_nanos()).to_le_bytes());
        hash.update(digest_of_samples(&Content::open(file)?, 0)?);
    }
    Ok(hash.finalize().into())
}

/// Tokens that were made before, if those of this key are there and whole.
fn kept(path: &Path, key: [u8; 32], width: Width) -> Option<TokenText> {
    let content = Content::open(path).ok()?;
    let length = content.len().checked_sub(HEADER)?;
    let mut header = [0; HEADER];
    content.read_at(0, &mut header).ok()?;
    let count = length / width as usize;
    let bytes = u64::from_le_bytes(*header[48..].first_chunk()?);
    let samples = digest_of_samples(&content, HEADER).ok()?;
    let is_whole = length.is_multiple_of(width as usize)
        && header == head(key, bytes, count as u64, width, samples);
    is_whole.then(|| TokenText { tokens: Sequence::of_tokens(content, HEADER, width), bytes })
}

fn head(key: [u8; 32], bytes: u64, tokens: u64, width: Width, samples: [u8; 32]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..16].copy_from_slice(&MAGIC);
    header[16..48].copy_from_slice(&key);
    header[48..56].copy_from_slice(&bytes.to_le_bytes());
    header[56..64].copy_from_slice(&tokens.to_le_bytes());
    header[64] = width as u8;
    header[96..].copy_from_slice(&samples);
    header
}

/// What was written.
struct Made {
    /// Bytes of the text.
    bytes: u64,
    /// Its tokens.
    tokens: u64,
}

/// Writes the tokens of files to where its path says. Of a file no more is in memory than some parts.
fn make(
    files: &[PathBuf],
    tokenizer: &TokenizerFile,
    (out, path): (&mut impl io::Write, &Path),
    tell: &mut dyn FnMut(fmt::Arguments<'_>),
) -> Result<Made> {
    const MOST: usize = PARTS * PART + LONGEST_PART;
    let problem = || Error::file("write the tokens", path);
    let (mut bytes, mut count, mut told) = (0_u64, 0_u64, 0_u64);
    for file in files {
        let content = Content::open(file)?;
        let (mut text, mut place) = (Vec::new(), 0);
        while place < content.len() {
            let (have, until) = (text.len(), content.len().min(place + MOST));
            text.resize(until - place, 0);
            content.read_at(place + have, &mut text[have..])?;
            let parts = take_parts(&text, until == content.len());
            let end = parts.last().map_or(0, |(start, part)| start + part.len());
            let tokens = parts
                .into_par_iter()
                .map(|(start, part)| tokens_of_part(tokenizer, file, place + start, part));
            for tokens in tokens.collect::<Vec<_>>() {
                let tokens = tokens?;
                write(out, &tokens, tokenizer.width()).map_err(problem())?;
                count += tokens.len() as u64;
            }
            text.drain(..end);
            place += end;
            let done = bytes + place as u64;
            if done - told >= 256 << 20 {
                told = done;
                tell(format_args!("{} MiB are {count} tokens", done >> 20));
            }
        }
        bytes += content.len() as u64;
        if let Some(end) = tokenizer.tokenizer.end() {
            write(out, &[end], tokenizer.width()).map_err(problem())?;
            count += 1;
        }
    }
    Ok(Made { bytes, tokens: count })
}

/// Some parts of a text with their places, from its beginning; they end after lines, so that where they are cut does
/// not show in the tokens of most texts. Where more follows, what is too little to tell where its part ends is left.
fn take_parts(text: &[u8], is_end: bool) -> Vec<(usize, &[u8])> {
    let (mut parts, mut place) = (Vec::new(), 0);
    while place < text.len() && (is_end || text.len() - place > LONGEST_PART) {
        let part = &text[place..][..end_of_part(&text[place..])];
        parts.push((place, part));
        place += part.len();
    }
    parts
}

fn end_of_part(text: &[u8]) -> usize {
    let Some(after) = text.get(PART..) else { return text.len() };
    let near = &after[..after.len().min(LONGEST_PART - PART)];
    if let Some(line) = near.iter().position(|&byte| byte == b'\n') {
        return PART + line + 1;
    }
    // Not within a character: its second to fourth byte begin with the bits 10.
    let end = PART + near.len();
    let is_within = |end: usize| text.get(end).is_some_and(|&byte| byte & 0xC0 == 0x80);
    (0..4).map(|back| end - back).find(|&end| !is_within(end)).unwrap_or(end)
}

fn tokens_of_part(
    tokenizer: &TokenizerFile,
    file: &Path,
    place: usize,
    part: &[u8],
) -> Result<Vec<u32>> {
    if let Err(error) = std::str::from_utf8(part) {
        let wrong = error.valid_up_to();
        let expected = "UTF-8, which the tokenizer reads";
        let found = format!("byte {:#04x} at position {}", part[wrong], place + wrong);
        return Err(Error::data(file, expected, found));
    }
    Ok(tokenizer.tokenizer.encode_part(part)?)
}

fn write(out: &mut impl io::Write, tokens: &[u32], width: Width) -> io::Result<()> {
    for token in tokens {
        // The low bytes are all there are: a vocabulary chose the width.
        out.write_all(&token.to_le_bytes()[..width as usize])?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
