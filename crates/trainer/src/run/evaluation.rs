//! How well a model predicts a text.

use std::fmt;
use std::io::{Write as _, stderr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use interop::tokenizer::Tokenizer;
use models::{Batch, Decoder};
use nn::ops::IGNORED;
use nn::{Sequences, Tape};

use super::progress::Progress;
use crate::data::{FileText, TokenizerFile, Window, files_of, read, sliding_windows};
use crate::error::{Error, Result};
use crate::measure::{HeldOutLoss, Measure, Unit};
use crate::vocabulary::{check_ids, read_ids};

/// The loss over some windows, each of tokens of which all but the first are predicted.
///
/// Each window runs alone, so that the loss does not depend on how windows are grouped: the trainer and
/// `ternary eval` report the same bits. A token counts once for each window that predicts it. `tell` hears of
/// each window that is done.
///
/// # Errors
/// [`Error::Model`] for activations or a loss that are not finite, or a window longer than the model takes; a window
/// that cannot be read.
pub(super) fn evaluate(
    model: &Decoder<f32>,
    windows: impl IntoIterator<Item = Result<Vec<u32>>>,
    tell: &mut dyn FnMut(usize),
) -> Result<HeldOutLoss> {
    evaluate_parts(model, windows.into_iter().map(|window| Ok((window?, 0))), tell)
}

/// The same of windows whose first predictions do not count: so many of each.
fn evaluate_parts(
    model: &Decoder<f32>,
    windows: impl IntoIterator<Item = Result<(Vec<u32>, usize)>>,
    tell: &mut dyn FnMut(usize),
) -> Result<HeldOutLoss> {
    let mut tape = Tape::inference();
    let (mut nats, mut predictions) = (0.0, 0);
    let mut targets = Vec::new();
    for (index, window) in windows.into_iter().enumerate() {
        let (window, context) = window?;
        let tokens = &window[..window.len().saturating_sub(1)];
        targets.clear();
        targets.extend(window.iter().skip(1));
        targets.iter_mut().take(context).for_each(|target| *target = IGNORED);
        let sequences = Sequences { count: 1, length: tokens.len() };
        let batch = Batch { sequences, tokens, targets: &targets };
        let loss = model.loss(batch, &mut tape)?;
        if !loss.mean.is_finite() {
            let (layer, value) = ("evaluation".into(), loss.mean);
            let what = "losses of the windows";
            return Err(nn::Error::NonFinite { layer, what, index, value }.into());
        }
        nats += loss.mean * loss.count as f64;
        predictions += loss.count as u64;
        tell(index + 1);
    }
    Ok(HeldOutLoss { nats: nats / predictions as f64, predictions })
}

/// What `ternary eval` is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationRequest {
    /// The folder of the model.
    pub model: PathBuf,
    /// The text: a file, a folder or a pattern.
    pub data: PathBuf,
    /// Whether it is a file that holds the numbers of tokens.
    pub is_ids: bool,
    /// The folder for tokens of a text; none for the user's cache folder.
    pub cache: Option<PathBuf>,
    /// Tokens that a window predicts; otherwise as many as the model has positions, at most 2048.
    pub length: Option<usize>,
    /// Tokens from the beginning of a window to that of the next; otherwise as many as it predicts.
    pub stride: Option<usize>,
    /// Windows at most; otherwise as many as cover the text.
    pub windows: Option<usize>,
}

/// Tokens that a window predicts where nothing else is asked for: real models have more positions than memory.
const LENGTH: usize = 2048;

/// The loss of a model on a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The loss for each token.
    pub loss: HeldOutLoss,
    /// Whether tokens are bytes, and how many bytes of the file each stands for where they are not.
    pub measure: Measure,
    /// Windows that were read.
    pub windows: usize,
    /// Tokens that a window predicts.
    pub length: usize,
    /// Tokens from the beginning of a window to that of the next.
    pub stride: usize,
    /// How long it took.
    pub seconds: f64,
    /// The text.
    pub data: PathBuf,
}

