//! What a run reads: its examples, and what is held out of them.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::baseline::ByteModel;
use super::example::Example;
use super::samples::{Samples, SamplesRequest, are_samples, check_text};
use super::shuffle::TrainingWindows;
use super::stories::Stories;
use super::text::FileText;
use super::tokens::TokenizerFile;
use super::{VOCABULARY, evaluation_windows};
use crate::config::Configuration;
use crate::error::{Error, Result};
use crate::measure::{Measure, Unit};
use crate::run::{TOKENIZER, model_folder};

/// Which text, and how it is cut.
#[derive(Debug, Clone, PartialEq)]
pub struct CorpusRequest {
    /// A file, a folder or a pattern; none for stories.
    pub data: Option<PathBuf>,
    /// The same for what is held out; none for the end of the text.
    pub valid: Option<PathBuf>,
    /// The `tokenizer.json`; none for bytes.
    pub tokenizer: Option<PathBuf>,
    /// The folder for tokens; none for the user's cache folder.
    pub cache: Option<PathBuf>,
    /// The share of the text that is held out, where it is the end of it.
    pub held_out: f64,
    /// Tokens that a window predicts.
    pub length: usize,
    /// Windows evaluated at most.
    pub windows: usize,
    /// The seed of the run.
    pub seed: u64,
    /// How files of samples (`.jsonl`) are read; none takes them for text, as all other files.
    pub samples: Option<SamplesRequest>,
}

impl CorpusRequest {
    /// The text that a configuration asks for. Adapters learn it as the tokens of their model.
    ///
    /// # Errors
    /// A run that has left no model for adapters.
    pub fn of(configuration: &Configuration) -> Result<Self> {
        let Configuration { run, data, batch, evaluation, samples, lora, .. } = configuration;
        let model = lora.model.as_deref().map(model_folder).transpose()?;
        let own = model.as_ref().map(|model| model.join(TOKENIZER)).filter(|path| path.exists());
        Ok(Self {
            data: run.data.clone(),
            valid: run.valid.clone(),
            tokenizer: run.tokenizer.clone().or(own),
            cache: data.cache.clone(),
            held_out: evaluation.held_out,
            length: batch.length,
            windows: evaluation.windows,
            seed: run.seed,
            samples: model.map(|model| SamplesRequest {
                model,
                skips_bad_lines: samples.skip_bad_lines,
                long: samples.long,
                packs: samples.pack,
                learns_prompts: samples.with_prompts,
            }),
        })
    }
}

/// The text of a run: examples to learn from, each a function of its number, and examples that are held out.
#[derive(Debug)]
pub struct Corpus {
    source: Source,
    identity: String,
}

#[derive(Debug)]
enum Source {
    Stories(Stories),
    Text(Box<Text>),
    Samples(Box<Samples>),
}

/// A text in files.
#[derive(Debug)]
struct Text {
    all: FileText,
    /// Tokens from the beginning that are trained on.
    training: usize,
    windows: TrainingWindows,
    /// A text of its own that is held out; otherwise that is the rest.
    valid: Option<FileText>,
    held_out: Range<usize>,
    /// Windows of the held-out tokens, counted from the first of them.
    held_out_windows: Vec<Range<usize>>,
    tokenizer: Option<TokenizerFile>,
}

impl Corpus {
    /// Opens the text; `tell` hears of what takes long.
    ///
    /// # Errors
    /// Files that cannot be read or are no text for the tokenizer, texts that are too short, windows that no story
    /// fits in, lines that are no samples.
    pub fn open(request: &CorpusRequest, tell: &mut dyn FnMut(fmt::Arguments<'_>)) -> Result<Self> {
        let source = match (&request.data, &request.samples) {
            (None, _) => {
                Source::Stories(Stories::new(request.seed, request.length, request.windows)?)
            }
            (Some(data), Some(samples)) if are_samples(data)? => {
                Source::Samples(Box::new(Samples::open(data, request, samples, tell)?))
            }
            (Some(data), samples) => {
                for text in [Some(data), request.valid.as_ref()].into_iter().flatten() {
                    samples.as_ref().map_or(Ok(()), |samples| check_text(text, samples))?;
                }
                Source::Text(Box::new(Text::open(data, request, tell)?))
            }
        };
        let mut hash = Sha256::new();
        match &source {
            Source::Stories(stories) => {
                hash.update(b"stories");
                hash.update(stories.story(0));
                stories.held_out().for_each(|story| hash.update(story));
            }
            Source::Text(text) => text.identify(&mut hash)?,
            Source::Samples(samples) => samples.identify(&mut hash),
        }
        for number in [request.seed, request.length as u64, request.windows as u64] {
            hash.update(number.to_le_bytes());
        }
        let identity = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { source, identity })
    }

