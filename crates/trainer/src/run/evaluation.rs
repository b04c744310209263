//! How well a model predicts a text.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use models::{Batch, Decoder};
use nn::{Sequences, Tape};

use super::loss::HeldOutLoss;
use crate::data::{evaluation_windows, read};
use crate::error::{Error, Result};

/// The loss over some windows of a text.
///
/// Each window runs alone, so that the loss does not depend on how windows are grouped: the trainer and
/// `ternary eval` report the same bits. A byte counts once for each window that predicts it.
///
/// # Errors
/// Activations or a loss that are not finite, or a window longer than the model takes.
pub(super) fn evaluate(
    model: &Decoder<f32>,
    text: &[u8],
    windows: &[Range<usize>],
) -> models::Result<HeldOutLoss> {
    let mut tape = Tape::inference();
    let (mut nats, mut predictions) = (0.0, 0);
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    for (index, window) in windows.iter().enumerate() {
        let (first, last) = (window.start, window.end - 1);
        tokens.clear();
        tokens.extend(text[first..last].iter().map(|&byte| u32::from(byte)));
        targets.clear();
        targets.extend(text[first + 1..=last].iter().map(|&byte| u32::from(byte)));
        let sequences = Sequences { count: 1, length: tokens.len() };
        let batch = Batch { sequences, tokens: &tokens, targets: &targets };
        let loss = model.loss(batch, &mut tape)?;
        if !loss.mean.is_finite() {
            let (layer, value) = ("evaluation".into(), loss.mean);
            Err(nn::Error::NonFinite { layer, what: "losses of the windows", index, value })?;
        }
        nats += loss.mean * loss.count as f64;
        predictions += loss.count as u64;
    }
    Ok(HeldOutLoss { nats_per_byte: nats / predictions as f64, predictions })
}

/// What `ternary eval` is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationRequest {
    /// The folder of the model.
    pub model: PathBuf,
    /// The file of the text.
    pub data: PathBuf,
    /// Bytes that a window predicts; otherwise as many as the model has positions.
    pub length: Option<usize>,
    /// Windows at most; otherwise as many as cover the text.
    pub windows: Option<usize>,
}

/// The loss of a model on a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The loss.
    pub loss: HeldOutLoss,
    /// Windows that were read.
    pub windows: usize,
    /// Bytes that a window predicts.
    pub length: usize,
    /// How long it took.
    pub seconds: f64,
    /// The text.
    pub data: PathBuf,
}

impl Evaluation {
    /// The same as a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "nats_per_byte": self.loss.nats_per_byte,
            "bits_per_byte": self.loss.bits_per_byte(),
            "perplexity": self.loss.perplexity(),
            "predictions": self.loss.predictions,
            "windows": self.windows,
            "length": self.length,
            "seconds": self.seconds,
        })
    }
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { loss, length, seconds, data, .. } = self;
        let predictions = loss.predictions;
        write!(f, "loss {loss} over {predictions} bytes of {} ", data.display())?;
        write!(f, "in windows of {length}, {seconds:.1} s")
    }
}

/// Loads a model and evaluates it on a file.
///
/// # Errors
/// A model or a text that cannot be read, a text of fewer than two bytes, windows longer than the model
/// takes.
pub fn evaluate_file(request: &EvaluationRequest) -> Result<Evaluation> {
    let start = Instant::now();
    let text = read(&request.data)?;
    let model = interop::load(&request.model)?;
    let positions = model.config().positions;
    let length = request.length.unwrap_or(positions);
    if length > positions {
        return Err(Error::WindowTooLong { positions, length });
    }
    let windows = evaluation_windows(text.len(), length, request.windows.unwrap_or(usize::MAX));
    if windows.is_empty() {
        return Err(Error::TextTooShort { expected: 2, found: text.len(), length: 1 });
    }
    let loss = evaluate(&model, &text, &windows)?;
    let seconds = start.elapsed().as_secs_f64();
    let data = request.data.clone();
    Ok(Evaluation { loss, windows: windows.len(), length, seconds, data })
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
        let windows = [0..3, 3..6];
        assert!(evaluate(&model, b"abcdef", &windows).is_ok());
        let norm =
            model.parameters().ids().find(|&id| model.parameters().name(id) == "model.norm.weight");
        model.visit_mut(&mut |id, mut values| {
            if Some(id) == norm {
                values.update(Rounding::Nearest, |_, gains| gains.fill(f32::MAX));
            }
        });
        let error = evaluate(&model, b"abcdef", &windows).unwrap_err().to_string();
        assert!(error.contains("losses of the windows: expected finite numbers"), "{error}");
    }
}
