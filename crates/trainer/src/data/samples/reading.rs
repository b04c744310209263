//! [`Reading`]: files of samples, line by line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use nn::Sequences;
use nn::ops::IGNORED;
use rayon::prelude::*;

use super::encode::{Encoded, Encoder};
use super::line::Line;
use super::{Long, SamplesRequest, end_token};
use crate::chat::Template;
use crate::data::{Example, TokenizerFile, read};
use crate::error::Result;

/// Lines that are encoded at a time.
const PART: usize = 1 << 10;

/// What may stand at the beginning of a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();

/// Lines that are left out of which each is told.
const TOLD: usize = 5;

/// A line of a file of samples that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}, line {line}: {problem}; correct the line, or leave such lines out with --skip-bad-lines",
    path.display()
)]
pub struct BadLine {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// Samples as a model reads them, one after the other.
#[derive(Debug, Default)]
pub(super) struct Store {
    tokens: Vec<u32>,
    targets: Vec<u32>,
    /// Where each sample ends.
    ends: Vec<usize>,
    /// The hash of the line that each is from.
    pub(super) hashes: Vec<u64>,
}

/// A sample that fits a window.
struct Fitted {
    tokens: Vec<u32>,
    targets: Vec<u32>,
    hash: u64,
    is_cut: bool,
}

/// What a line comes to.
struct Read {
    samples: Vec<Fitted>,
    /// Answers of a conversation before which there is more than a window takes.
    left_out: usize,
}

impl Store {
    fn add(&mut self, sample: &Fitted) {
        self.tokens.extend(&sample.tokens);
        self.targets.extend(&sample.targets);
        self.ends.push(self.tokens.len());
        self.hashes.push(sample.hash);
    }

    /// A sample, to be read alone.
    pub(super) fn example(&self, sample: usize) -> Example {
        let (tokens, targets) = self.get(sample);
        let sequences = Sequences { count: 1, length: tokens.len() };
        Example { sequences, tokens: tokens.to_vec(), targets: targets.to_vec(), filling: 0 }
    }

    /// How many samples there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// What a sample reads, and what it learns.
    pub(super) fn get(&self, sample: usize) -> (&[u32], &[u32]) {
        let start = sample.checked_sub(1).map_or(0, |before| self.ends[before]);
        let range = start..self.ends[sample];
        (&self.tokens[range.clone()], &self.targets[range])
    }
}

/// What each line comes to; where that ends the reading, no further than the first bad one. A line may cost all that a
/// chat template is let do, so none is begun behind one that is known to be bad.
fn encoded<L: Sync, R: Send>(
    lines: &[L],
    ends_at_bad: bool,
    encode: impl Fn(&L) -> Result<R, String> + Sync,
) -> Vec<Result<R, String>> {
    let first_bad = AtomicUsize::new(usize::MAX);
    let encode = |(index, line): (usize, &L)| {
        if first_bad.load(Ordering::Relaxed) < index {
            return None;
        }
        let read = encode(line);
        if ends_at_bad && read.is_err() {
            first_bad.fetch_min(index, Ordering::Relaxed);
        }
        Some(read)
    };
    let read: Vec<_> = lines.par_iter().enumerate().map(encode).collect();
    // Whatever was not begun stands behind a bad line that was.
    read.into_iter().map_while(|read| read).collect()
}

/// Samples while they are read.
pub(super) struct Reading<'a> {
    pub(super) encoder: Encoder<'a>,
    pub(super) request: &'a SamplesRequest,
    /// Tokens that a window predicts.
    pub(super) length: usize,
}

impl<'a> Reading<'a> {
    /// Samples for a model, of at most `length` predictions.
    ///
    /// # Errors
    /// A chat template or a token that ends a text which cannot be read.
    pub(super) fn new(
        request: &'a SamplesRequest,
        tokenizer: Option<&'a TokenizerFile>,
        length: usize,
    ) -> Result<Self> {
        let encoder = Encoder {
            tokenizer,
            template: Template::open(&request.model)?,
            end: end_token(&request.model, tokenizer)?,
            learns_prompts: request.learns_prompts,
            length,
        };
        Ok(Self { encoder, request, length })
    }