impl Evaluation {
    /// The same as a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "nats_per_byte": self.measure.nats_per_byte(self.loss.nats),
            "bits_per_byte": self.measure.bits_per_byte(self.loss.nats),
            "nats_per_token": self.loss.nats,
            "perplexity": self.loss.perplexity(),
            "predictions": self.loss.predictions,
            "windows": self.windows,
            "length": self.length,
            "stride": self.stride,
            "seconds": self.seconds,
        })
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loss, measure, length, stride, seconds, data, .. } = self;
        let (predictions, unit) = (loss.predictions, measure.unit.name());
        write!(
            f,
            "loss {} over {predictions} {unit}s of {}",
            loss.measured(*measure),
            data.display()
        )?;
        write!(f, " in windows of {length}, one every {stride}, {seconds:.1} s")
    }
}

/// What an evaluation reads.
enum Tokens {
    /// Those of a list.
    Ids(Vec<u32>),
    /// Those of a text, encoded as for training.
    Text(FileText),
}

impl Tokens {
    fn open(request: &EvaluationRequest, vocabulary: usize) -> Result<(Self, Measure)> {
        let of_tokens = |bytes_per_token| Measure { unit: Unit::Token, bytes_per_token };
        let EvaluationRequest { model, data, cache, .. } = request;
        if request.is_ids {
            let list = read(data)?;
            let ids = read_ids(&data.display().to_string(), &String::from_utf8_lossy(&list))?;
            return Ok((Self::Ids(ids), of_tokens(None)));
        }
        let tokenizer = match Tokenizer::find(model)? {
            Some(path) => Some(TokenizerFile::open(&path)?),
            // Bytes, or nothing that is known.
            None if Tokenizer::open(model, vocabulary)?.is_some() => None,
            None => return Err(Error::NoTokenizer { model: model.to_owned(), vocabulary }),
        };
        let tell = &mut |line: fmt::Arguments<'_>| drop(writeln!(stderr(), "{line}"));
        let text = FileText::open(data, tokenizer.as_ref(), cache.as_deref(), tell)?;
        let measure =
            if tokenizer.is_some() { of_tokens(text.bytes_per_token) } else { Measure::BYTES };
        Ok((Self::Text(text), measure))
    }

    fn len(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::Text(text) => text.len(),
        }
    }

    fn read(&self, range: Range<usize>) -> Result<Vec<u32>> {
        match self {
            Self::Ids(ids) => Ok(ids[range].to_vec()),
            Self::Text(text) => text.read(range),
        }
    }
}

/// Loads a model and evaluates it on a text, which is encoded as it would be to train on and read window by window.
///
/// # Errors
/// A model or a text that cannot be read, a text of fewer than two tokens, tokens that the model does not have, windows
/// longer than the model takes.
pub fn evaluate_file(request: &EvaluationRequest) -> Result<Evaluation> {
    let start = Instant::now();
    // A text that is not there is told before a large model is read.
    files_of(&request.data)?;
    let model = interop::open(&request.model)?;
    let vocabulary = model.config().vocabulary;
    let (tokens, measure) = Tokens::open(request, vocabulary)?;
    let positions = model.config().positions;
    let length = request.length.unwrap_or(positions.min(LENGTH));
    if length > positions {
        return Err(Error::WindowTooLong { positions, length });
    }
    let stride = request.stride.unwrap_or(length);
    if !(1..=length).contains(&stride) {
        return Err(Error::Stride { length, stride });
    }
    let limit = request.windows.unwrap_or(usize::MAX);
    let windows = sliding_windows(tokens.len(), length, stride, limit);
    if windows.is_empty() {
        return Err(Error::TextTooShort { expected: 2, found: tokens.len(), length: 1 });
    }
    let count = u32::try_from(windows.len()).unwrap_or(u32::MAX);
    let progress = Progress::new(count, (count / 10).max(8));
    let tell = &mut |done: usize| progress.done("window", done as u32);
    let what = request.data.display().to_string();
    let of_text = |Window { range, context }: &Window| {
        let window = tokens.read(range.clone())?;
        check_ids(&what, range.start, &window, vocabulary)?;
        Ok((window, *context))
    };
    let loss = evaluate_parts(&model, windows.iter().map(of_text), tell);
    progress.finish();
    Ok(Evaluation {
        loss: loss?,
        measure,
        windows: windows.len(),
        length,
        stride,
        seconds: start.elapsed().as_secs_f64(),
        data: request.data.clone(),
    })
}

