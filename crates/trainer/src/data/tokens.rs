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

use interop::tokenizer::Tokenizer;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::sequence::{Content, Sequence, Width, digest_of_samples};
use crate::error::{Error, Result};
use crate::storage::{Disk, Storage as _};

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
pub(super) struct TokenizerFile {
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
    pub(super) fn open(path: &Path) -> Result<Self> {
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

/// The tokens of files, from the cache or into it.
///
/// # Errors
/// Files that cannot be read, texts that the tokenizer does not take, a cache that cannot be written.
pub(super) fn tokens_of(
    files: &[PathBuf],
    tokenizer: &TokenizerFile,
    cache: &Path,
    tell: &mut dyn FnMut(fmt::Arguments<'_>),
) -> Result<TokenText> {
    let key = key(files, tokenizer)?;
    let name: String = key.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let path = cache.join(format!("{name}.tokens"));
    if let Some(text) = kept(&path, key, tokenizer.width()) {
        tell(format_args!("{} tokens of the text are in {}", text.tokens.len(), path.display()));
        return Ok(text);
    }
    fs::create_dir_all(cache).map_err(Error::file("make the folder", cache))?;
    tell(format_args!("makes tokens of the text, once, into {}", path.display()));
    let temporary = cache.join(format!("{name}.{}.unfinished", std::process::id()));
    let made = make(files, tokenizer, key, &temporary, tell).and_then(|()| {
        fs::rename(&temporary, &path).map_err(Error::file("rename to", &path))?;
        Disk.sync_directory(cache).map_err(Error::file("sync the folder", cache))
    });
    if let Err(error) = made {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    kept(&path, key, tokenizer.width()).ok_or_else(|| {
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
        if !found.is_file() {
            return Err(Error::data(
                file,
                "a file, which tokens can be made of once",
                "a pipe or a device",
            ));
        }
        // A system without such times has the samples alone.
        let time = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        hash.update(time.map_or(0, |time| time.as_nanos()).to_le_bytes());
        hash.update(digest_of_samples(Content::open(file)?.bytes()));
    }
    Ok(hash.finalize().into())
}

/// Tokens that were made before, if those of this key are there and whole.
fn kept(path: &Path, key: [u8; 32], width: Width) -> Option<TokenText> {
    let content = Content::open(path).ok()?;
    let (header, tokens) = content.bytes().split_first_chunk::<HEADER>()?;
    let count = tokens.len() / width as usize;
    let bytes = u64::from_le_bytes(*header[48..].first_chunk()?);
    let is_whole = tokens.len().is_multiple_of(width as usize)
        && *header == head(key, bytes, count as u64, width, digest_of_samples(tokens));
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

/// Writes the tokens of files, and syncs them.
fn make(
    files: &[PathBuf],
    tokenizer: &TokenizerFile,
    key: [u8; 32],
    path: &Path,
    tell: &mut dyn FnMut(fmt::Arguments<'_>),
) -> Result<()> {
    let problem = || Error::file("write the tokens", path);
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
    let mut out = BufWriter::with_capacity(1 << 20, file.map_err(problem())?);
    out.write_all(&[0; HEADER]).map_err(problem())?;
    let (mut bytes, mut count, mut told) = (0_u64, 0_u64, 0_u64);
    for file in files {
        let content = Content::open(file)?;
        let mut rest = content.bytes();
        while !rest.is_empty() {
            let before = content.bytes().len() - rest.len();
            let parts = take_parts(&mut rest);
            let tokens = parts
                .into_par_iter()
                .map(|(place, part)| tokens_of_part(tokenizer, file, before + place, part));
            for tokens in tokens.collect::<Vec<_>>() {
                let tokens = tokens?;
                write(&mut out, &tokens, tokenizer.width()).map_err(problem())?;
                count += tokens.len() as u64;
            }
            let done = bytes + (content.bytes().len() - rest.len()) as u64;
            if done - told >= 256 << 20 {
                told = done;
                tell(format_args!("{} MiB are {count} tokens", done >> 20));
            }
        }
        bytes += content.bytes().len() as u64;
        if let Some(end) = tokenizer.tokenizer.end() {
            write(&mut out, &[end], tokenizer.width()).map_err(problem())?;
            count += 1;
        }
    }
    let mut file = out.into_inner().map_err(|error| problem()(error.into_error()))?;
    let samples = digest_of_samples(&Content::open(path)?.bytes()[HEADER..]);
    file.seek(SeekFrom::Start(0)).map_err(problem())?;
    file.write_all(&head(key, bytes, count, tokenizer.width(), samples)).map_err(problem())?;
    file.sync_all().map_err(problem())
}

/// Some parts of a text with their places, from its beginning; they end after lines, so that where they are cut does
/// not show in the tokens of most texts.
fn take_parts<'a>(text: &mut &'a [u8]) -> Vec<(usize, &'a [u8])> {
    let (mut parts, mut place) = (Vec::new(), 0);
    while parts.len() < PARTS && !text.is_empty() {
        let (part, rest) = text.split_at(end_of_part(text));
        parts.push((place, part));
        place += part.len();
        *text = rest;
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
pub(super) mod tests;
