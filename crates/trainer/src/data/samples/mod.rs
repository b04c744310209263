//! Samples: texts of their own, a line of JSON for each, to fine-tune a model on.
//!
//! | line | is learnt |
//! |---|---|
//! | `{"text": "…"}` | all of it |
//! | `{"prompt": "…", "completion": "…"}` | the completion |
//! | `{"messages": [{"role": "user", "content": "…"}, …]}` | what the assistant says, as the chat template of the model writes it |
//!
//! No sample sees another: each is a sequence of its own in its window ([`packing`]).
//!
//! | module | holds |
//! |---|---|
//! | [`line`] | what a line says |
//! | [`encode`] | samples to tokens, and which of them are learnt |
//! | [`reading`] | files of lines, and the samples of them that fit a window |
//! | [`split`] | which samples are held out |
//! | [`packing`] | samples side by side in windows |

mod encode;
mod line;
mod packing;
mod reading;
mod split;

use std::fmt;
use std::path::{Path, PathBuf};

use nn::Sequences;
use nn::ops::IGNORED;
use sha2::{Digest as _, Sha256};

use self::encode::Encoder;
use self::packing::{Packs, Sharing};
pub use self::reading::BadLine;
use self::reading::{Reading, Store};
use super::example::Example;
use super::tokens::TokenizerFile;
use super::{CorpusRequest, files_of};
use crate::chat::Template;
use crate::config;
use crate::error::{Error, Result};

/// How files of samples end.
const ENDING: &str = "jsonl";

/// How files end that may be of samples too, but are no text.
const ENDINGS_OF_OTHERS: [&str; 2] = ["json", "ndjson"];

/// How a model of bytes is talked with where nothing else is known: what was thought is written in the last message alone.
const TEMPLATE: &str = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\
                        {% if loop.last and m.thought %}({{ m.thought }}){% endif %}\n{% endfor %}\
                        {% if add_generation_prompt %}<assistant>{% endif %}";

/// The token that sequences are filled up with: any will do, for nothing sees it and nothing is learnt from it.
const FILLING: u32 = 0;

/// How samples are read.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplesRequest {
    /// The folder of the model, which says how conversations are written and what ends a text.
    pub model: PathBuf,
    /// Whether bad lines are left out and counted.
    pub skips_bad_lines: bool,
    /// What is done with samples that no window holds.
    pub long: Long,
    /// Whether short samples share windows.
    pub packs: bool,
    /// Whether prompts are learnt too.
    pub learns_prompts: bool,
}

/// What is done with a sample of more tokens than a window has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Long {
    /// Its end is cut off; where nothing to learn is left, it is a bad line.
    #[default]
    Cut,
    /// It is a bad line.
    Refuse,
}

/// The samples of a run.
#[derive(Debug)]
pub(super) struct Samples {
    all: Store,
    packs: Packs,
    /// Samples of their own that are held out, if there are such.
    valid: Option<Store>,
    /// The samples that are evaluated, of those or of all.
    held_out: Vec<usize>,
    /// Tokens to train on, and tokens that are held out.
    counts: [u64; 2],
    pub(super) tokenizer: Option<TokenizerFile>,
}

/// Whether a text is a file of samples, or several; an error where some are and others are not.
///
/// # Errors
/// [`Error::Data`]; those of [`files_of`].
pub(crate) fn are_samples(data: &Path) -> Result<bool> {
    let files = files_of(data)?;
    match files.iter().filter(|file| ends_in(file, &[ENDING])).count() {
        0 => Ok(false),
        count if count == files.len() => Ok(true),
        count => {
            let found = format!("{count} of {} files", files.len());
            Err(Error::data(data, "files of samples (.jsonl) or files of text, not both", found))
        }
    }
}

fn ends_in(file: &Path, endings: &[&str]) -> bool {
    file.extension()
        .is_some_and(|found| endings.iter().any(|ending| found.eq_ignore_ascii_case(ending)))
}