#[cfg(test)]
mod tests {
    use models::{DecoderConfig, Initial, WeightKind};
    use nn::{Module, Rounding};

    use super::*;
    use crate::data::{Corpus, CorpusRequest, WORDS};
    use crate::temporary::TemporaryFolder;

    fn tiny(vocabulary: usize) -> Decoder<f32> {
        let config = DecoderConfig { layers: 1, vocabulary, ..DecoderConfig::tiny() };
        Decoder::build(config, &mut Initial { seed: 1, kind: WeightKind::Dense }).unwrap()
    }

    #[test]
    fn a_text_is_read_and_encoded_as_it_is_for_training() {
        let folder = TemporaryFolder::new();
        let texts = folder.path().join("texts");
        std::fs::create_dir(&texts).unwrap();
        for (name, text) in [("a.txt", "one two\nthree"), ("b.txt", "three one é four")] {
            std::fs::write(texts.join(name), text).unwrap();
        }
        for tokenizer in [None, Some(WORDS)] {
            let model = tiny(if tokenizer.is_some() { 6 } else { 256 });
            let saved = folder.path().join(format!("model-{}", tokenizer.is_some()));
            interop::save_with(&model, &saved, tokenizer.map(str::as_bytes)).unwrap();
            let cache = Some(folder.path().join("cache"));
            let corpus = |valid: PathBuf| {
                let tokenizer = tokenizer.map(|_| saved.join("tokenizer.json"));
                let data = Some(folder.file("long.txt", "one two three ".repeat(20)));
                let (valid, cache) = (Some(valid), cache.clone());
                let (held_out, length, windows, seed) = (0.5, 4, 1000, 1);
                let request = CorpusRequest {
                    data,
                    valid,
                    tokenizer,
                    cache,
                    held_out,
                    length,
                    windows,
                    seed,
                };
                Corpus::open(&request, &mut |_| ()).unwrap()
            };
            for data in [texts.clone(), texts.join("*.txt"), texts.join("b.txt")] {
                let corpus = corpus(data.clone());
                let expected = evaluate(&model, corpus.held_out(), &mut |_| {}).unwrap();
                let found = evaluate_file(&EvaluationRequest {
                    model: saved.clone(),
                    data: data.clone(),
                    is_ids: false,
                    cache: cache.clone(),
                    length: Some(4),
                    stride: None,
                    windows: None,
                });
                let found = found.unwrap();
                assert_eq!((found.loss, found.measure), (expected, corpus.measure()), "{data:?}");
            }
        }
    }

    /// Finite weights can be so large that products of them are not.
    #[test]
    fn a_loss_that_is_not_finite_is_an_error_and_no_result() {
        let mut model = tiny(256);
        let windows = || [vec![97, 98, 99], vec![100, 101, 102]].map(Ok);
        assert!(evaluate(&model, windows(), &mut |_| {}).is_ok());
        let norm =
            model.parameters().ids().find(|&id| model.parameters().name(id) == "model.norm.weight");
        model.visit_mut(&mut |id, mut values| {
            if Some(id) == norm {
                values.update(Rounding::Nearest, |_, gains| gains.fill(f32::MAX));
            }
        });
        let error = evaluate(&model, windows(), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("losses of the windows: expected finite numbers"), "{error}");
    }
}