    /// The samples of files, in their order; `tell` hears of those that are left out or cut. Blank lines are none.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File); [`BadLine`] with the first line that is bad, unless such lines are left out.
    pub(super) fn files(
        &self,
        files: &[impl AsRef<Path>],
        tell: &mut dyn FnMut(fmt::Arguments<'_>),
    ) -> Result<Store> {
        let mut store = Store::default();
        let (mut lines, mut bad, mut cut, mut unheard) = (0_usize, 0_usize, 0_usize, 0_usize);
        for path in files {
            let path = path.as_ref();
            let bytes = read(path)?;
            // Editors that put a mark there mean nothing by it.
            let of_file: Vec<(usize, &[u8])> = bytes
                .strip_prefix(BYTE_ORDER_MARK)
                .unwrap_or(&bytes)
                .split(|&byte| byte == b'\n')
                .enumerate()
                .map(|(index, line)| (index + 1, line.trim_ascii()))
                .filter(|(_, line)| !line.is_empty())
                .collect();
            lines += of_file.len();
            for part in of_file.chunks(PART) {
                let encoded =
                    encoded(part, !self.request.skips_bad_lines, |(_, line)| self.encode(line));
                for (&(line, _), read) in part.iter().zip(encoded) {
                    match read {
                        Ok(Read { samples, left_out }) => {
                            unheard += left_out;
                            cut += samples.iter().filter(|sample| sample.is_cut).count();
                            samples.iter().for_each(|sample| store.add(sample));
                        }
                        Err(problem) => {
                            let error = BadLine { path: path.to_owned(), line, problem };
                            if !self.request.skips_bad_lines {
                                return Err(error.into());
                            }
                            bad += 1;
                            if bad <= TOLD {
                                tell(format_args!("left out: {error}"));
                            }
                        }
                    }
                }
            }
        }
        if bad > 0 {
            tell(format_args!("{bad} of {lines} lines are left out"));
        }
        let (length, all) = (self.length, store.len());
        if unheard > 0 {
            tell(format_args!(
                "{unheard} answers of conversations are left out: what stands before each fills a window of {length} tokens"
            ));
        }
        if cut > 0 {
            tell(format_args!(
                "{cut} of {all} samples are longer than a window of {length} tokens: their ends are cut off"
            ));
        }
        Ok(store)
    }

    /// The tokens that are read of each sample of a line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn tokens(&self, line: &[u8]) -> Result<Vec<usize>, String> {
        Ok(self.encode(line)?.samples.iter().map(|sample| sample.tokens.len()).collect())
    }

    /// The samples of a line. Of a conversation that is several, those with nothing to learn in a window are left out
    /// unless all are.
    fn encode(&self, line: &[u8]) -> Result<Read, String> {
        let line = Line::parse(line)?;
        let hash = line.hash();
        let encoding = self.encoder.encode(&line)?;
        let mut read = Read { samples: Vec::new(), left_out: encoding.left_out };
        let mut first_problem = None;
        for sample in &encoding.samples {
            self.check_length(sample)?;
            match self.fit(sample, hash) {
                Ok(fitted) => read.samples.push(fitted),
                Err(problem) => {
                    read.left_out += 1;
                    first_problem.get_or_insert(problem);
                }
            }
        }
        match first_problem {
            Some(problem) if read.samples.is_empty() => Err(problem),
            _ => Ok(read),
        }
    }

    /// Checks that a sample need not be cut, where that is asked for.
    fn check_length(&self, sample: &Encoded) -> Result<(), String> {
        let (length, found) = (self.length, sample.tokens.len());
        if found > length + 1 && self.request.long == Long::Refuse {
            // Conversations are read no further than that.
            return Err(format!(
                "expected at most {} tokens, which a window of {length} predictions holds, found at least {found}",
                length + 1
            ));
        }
        Ok(())
    }

    fn fit(&self, sample: &Encoded, hash: u64) -> Result<Fitted, String> {
        let (length, found) = (self.length, sample.tokens.len());
        let is_cut = found > length + 1;
        let (tokens, targets) = sample.rows(length);
        if targets.iter().any(|&target| target != IGNORED) {
            return Ok(Fitted { tokens: tokens.to_vec(), targets, hash, is_cut });
        }
        Err(match is_cut {
            true => format!(
                "expected something to learn among the first {} tokens, which a window of {length} predictions holds, \
                 found a prompt that fills them",
                length + 1
            ),
            false => {
                format!("expected two tokens at least, the last of them to learn, found {found}")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads lines on this many threads; a number is bad if `bad` has it. Gives what came of it, and how many were begun.
    fn read(
        threads: usize,
        ends_at_bad: bool,
        bad: &[usize],
    ) -> (Vec<Result<usize, String>>, usize) {
        let begun = AtomicUsize::new(0);
        let lines: Vec<usize> = (0..PART).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let read = pool.install(|| {
            encoded(&lines, ends_at_bad, |&line| {
                begun.fetch_add(1, Ordering::Relaxed);
                if bad.contains(&line) { Err(line.to_string()) } else { Ok(line) }
            })
        });
        (read, begun.into_inner())
    }

    #[test]
    fn nothing_is_begun_behind_a_line_that_is_known_to_be_bad() {
        let all: Vec<usize> = (0..PART).collect();
        assert_eq!(read(1, true, &all), (vec![Err("0".into())], 1));
        let (lines, begun) = read(1, true, &[3, 700]);
        assert_eq!((lines.len(), begun), (4, 4));
    }

    #[test]
    fn the_first_bad_line_is_found_however_many_threads_read() {
        for threads in 1..5 {
            for bad in [&[900, 511, 512][..], &[1023], &[1, 2]] {
                let (lines, _) = read(threads, true, bad);
                let first = bad.iter().min().unwrap();
                let found = lines.iter().position(Result::is_err);
                assert_eq!((found, &lines[*first]), (Some(*first), &Err(first.to_string())));
            }
            let (lines, begun) = read(threads, false, &[0, 5]);
            assert_eq!((lines.len(), begun), (PART, PART));
        }
    }
}