/// Checks that a text to be learnt is not made of JSON alone, and that nothing is asked of samples, of which it is none.
///
/// # Errors
/// [`Error::Data`], [`config::Error::Contradiction`]; those of [`files_of`].
pub(super) fn check_text(data: &Path, samples: &SamplesRequest) -> Result<()> {
    if are_samples(data)? {
        let expected = "a text, as the data";
        return Err(Error::data(data, expected, "samples (.jsonl)"));
    }
    let files = files_of(data)?;
    if !files.is_empty() && files.iter().all(|file| ends_in(file, &ENDINGS_OF_OTHERS)) {
        let expected =
            "a text, or samples, a line of JSON for each, in files whose names end in .jsonl";
        let found = "names that end in .json or .ndjson; rename files that have such lines";
        return Err(Error::data(data, expected, found));
    }
    let SamplesRequest { skips_bad_lines, long, packs, learns_prompts, .. } = *samples;
    check_unasked(skips_bad_lines || long != Long::Cut || !packs || learns_prompts)
}

/// Checks that nothing `is_asked` of samples where the data are a text.
///
/// # Errors
/// [`config::Error::Contradiction`].
pub(crate) fn check_unasked(is_asked: bool) -> Result<()> {
    if !is_asked {
        return Ok(());
    }
    Err(config::Error::Contradiction {
        keys: "data, samples",
        expected: "files of samples (.jsonl) for --skip-bad-lines, --with-prompts, --long-samples and samples.pack",
        found: "a text".to_owned(),
    }
    .into())
}

