//! A run in one line, and as the last file that it writes.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use nn::Memory;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::write_whole;
use super::metrics::Start;
use super::replace::ADAPTER;
use super::vitals::Vitals;
use crate::error::{Error, Result};
use crate::measure::{HeldOutLoss, Measure};

/// What came out of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of this crate.
    pub version: String,
    /// Why it ended: [`Summary::FINISHED`], or what ended it before its last step, in words.
    pub stopped: String,
    /// Steps of the optimiser.
    pub steps: u32,
    /// What the run was to be.
    pub start: Start,
    /// The loss on the held-out text after the last step.
    pub held_out: HeldOutLoss,
    /// The least loss of all evaluations.
    pub best: Best,
    /// Seconds from reading the text to the saved model.
    pub seconds: f64,
    /// Bytes or tokens predicted in training, in a second of training.
    pub tokens_per_second: f64,
    /// The most memory that the process had, in bytes, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Seconds of it that mining took, if there was any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mining_seconds: Option<f64>,
    /// Seconds of it that FOGZO's probes took, if there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fogzo_seconds: Option<f64>,
    /// The vital signs of the ternary weights, if there were any that trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vitals: Option<Vitals>,
    /// The saved model, or the saved adapters.
    pub model: PathBuf,
}

/// The evaluation with the least loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Updates before it.
    pub step: u32,
    /// Its loss, in nats.
    pub nats: f64,
}

impl Summary {
    /// Why a run ended that took all its steps.
    pub const FINISHED: &str = "finished";

    /// The name of the file in the folder of a run.
    pub const FILE: &str = "summary.json";

    /// The unit of the losses.
    pub fn measure(&self) -> Measure {
        self.start.measure
    }

    /// How far the loss is above the least that is possible, where that is known.
    pub fn above_floor(&self) -> Option<f64> {
        self.start.floor.map(|floor| self.held_out.nats - floor)
    }

    /// Bytes of all weights.
    pub fn memory(&self) -> Memory {
        self.start.memory()
    }

    /// The same as a JSON object, with the numbers that follow from others.
    pub fn to_json(&self) -> Value {
        // Names and numbers alone: turning them into a value cannot fail but for a path that is no Unicode.
        let mut json = serde_json::to_value(self).unwrap_or_default();
        let nats = self.held_out.nats;
        json["held_out"]["perplexity"] = self.held_out.perplexity().into();
        json["held_out"]["bits_per_byte"] = self.measure().bits_per_byte(nats).into();
        json["above_floor"] = self.above_floor().into();
        json
    }

    /// Writes it into the folder of its run, whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text = format!("{:#}\n", self.to_json());
        write_whole(&folder.join(Self::FILE), text.as_bytes())
    }

    /// That of a run; none where it is not finished.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::RunFile`] for a file that is no summary.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(Self::FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|problem| {
            let expected = "the summary of a run, as this version writes it".to_owned();
            Error::RunFile { path, expected, found: problem.to_string() }
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held_out, steps, seconds, tokens_per_second, .. } = self;
        write!(f, "held-out loss {}", held_out.measured(self.measure()))?;
        if let Some((floor, above)) = self.start.floor.zip(self.above_floor()) {
            write!(f, ", floor {floor:.4} ({above:.4} above)")?;
        }
        write!(f, " after {steps} steps in {seconds:.1} s, {tokens_per_second:.0} tokens/s")?;
        for (seconds, what) in [(self.mining_seconds, "mining"), (self.fogzo_seconds, "FOGZO")] {
            if let Some(seconds) = seconds {
                write!(f, ", {seconds:.1} s of it for {what}")?;
            }
        }
        if let Some(Vitals { sparsity, flips }) = self.vitals {
            let (zeros, flips) = (100.0 * sparsity, 100.0 * flips);
            write!(f, "; {zeros:.1}% of the trits are 0 and {flips:.3}% changed in a step")?;
        }
        if self.stopped != Self::FINISHED {
            write!(f, "; stopped by {}", self.stopped)?;
        }
        let what = if self.model.ends_with(ADAPTER) { "adapters are" } else { "model is" };
        write!(f, "; the {what} in {}", self.model.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryFolder;

    fn summary() -> Summary {
        Summary {
            version: "0.1.0".into(),
            stopped: Summary::FINISHED.into(),
            steps: 400,
            start: Start {
                steps: 400,
                parameters: 1000,
                measure: Measure::BYTES,
                floor: None,
                baseline: None,
                packed: 1,
                latent: 2,
                other: 3,
            },
            held_out: HeldOutLoss { nats: 1.0, predictions: 256 },
            best: Best { step: 300, nats: 0.9 },
            seconds: 83.21,
            tokens_per_second: 9876.5,
            peak_memory: None,
            mining_seconds: None,
            fogzo_seconds: None,
            vitals: None,
            model: "runs/tiny-0001/model".into(),
        }
    }

    #[test]
    fn it_is_one_line_with_loss_steps_time_rate_and_place() {
        let summary = summary();
        assert_eq!(
            summary.to_string(),
            "held-out loss 1.0000 nats/byte (1.4427 bits/byte, perplexity 2.718) after 400 steps in \
             83.2 s, 9876 tokens/s; the model is in runs/tiny-0001/model"
        );
        let told = Summary { model: "runs/a/adapter".into(), ..summary.clone() }.to_string();
        assert!(told.ends_with("; the adapters are in runs/a/adapter"), "{told}");
        let told = Summary { fogzo_seconds: Some(20.04), ..summary.clone() }.to_string();
        assert!(told.contains("tokens/s, 20.0 s of it for FOGZO; the model"), "{told}");
        let start = Start { floor: Some(0.75), ..summary.start };
        let told = Summary { start, ..summary.clone() }.to_string();
        assert!(told.contains("2.718), floor 0.7500 (0.2500 above) after 400 steps"), "{told}");
        let stopped = "early-stop".into();
        let vitals = Some(Vitals { sparsity: 0.3127, flips: 0.00125 });
        let told = Summary { vitals, stopped, ..summary }.to_string();
        let signs = "; 31.3% of the trits are 0 and 0.125% changed in a step; stopped by early-stop; the model";
        assert!(told.contains(signs), "{told}");
    }

    #[test]
    fn the_file_is_read_back_and_tells_what_follows_from_it() {
        let folder = TemporaryFolder::new();
        assert_eq!(Summary::read(folder.path()).unwrap(), None);
        let start = Start { floor: Some(0.75), ..summary().start };
        let vitals = Some(Vitals { sparsity: 0.1 + 0.2, flips: 1e-9 });
        let summary = Summary { start, vitals, peak_memory: Some(7), ..summary() };
        summary.write(folder.path()).unwrap();
        assert_eq!(Summary::read(folder.path()).unwrap(), Some(summary.clone()));
        let json = summary.to_json();
        assert_eq!(json["above_floor"], 0.25);
        assert_eq!(json["held_out"]["perplexity"], 1.0_f64.exp());
        assert!(json["held_out"]["bits_per_byte"].as_f64().unwrap() > 1.44, "{json}");
        assert_eq!(
            (&json["start"]["unit"], &json["stopped"]),
            (&"byte".into(), &"finished".into())
        );
    }

    #[test]
    fn a_file_that_is_no_summary_is_named() {
        let folder = TemporaryFolder::new();
        for wrong in ["", "{}", "[1]", "{\"version\":1}"] {
            folder.file(Summary::FILE, wrong);
            let error = Summary::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains("summary.json: expected the summary of a run"), "{error}");
        }
    }
}
