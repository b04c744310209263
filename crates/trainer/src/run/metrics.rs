//! `metrics.jsonl`: what happened, a JSON object a line.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use nn::Memory;
use serde::{Deserialize, Serialize};

use super::fogzo::Probed;
use super::folder::{cut, length_of, sync};
use super::hard::Mined;
use super::vitals::Layers;
use crate::error::{Error, Result};
use crate::measure::{HeldOutLoss, Measure};

/// A line of the metrics. Times are in `tokens_per_second` and in what ends in `seconds`, and `peak_memory`
/// is the machine's; everything else is the same whenever the run is repeated. Losses are in nats for each
/// byte, or each token where the first line says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// What the run is; the first line.
    Start(Start),
    /// One step of the optimiser.
    Step(StepRecord),
    /// A step that changed nothing, because of a number that is not finite.
    Skipped {
        /// The step, counted from 1.
        step: u32,
        /// The first tensor or layer with such a number, on the way back from the loss where it is a gradient.
        tensor: String,
        /// What of it: `gradient`, `activations` or `loss`.
        what: String,
        /// The number: `NaN`, `inf` or `-inf`, which JSON has no numbers for.
        value: String,
        /// Seconds since the run began.
        seconds: f64,
    },
    /// A loss far above what was usual.
    Spike {
        /// The step, counted from 1.
        step: u32,
        /// Its loss.
        loss: f64,
        /// What was usual.
        usual: f64,
        /// Seconds since the run began.
        seconds: f64,
    },
    /// The loss on the held-out text.
    Evaluation {
        /// Updates so far.
        step: u32,
        /// The loss.
        #[serde(flatten)]
        loss: HeldOutLoss,
        /// The same in bits for each byte, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bits_per_byte: Option<f64>,
        /// Seconds since the run began.
        seconds: f64,
    },
    /// The ternary matrices, at each evaluation.
    Layers {
        /// Updates so far.
        step: u32,
        /// The matrices.
        #[serde(flatten)]
        layers: Layers,
        /// Seconds since the run began.
        seconds: f64,
    },
    /// What the model writes.
    Sample {
        /// Updates so far.
        step: u32,
        /// What it goes on with.
        prompt: String,
        /// What it wrote.
        text: String,
        /// Seconds since the run began.
        seconds: f64,
    },
}

/// What a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Steps that it is to take.
    pub steps: u32,
    /// Numbers that it trains.
    pub parameters: usize,
    /// The unit of its losses.
    #[serde(flatten)]
    pub measure: Measure,
    /// The generator's own loss on the held-out text, where there is one: no model is below it on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// The loss of a simple model of the same text, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// Bytes of packed weights.
    pub packed: usize,
    /// Bytes of latent weights.
    pub latent: usize,
    /// Bytes of all other weights.
    pub other: usize,
}

/// One step of the optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Updates so far, this one included.
    pub step: u32,
    /// Mean loss of the batch before the update.
    pub loss: f64,
    /// The learning rate of the update.
    pub learning_rate: f64,
    /// The decay of the update.
    #[serde(default)]
    pub weight_decay: f64,
    /// Norm of all gradients together, before they were clipped.
    pub gradient_norm: f64,
    /// What the routers of mixtures are trained for besides; not part of `loss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router_loss: Option<f64>,
    /// The mean divergence from the teacher, where there is one; not part of `loss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<f64>,
    /// The share of all ternary codes that the update changed, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flips: Option<f64>,
    /// Bytes or tokens predicted in a second of this step.
    pub tokens_per_second: f64,
    /// Seconds since the run began.
    pub seconds: f64,
    /// What mining chose, where it is asked for; `loss` is that of the whole batch.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub mined: Option<Mined>,
    /// What FOGZO's probes found, in its phase.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub probed: Option<Probed>,
    /// The most memory that the process has had so far, in bytes, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
}

impl Start {
    /// Bytes of all weights.
    pub fn memory(&self) -> Memory {
        Memory { packed: self.packed, latent: self.latent, other: self.other }
    }
}

impl Record {
    /// The name of the file in the folder of a run.
    pub const FILE: &str = "metrics.jsonl";

    /// The step it is about; none for the first line.
    pub fn step(&self) -> Option<u32> {
        match self {
            Self::Start(_) => None,
            Self::Step(record) => Some(record.step),
            Self::Skipped { step, .. }
            | Self::Spike { step, .. }
            | Self::Evaluation { step, .. }
            | Self::Layers { step, .. }
            | Self::Sample { step, .. } => Some(*step),
        }
    }

    /// The record of a line; none of a kind that another version wrote.
    ///
    /// # Errors
    /// What is wrong with a line that is no record.
    pub fn parse(line: &str) -> serde_json::Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow)]
            kind: std::borrow::Cow<'a, str>,
        }
        const KINDS: [&str; 7] =
            ["start", "step", "skipped", "spike", "evaluation", "layers", "sample"];
        let kind: Kind<'_> = serde_json::from_str(line)?;
        let is_known = KINDS.contains(&&*kind.kind);
        is_known.then(|| serde_json::from_str(line)).transpose()
    }

    /// Every record of a file. The last line of a run that was killed may be half a line, which is left out.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Metrics`] for a line that is no record.
    pub fn read(path: &Path) -> Result<Vec<Self>> {
        Self::parse_all(path, &fs::read(path).map_err(Error::file("read", path))?)
    }

    /// Every record of the content of a file.
    ///
    /// # Errors
    /// As [`Record::read`].
    pub(super) fn parse_all(path: &Path, bytes: &[u8]) -> Result<Vec<Self>> {
        let text = String::from_utf8_lossy(bytes);
        let mut records = Vec::new();
        for (index, line) in text.split_inclusive('\n').enumerate() {
            match Self::parse(line) {
                Ok(record) => records.extend(record),
                Err(_) if !line.ends_with('\n') => {}
                Err(problem) => {
                    let (path, line) = (path.to_owned(), index + 1);
                    return Err(Error::Metrics { path, line, problem: problem.to_string() });
                }
            }
        }
        Ok(records)
    }
}

/// The metrics of a run. Each line is in the file as soon as it is written.
#[derive(Debug)]
pub struct Metrics {
    file: File,
    path: PathBuf,
    line: Vec<u8>,
}

impl Metrics {
    /// A new file.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn create(path: PathBuf) -> Result<Self> {
        let file = File::create_new(&path).map_err(Error::file("create", &path))?;
        Ok(Self { file, path, line: Vec::new() })
    }

    /// A file that is there, cut to its first `length` bytes, to be gone on with.
    ///
    /// # Errors
    /// [`Error::File`], also for a file that is shorter.
    pub fn resume(path: PathBuf, length: u64) -> Result<Self> {
        let file = cut(&path, length)?;
        Ok(Self { file, path, line: Vec::new() })
    }

    /// Bytes so far: what [`Metrics::resume`] cuts the file to.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn length(&self) -> Result<u64> {
        length_of(&self.file, &self.path)
    }

    /// Has all lines so far survive a loss of power.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn sync(&self) -> Result<()> {
        sync(&self.file, &self.path)
    }

    /// Adds a line.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&mut self, record: &Record) -> Result<()> {
        self.line.clear();
        let write = |line: &mut Vec<u8>, file: &mut File| {
            serde_json::to_writer(&mut *line, record)?;
            line.push(b'\n');
            file.write_all(line)
        };
        write(&mut self.line, &mut self.file).map_err(Error::file("write", &self.path))
    }
}

#[cfg(test)]
mod tests;