impl Samples {
    /// Reads all samples; `tell` hears of those that are left out or cut.
    ///
    /// # Errors
    /// Files, a tokenizer or a chat template that cannot be read; bad lines; fewer than two samples.
    pub(super) fn open(
        data: &Path,
        request: &CorpusRequest,
        samples: &SamplesRequest,
        tell: &mut dyn FnMut(fmt::Arguments<'_>),
    ) -> Result<Self> {
        let tokenizer = request.tokenizer.as_deref().map(TokenizerFile::open).transpose()?;
        let reading = Reading::new(samples, tokenizer.as_ref(), request.length)?;
        let all = reading.files(&files_of(data)?, tell)?;
        let mut read_valid = |path: &PathBuf| {
            if !are_samples(path)? {
                return Err(Error::data(path, "samples (.jsonl), as the data", "other files"));
            }
            let store = reading.files(&files_of(path)?, tell)?;
            if store.len() == 0 {
                return Err(Error::data(path, "a sample", "none"));
            }
            Ok(store)
        };
        let valid = request.valid.as_ref().map(&mut read_valid).transpose()?;
        let sides = match &valid {
            Some(_) if all.len() > 0 => vec![false; all.len()],
            None if let Some(sides) = split::held_out(&all.hashes, request.held_out) => sides,
            _ => {
                let expected = "two different samples at least, one of them to hold out";
                let found = format!("{} that are all the same", all.len());
                let found = if all.len() == 0 { "none".to_owned() } else { found };
                return Err(Error::data(data, expected, found));
            }
        };
        let of_side = |side: bool| -> Vec<usize> {
            (0..all.len()).filter(|&sample| sides[sample] == side).collect()
        };
        let held_out = match &valid {
            Some(valid) => (0..valid.len()).collect(),
            None => of_side(true),
        };
        let tokens = |store: &Store, samples: &[usize]| -> u64 {
            samples.iter().map(|&sample| store.get(sample).0.len() as u64).sum()
        };
        let training = of_side(false);
        let counts = [tokens(&all, &training), tokens(valid.as_ref().unwrap_or(&all), &held_out)];
        let lengths: Vec<(usize, usize)> =
            training.iter().map(|&sample| (sample, all.get(sample).0.len())).collect();
        Ok(Self {
            packs: Packs::new(&lengths, request.length, sharing(samples), request.seed),
            held_out: spread(held_out, request.windows),
            all,
            valid,
            counts,
            tokenizer,
        })
    }

    /// Tokens to train on.
    pub(super) fn training_tokens(&self) -> u64 {
        self.counts[0]
    }

    /// Tokens that are held out.
    pub(super) fn held_out_tokens(&self) -> u64 {
        self.counts[1]
    }

    /// Replaces `example` by window `index` of the run.
    pub(super) fn example(&self, index: u64, example: &mut Example) {
        let samples = self.packs.of(index);
        let length = samples.first().map_or(0, |&longest| self.all.get(longest).0.len());
        let Example { sequences, tokens, targets, filling } = example;
        *sequences = Sequences { count: samples.len(), length };
        *filling = 0;
        tokens.clear();
        targets.clear();
        for (place, &sample) in samples.iter().enumerate() {
            let (read, learnt) = self.all.get(sample);
            tokens.extend(read);
            targets.extend(learnt);
            *filling += length - read.len();
            tokens.resize((place + 1) * length, FILLING);
            targets.resize((place + 1) * length, IGNORED);
        }
    }

    /// Samples that are evaluated.
    pub(super) fn held_out_count(&self) -> usize {
        self.held_out.len()
    }

    /// One of them, which is read alone.
    pub(super) fn held_out(&self, index: usize) -> Example {
        self.valid.as_ref().unwrap_or(&self.all).example(self.held_out[index])
    }

    /// Adds all that examples follow from.
    pub(super) fn identify(&self, hash: &mut Sha256) {
        hash.update(b"samples");
        for window in 0..self.packs.per_epoch() as u64 {
            hash.update((self.packs.of(window).len() as u64).to_le_bytes());
        }
        for store in [Some(&self.all), self.valid.as_ref()].into_iter().flatten() {
            hash.update((store.len() as u64).to_le_bytes());
            for sample in 0..store.len() {
                let (tokens, targets) = store.get(sample);
                hash.update((tokens.len() as u64).to_le_bytes());
                for number in tokens.iter().chain(targets) {
                    hash.update(number.to_le_bytes());
                }
            }
        }
        for &sample in &self.held_out {
            hash.update((sample as u64).to_le_bytes());
        }
    }
}

/// The samples of a file, a folder or a pattern, at most `limit` of them and at most `length` tokens of each, to be
/// evaluated one by one. A token is a byte unless there is a tokenizer.
///
/// # Errors
/// As [`Corpus::open`](super::Corpus::open) of such files; [`Error::Data`] where there are none.
pub(crate) fn samples_of(
    data: &Path,
    samples: &SamplesRequest,
    tokenizer: Option<&TokenizerFile>,
    length: usize,
    limit: usize,
    tell: &mut dyn FnMut(fmt::Arguments<'_>),
) -> Result<Vec<Example>> {
    let store = Reading::new(samples, tokenizer, length)?.files(&files_of(data)?, tell)?;
    if store.len() == 0 {
        return Err(Error::data(data, "a sample", "none"));
    }
    let chosen = spread((0..store.len()).collect(), limit);
    Ok(chosen.into_iter().map(|sample| store.example(sample)).collect())
}

/// Whether a line is a sample of which a model of bytes, with a plain chat template, has something to learn in a window of
/// `length` predictions; how many tokens it reads of each sample that the line comes to, cut to the window.
///
/// ```
/// assert_eq!(trainer::data::check_sample(br#"{"prompt": "a", "completion": "bc"}"#, 8), Ok(vec![2]));
/// assert!(trainer::data::check_sample(br#"{"prompt": "a"}"#, 8).is_err());
/// ```
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_sample(line: &[u8], length: usize) -> Result<Vec<usize>, String> {
    let request = SamplesRequest {
        model: PathBuf::new(),
        skips_bad_lines: false,
        long: Long::Cut,
        packs: true,
        learns_prompts: false,
    };
    let template = Some(Template::of(TEMPLATE).map_err(|error| error.to_string())?);
    let encoder = Encoder { tokenizer: None, template, end: None, learns_prompts: false, length };
    Reading { encoder, request: &request, length }.tokens(line)
}

/// The token that ends what a model says: the first that it stops at, or else the one that is called so.
fn end_token(model: &Path, tokenizer: Option<&TokenizerFile>) -> Result<Option<u32>> {
    let Some(file) = tokenizer else { return Ok(None) };
    let stops = interop::end_tokens(model)?;
    let known = stops.into_iter().find(|&token| (token as usize) < file.tokenizer.vocabulary());
    Ok(known.or(file.tokenizer.end()))
}

/// Which samples share a window; a model that cannot be read is an error of the run.
fn sharing(samples: &SamplesRequest) -> Sharing {
    let has_experts = || interop::shape(&samples.model).is_ok_and(|model| model.mixture.is_some());
    match samples.packs {
        false => Sharing::Alone,
        true if has_experts() => Sharing::Equals,
        true => Sharing::Filled,
    }
}

/// At most `limit` of them, evenly from the first to the last.
fn spread(samples: Vec<usize>, limit: usize) -> Vec<usize> {
    if samples.len() <= limit {
        return samples;
    }
    let last = samples.len() as u128 - 1;
    let steps = (limit as u128).saturating_sub(1).max(1);
    (0..limit as u128).map(|place| samples[(place * last / steps) as usize]).collect()
}

#[cfg(test)]
mod tests;