    /// Tokens that a model of this text needs.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer_file().map_or(VOCABULARY, |file| file.tokenizer.vocabulary())
    }

    /// What a token stands for, and the bytes of the held-out text for each where there is a tokenizer. Where the end
    /// of the text is held out, those are the whole text's: the tokens do not say where their bytes end.
    pub fn measure(&self) -> Measure {
        let unit = if self.tokenizer_file().is_some() { Unit::Token } else { Unit::Byte };
        Measure {
            unit,
            bytes_per_token: self.text().and_then(|text| text.measured().bytes_per_token),
        }
    }

    /// The file of the tokenizer.
    pub fn tokenizer(&self) -> Option<&Path> {
        self.tokenizer_file().map(|file| &*file.path)
    }

    /// What tokens stand for, bytes that are no text replaced.
    ///
    /// # Errors
    /// A tokenizer that fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        let bytes = match self.tokenizer_file() {
            Some(file) => file.tokenizer.decode(tokens)?,
            None => to_bytes(tokens),
        };
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Tokens to train on; none where they have no end.
    pub fn training_tokens(&self) -> Option<u64> {
        match &self.source {
            Source::Stories(_) => None,
            Source::Text(text) => Some(text.training as u64),
            Source::Samples(samples) => Some(samples.training_tokens()),
        }
    }

    /// Tokens that are held out.
    pub fn held_out_tokens(&self) -> u64 {
        match &self.source {
            Source::Stories(stories) => stories.held_out_count() as u64 * stories.length() as u64,
            Source::Text(text) => text.held_out.len() as u64,
            Source::Samples(samples) => samples.held_out_tokens(),
        }
    }

    /// Replaces `example` by example `index` of the run, a window of it. Any thread may ask, in any order.
    ///
    /// # Errors
    /// [`Error::TextChanged`] where a file is not what it was when it was opened; [`Error::File`].
    pub fn example(&self, index: u64, example: &mut Example) -> Result<()> {
        match &self.source {
            Source::Stories(stories) => {
                example.set_text(&to_tokens(&stories.window(&stories.story(index))));
            }
            Source::Text(text) => example.set_text(&text.all.read(text.windows.window(index))?),
            Source::Samples(samples) => samples.example(index, example),
        }
        Ok(())
    }

    /// Windows, or samples, that are evaluated.
    pub fn held_out_windows(&self) -> usize {
        match &self.source {
            Source::Stories(stories) => stories.held_out_count(),
            Source::Text(text) => text.held_out_windows.len(),
            Source::Samples(samples) => samples.held_out_count(),
        }
    }

    /// What is evaluated, each window or sample by itself. All tokens of a window but the first are predicted; the last
    /// may be shorter. An error is that of [`Corpus::example`].
    pub fn held_out(&self) -> impl Iterator<Item = Result<Example>> + '_ {
        (0..self.held_out_windows()).map(|index| match &self.source {
            Source::Stories(stories) => {
                let story = stories.held_out_story(index as u64);
                Ok(Example::of_text(&to_tokens(&stories.window(&story))))
            }
            Source::Text(text) => Ok(Example::of_text(&text.held_out_window(index)?)),
            Source::Samples(samples) => Ok(samples.held_out(index)),
        })
    }

    /// The loss of the generator itself over the held-out windows, in nats per token, where there is one: the least that a
    /// model can have on average. On these windows a model may be a little below.
    pub fn floor(&self) -> Option<f64> {
        match &self.source {
            Source::Stories(stories) => Some(stories.floor()),
            Source::Text(_) | Source::Samples(_) => None,
        }
    }

    /// The loss of a model that sees the three bytes before each over the same predictions, in nats per byte; none for
    /// the tokens of a tokenizer, and for samples. It has counted up to 2 MiB of the text to train on.
    ///
    /// # Errors
    /// Those of [`Corpus::example`].
    pub fn baseline(&self) -> Result<Option<f64>> {
        const BYTES: usize = 2 << 20;
        const PARTS: usize = 32;
        let texts: Vec<Vec<u8>> = match &self.source {
            Source::Stories(stories) => {
                let count = (BYTES / stories.length()).max(1) as u64;
                (0..count).map(|number| stories.window(&stories.story(number))).collect()
            }
            Source::Text(text) if text.tokenizer.is_none() => {
                // A long text in parts, spread evenly: it may change on its way.
                let count = if text.training <= BYTES { 1 } else { PARTS };
                let length = text.training.min(BYTES) / count;
                let last = (text.training - length) as u128;
                let part = |part: usize| {
                    let start = (part as u128 * last / (count as u128 - 1).max(1)) as usize;
                    Ok(to_bytes(&text.all.read(start..start + length)?))
                };
                (0..count).map(part).collect::<Result<_>>()?
            }
            Source::Text(_) | Source::Samples(_) => return Ok(None),
        };
        let held_out = self.held_out().map(|example| {
            let Example { mut tokens, targets, .. } = example?;
            // Of a text the last token is predicted alone.
            tokens.extend(targets.last());
            Ok(to_bytes(&tokens))
        });
        Ok(Some(ByteModel::count(&texts).loss(held_out)?))
    }

    /// A hash of the text, of samples of it where it is long, and of how it is cut: a run that is resumed must find the
    /// same.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    fn text(&self) -> Option<&Text> {
        match &self.source {
            Source::Text(text) => Some(text),
            Source::Stories(_) | Source::Samples(_) => None,
        }
    }

    fn tokenizer_file(&self) -> Option<&TokenizerFile> {
        match &self.source {
            Source::Stories(_) => None,
            Source::Text(text) => text.tokenizer.as_ref(),
            Source::Samples(samples) => samples.tokenizer.as_ref(),
        }
    }
}

