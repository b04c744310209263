//! How well a model predicts a text.

use std::fmt;
use std::io::{Write as _, stderr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use interop::tokenizer::Tokenizer;
use models::{Batch, Decoder, DecoderConfig};
use nn::Tape;

use super::progress::Progress;
use crate::adapters;
use crate::config;
use crate::data::{
    Example, FileText, Long, SamplesRequest, TokenizerFile, Window, are_samples, check_unasked,
    read, samples_of, sliding_windows,
};
use crate::error::{Error, Result};
use crate::measure::{HeldOutLoss, Measure, Unit};
use crate::visible::Visible;
use crate::vocabulary::{check_ids, read_ids};

/// The loss over some windows, each of one sequence.
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
    windows: impl IntoIterator<Item = Result<Example>>,
    tell: &mut dyn FnMut(usize),
) -> Result<HeldOutLoss> {
    let mut tape = Tape::inference();
    let (mut nats, mut predictions) = (0.0, 0);
    for (index, window) in windows.into_iter().enumerate() {
        let Example { sequences, tokens, targets, .. } = window?;
        let batch = Batch { sequences, tokens: &tokens, targets: &targets };
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
    /// The folder of the adapters beside it, if there are any.
    pub adapter: Option<PathBuf>,
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
    /// Windows or samples at most; otherwise as many as there are.
    pub windows: Option<usize>,
    /// Whether lines that are no samples are left out.
    pub skips_bad_lines: bool,
    /// Whether the prompts of samples count too.
    pub learns_prompts: bool,
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
    /// Windows that were read, or samples.
    pub windows: usize,
    /// Tokens that a window predicts, or a sample at the most.
    pub length: usize,
    /// Tokens from the beginning of a window to that of the next; none for samples.
    pub stride: Option<usize>,
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
        let Self { loss, measure, windows, length, stride, seconds, data } = self;
        let (predictions, unit) = (loss.predictions, measure.unit.name());
        write!(
            f,
            "loss {} over {predictions} {unit}s of {}",
            loss.measured(*measure),
            data.display()
        )?;
        match stride {
            Some(stride) => write!(f, " in windows of {length}, one every {stride}")?,
            None => write!(f, " in {windows} samples of at most {length}")?,
        }
        write!(f, ", {seconds:.1} s")
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
        let tokenizer = tokenizer_of(model, vocabulary)?;
        let tell = &mut |line: fmt::Arguments<'_>| drop(writeln!(stderr(), "{}", Visible(line)));
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

/// How a model reads text; none for bytes.
///
/// # Errors
/// [`Error::NoTokenizer`] for a model of other tokens without one.
fn tokenizer_of(model: &Path, vocabulary: usize) -> Result<Option<TokenizerFile>> {
    match Tokenizer::find(model)? {
        Some(path) => Ok(Some(TokenizerFile::open(&path)?)),
        // Bytes, or nothing that is known.
        None if Tokenizer::open(model, vocabulary)?.is_some() => Ok(None),
        None => Err(Error::NoTokenizer { model: model.to_owned(), vocabulary }),
    }
}

/// Loads a model and evaluates it on a text, which is encoded as it would be to train on and read window by window, or
/// on samples (`.jsonl`), each alone.
///
/// # Errors
/// A model or a text that cannot be read, a text of fewer than two tokens, tokens that the model does not have, windows
/// longer than the model takes, lines that are no samples.
pub fn evaluate_file(request: &EvaluationRequest) -> Result<Evaluation> {
    let start = Instant::now();
    // A text that is not there is told before a large model is read.
    let has_samples = are_samples(&request.data)? && !request.is_ids;
    if has_samples && request.stride.is_some() {
        return Err(config::Error::Contradiction {
            keys: "stride, data",
            expected: "a text, over which windows move",
            found: "samples, each of which is read alone".to_owned(),
        }
        .into());
    }
    if !has_samples {
        check_unasked(request.skips_bad_lines || request.learns_prompts)?;
    }
    let DecoderConfig { vocabulary, positions, .. } = interop::shape(&request.model)?;
    let length = request.length.unwrap_or(positions.min(LENGTH));
    if length > positions {
        return Err(Error::WindowTooLong { positions, length });
    }
    let limit = request.windows.unwrap_or(usize::MAX);
    if has_samples {
        return evaluate_samples(request, vocabulary, length, limit, start);
    }
    let model = adapters::open(&request.model, request.adapter.as_deref())?;
    let (tokens, measure) = Tokens::open(request, vocabulary)?;
    let stride = request.stride.unwrap_or(length);
    if !(1..=length).contains(&stride) {
        return Err(Error::Stride { length, stride });
    }
    let windows = sliding_windows(tokens.len(), length, stride, limit);
    if windows.is_empty() {
        return Err(Error::TextTooShort { expected: 2, found: tokens.len(), length: 1 });
    }
    let what = request.data.display().to_string();
    let of_text = |Window { range, context }: &Window| {
        let window = tokens.read(range.clone())?;
        check_ids(&what, range.start, &window, vocabulary)?;
        let mut example = Example::of_text(&window);
        example.ignore_first(*context);
        Ok(example)
    };
    Ok(Evaluation {
        loss: watched(&model, "window", windows.iter().map(of_text))?,
        measure,
        windows: windows.len(),
        length,
        stride: Some(stride),
        seconds: start.elapsed().as_secs_f64(),
        data: request.data.clone(),
    })
}

/// The same on samples, at most `limit` of them and `length` predictions of each. A bad line is told before a large model
/// is read.
fn evaluate_samples(
    request: &EvaluationRequest,
    vocabulary: usize,
    length: usize,
    limit: usize,
    start: Instant,
) -> Result<Evaluation> {
    let tokenizer = tokenizer_of(&request.model, vocabulary)?;
    let samples = SamplesRequest {
        model: request.model.clone(),
        skips_bad_lines: request.skips_bad_lines,
        long: Long::Cut,
        packs: false,
        learns_prompts: request.learns_prompts,
    };
    let (data, tell) = (&request.data, &mut |line: fmt::Arguments<'_>| {
        drop(writeln!(stderr(), "{}", Visible(line)))
    });
    let samples = samples_of(data, &samples, tokenizer.as_ref(), length, limit, tell)?;
    for sample in &samples {
        check_ids(&data.display().to_string(), 0, &sample.tokens, vocabulary)?;
    }
    let unit = if tokenizer.is_some() { Unit::Token } else { Unit::Byte };
    let windows = samples.len();
    let model = adapters::open(&request.model, request.adapter.as_deref())?;
    Ok(Evaluation {
        loss: watched(&model, "sample", samples.into_iter().map(Ok))?,
        measure: Measure { unit, bytes_per_token: None },
        windows,
        length,
        stride: None,
        seconds: start.elapsed().as_secs_f64(),
        data: data.clone(),
    })
}

/// The loss, with a bar; `what` is what a window is called.
fn watched(
    model: &Decoder<f32>,
    what: &'static str,
    windows: impl ExactSizeIterator<Item = Result<Example>>,
) -> Result<HeldOutLoss> {
    let count = u32::try_from(windows.len()).unwrap_or(u32::MAX);
    let progress = Progress::new(count, (count / 10).max(8));
    let loss = evaluate(model, windows, &mut |done| progress.done(what, done as u32));
    progress.finish();
    loss
}

#[cfg(test)]
mod tests {
    use models::{Initial, WeightKind};
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
                    samples: None,
                };
                Corpus::open(&request, &mut |_| ()).unwrap()
            };
            for data in [texts.clone(), texts.join("*.txt"), texts.join("b.txt")] {
                let corpus = corpus(data.clone());
                let expected = evaluate(&model, corpus.held_out(), &mut |_| {}).unwrap();
                let found = evaluate_file(&EvaluationRequest {
                    model: saved.clone(),
                    adapter: None,
                    data: data.clone(),
                    is_ids: false,
                    cache: cache.clone(),
                    length: Some(4),
                    stride: None,
                    windows: None,
                    skips_bad_lines: false,
                    learns_prompts: false,
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
        let windows = || [[97, 98, 99], [100, 101, 102]].map(|text| Ok(Example::of_text(&text)));
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
