//! How well a model predicts a text.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use interop::tokenizer::Tokenizer;
use models::{Batch, Decoder};
use nn::ops::IGNORED;
use nn::{Sequences, Tape};

use super::progress::Progress;
use crate::data::{Window, read, sliding_windows};
use crate::error::{Error, Result};
use crate::measure::{HeldOutLoss, Measure, Unit};
use crate::vocabulary::{check_ids, encode, read_ids};

/// The loss over some windows, each of tokens of which all but the first are predicted.
///
/// Each window runs alone, so that the loss does not depend on how windows are grouped: the trainer and
/// `ternary eval` report the same bits. A token counts once for each window that predicts it. `tell` hears of
/// each window that is done.
///
/// # Errors
/// Activations or a loss that are not finite, or a window longer than the model takes.
pub(super) fn evaluate(
    model: &Decoder<f32>,
    windows: impl IntoIterator<Item = impl AsRef<[u32]>>,
    tell: &mut dyn FnMut(usize),
) -> models::Result<HeldOutLoss> {
    evaluate_parts(model, windows.into_iter().map(|window| (window, 0)), tell)
}

/// The same of windows whose first predictions do not count: so many of each.
fn evaluate_parts<W: AsRef<[u32]>>(
    model: &Decoder<f32>,
    windows: impl IntoIterator<Item = (W, usize)>,
    tell: &mut dyn FnMut(usize),
) -> models::Result<HeldOutLoss> {
    let mut tape = Tape::inference();
    let (mut nats, mut predictions) = (0.0, 0);
    let mut targets = Vec::new();
    for (index, (window, context)) in windows.into_iter().enumerate() {
        let window = window.as_ref();
        let tokens = &window[..window.len().saturating_sub(1)];
        targets.clear();
        targets.extend(window.iter().skip(1));
        targets.iter_mut().take(context).for_each(|target| *target = IGNORED);
        let sequences = Sequences { count: 1, length: tokens.len() };
        let batch = Batch { sequences, tokens, targets: &targets };
        let loss = model.loss(batch, &mut tape)?;
        if !loss.mean.is_finite() {
            let (layer, value) = ("evaluation".into(), loss.mean);
            Err(nn::Error::NonFinite { layer, what: "losses of the windows", index, value })?;
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
    /// The file of the text.
    pub data: PathBuf,
    /// Whether the file holds the numbers of tokens.
    pub is_ids: bool,
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

/// Loads a model and evaluates it on a file.
///
/// # Errors
/// A model or a text that cannot be read, a text of fewer than two tokens, windows longer than the model
/// takes.
pub fn evaluate_file(request: &EvaluationRequest) -> Result<Evaluation> {
    let start = Instant::now();
    let text = read(&request.data)?;
    let model = interop::open(&request.model)?;
    let (tokens, is_bytes) = if request.is_ids {
        let what = request.data.display().to_string();
        let ids = read_ids(&what, &String::from_utf8_lossy(&text))?;
        check_ids(&what, &ids, model.config().vocabulary)?;
        (ids, false)
    } else {
        let tokenizer = Tokenizer::open(&request.model, model.config().vocabulary)?;
        let is_bytes = tokenizer.as_ref().is_some_and(Tokenizer::is_bytes);
        (encode(tokenizer.as_ref(), &text, &request.model)?, is_bytes)
    };
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
    let of_text = |window: &Window| (&tokens[window.range.clone()], window.context);
    let loss = evaluate_parts(&model, windows.iter().map(of_text), tell);
    progress.finish();
    let bytes_per_token = (!request.is_ids).then(|| text.len() as f64 / tokens.len() as f64);
    let of_tokens = Measure { unit: Unit::Token, bytes_per_token };
    Ok(Evaluation {
        loss: loss?,
        measure: if is_bytes { Measure::BYTES } else { of_tokens },
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

    /// Finite weights can be so large that products of them are not.
    #[test]
    fn a_loss_that_is_not_finite_is_an_error_and_no_result() {
        let config = DecoderConfig { layers: 1, ..DecoderConfig::tiny() };
        let mut model =
            Decoder::build(config, &mut Initial { seed: 1, kind: WeightKind::Dense }).unwrap();
        let windows = [[97, 98, 99], [100, 101, 102]];
        assert!(evaluate(&model, windows, &mut |_| {}).is_ok());
        let norm =
            model.parameters().ids().find(|&id| model.parameters().name(id) == "model.norm.weight");
        model.visit_mut(&mut |id, mut values| {
            if Some(id) == norm {
                values.update(Rounding::Nearest, |_, gains| gains.fill(f32::MAX));
            }
        });
        let error = evaluate(&model, windows, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("losses of the windows: expected finite numbers"), "{error}");
    }
}