fn to_tokens(bytes: &[u8]) -> Vec<u32> {
    bytes.iter().copied().map(u32::from).collect()
}

/// Tokens of bytes as such.
fn to_bytes(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().map(|&token| token as u8).collect()
}

impl Text {
    fn open(
        data: &Path,
        request: &CorpusRequest,
        tell: &mut dyn FnMut(fmt::Arguments<'_>),
    ) -> Result<Self> {
        let tokenizer = request.tokenizer.as_deref().map(TokenizerFile::open).transpose()?;
        let mut open =
            |data: &Path| FileText::open(data, tokenizer.as_ref(), request.cache.as_deref(), tell);
        let all = open(data)?;
        let length = request.length;
        let (training, held_out, valid) = match &request.valid {
            None => {
                let training = training_tokens(all.len(), request.held_out, length)?;
                (training, training..all.len(), None)
            }
            Some(path) => {
                let valid = open(path)?;
                if valid.len() < 2 {
                    return Err(Error::data(path, "at least 2 tokens", "1"));
                }
                (all.len(), 0..valid.len(), Some(valid))
            }
        };
        let too_short = Error::TextTooShort { expected: length + 1, found: training, length };
        Ok(Self {
            windows: TrainingWindows::new(request.seed, training, length).ok_or(too_short)?,
            held_out_windows: evaluation_windows(held_out.len(), length, request.windows),
            all,
            training,
            valid,
            held_out,
            tokenizer,
        })
    }

    /// A window that is evaluated.
    fn held_out_window(&self, index: usize) -> Result<Vec<u32>> {
        let (window, first) = (&self.held_out_windows[index], self.held_out.start);
        self.measured().read(first + window.start..first + window.end)
    }

    /// The text that some of is held out.
    fn measured(&self) -> &FileText {
        self.valid.as_ref().unwrap_or(&self.all)
    }

    fn identify(&self, hash: &mut Sha256) -> Result<()> {
        hash.update(b"text");
        hash.update(self.all.tokens.digest()?);
        hash.update((self.training as u64).to_le_bytes());
        if let Some(valid) = &self.valid {
            hash.update(valid.tokens.digest()?);
        }
        if let Some(tokenizer) = &self.tokenizer {
            hash.update(tokenizer.digest);
        }
        Ok(())
    }
}

/// Tokens of a text that are trained on, where its end is held out: the last ⌈`share` · tokens⌉, or as many as one
/// window of `length` predictions needs, where that is more.
///
/// # Errors
/// [`Error::TextTooShort`] when either part is shorter than a window.
fn training_tokens(tokens: usize, share: f64, length: usize) -> Result<usize> {
    let window = length + 1;
    let held_out = ((tokens as f64 * share).ceil() as usize).max(window);
    match tokens.checked_sub(held_out) {
        Some(training) if training >= window => Ok(training),
        _ => {
            let expected = (2 * window).max((window as f64 / (1.0 - share)).ceil() as usize);
            Err(Error::TextTooShort { expected, found: tokens, length })
        }
    }
}

#[cfg(test)]
mod tests;
