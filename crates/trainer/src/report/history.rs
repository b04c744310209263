//! What the folder of a run tells.

use std::path::{Path, PathBuf};

use super::settings::{self, Chosen};
use crate::error::{Error, Result};
use crate::run::{Layers, Measure, Record, Start, StepRecord, Summary};

/// A run as its folder tells it, finished or not.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The folder.
    pub(super) folder: PathBuf,
    pub(super) settings: Vec<Chosen>,
    /// What it is, unless an older version made it.
    pub(super) start: Option<Start>,
    pub(super) steps: Vec<StepRecord>,
    /// Updates and held-out loss, in nats.
    pub(super) evaluations: Vec<(u32, f64)>,
    /// Updates and matrices.
    pub(super) layers: Vec<(u32, Layers)>,
    pub(super) samples: Vec<Sample>,
    pub(super) incidents: Vec<Incident>,
    /// What came out, if it is finished.
    pub(super) summary: Option<Summary>,
}

/// What the model wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) step: u32,
    pub(super) prompt: String,
    pub(super) text: String,
}

/// A step that was left out, or a loss far above what was usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incident {
    pub(super) step: u32,
    /// What happened, in words.
    pub(super) what: String,
}

impl History {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// [`Error::RunFile`] for a folder that is none of a run, and for files that hold something else;
    /// [`Error::Metrics`], [`Error::File`].
    pub fn read(folder: &Path) -> Result<Self> {
        let (config, metrics) = (folder.join("config.toml"), folder.join(Record::FILE));
        let missing: Vec<&str> = [(&config, "config.toml"), (&metrics, Record::FILE)]
            .into_iter()
            .filter(|(path, _)| !path.is_file())
            .map(|(_, name)| name)
            .collect();
        if !missing.is_empty() {
            let kind = if folder.is_dir() { "a folder" } else { "no folder" };
            let expected = format!("the folder of a run, with config.toml and {}", Record::FILE);
            let found = format!("{kind} without {}", missing.join(" and "));
            return Err(Error::RunFile { path: folder.to_owned(), expected, found });
        }
        let mut history = Self {
            folder: folder.to_owned(),
            settings: settings::read(&config)?,
            start: None,
            steps: Vec::new(),
            evaluations: Vec::new(),
            layers: Vec::new(),
            samples: Vec::new(),
            incidents: Vec::new(),
            summary: Summary::read(folder)?,
        };
        Record::read(&metrics)?.into_iter().for_each(|record| history.add(record));
        Ok(history)
    }

    fn add(&mut self, record: Record) {
        match record {
            Record::Start(start) => self.start = Some(start),
            Record::Step(step) => self.steps.push(step),
            Record::Evaluation { step, loss, .. } => self.evaluations.push((step, loss.nats)),
            Record::Layers { step, layers, .. } => self.layers.push((step, layers)),
            Record::Sample { step, prompt, text, .. } => {
                self.samples.push(Sample { step, prompt, text });
            }
            Record::Skipped { step, tensor, what, value, .. } => {
                let place = if tensor.is_empty() { String::new() } else { format!(" of {tensor}") };
                let what = format!("left out: the {what}{place} was {value}");
                self.incidents.push(Incident { step, what });
            }
            Record::Spike { step, loss, usual, .. } => {
                let what = format!("loss {loss:.3} where {usual:.3} was usual");
                self.incidents.push(Incident { step, what });
            }
        }
    }

    /// The name of its folder.
    pub fn name(&self) -> String {
        let whole = std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let name = whole.file_name().unwrap_or(self.folder.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Steps so far.
    pub(super) fn steps_done(&self) -> u32 {
        self.steps.last().map_or(0, |step| step.step)
    }

    /// Steps that it is to take, where that is known.
    pub(super) fn steps_planned(&self) -> Option<u32> {
        let told = self.start.map(|start| start.steps);
        told.or_else(|| self.setting("steps")?.parse().ok())
    }

    /// The value of a setting.
    pub(super) fn setting(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|chosen| chosen.key == key)?.value.as_deref()
    }

    /// The unit of its losses.
    pub(super) fn measure(&self) -> Measure {
        self.start.map_or(Measure::BYTES, |start| start.measure)
    }

    /// The last held-out loss.
    pub(super) fn held_out(&self) -> Option<f64> {
        let finished = self.summary.as_ref().map(|summary| summary.held_out.nats);
        finished.or(self.evaluations.last().map(|&(_, nats)| nats))
    }

    /// The least held-out loss, with its step.
    pub(super) fn best(&self) -> Option<(u32, f64)> {
        self.evaluations.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))
    }

    pub(super) fn floor(&self) -> Option<f64> {
        self.start.and_then(|start| start.floor)
    }

    /// Seconds so far.
    pub(super) fn seconds(&self) -> Option<f64> {
        let finished = self.summary.as_ref().map(|summary| summary.seconds);
        finished.or(self.steps.last().map(|step| step.seconds))
    }

    /// Tokens in a second of training. Of an unfinished run, the harmonic mean over its steps, which are of one size:
    /// n / Σ 1 / r.
    pub(super) fn tokens_per_second(&self) -> Option<f64> {
        let of_steps = || {
            let times: f64 = self.steps.iter().map(|step| 1.0 / step.tokens_per_second).sum();
            Some(self.steps.len() as f64 / times).filter(|rate| rate.is_finite())
        };
        self.summary.as_ref().map(|summary| summary.tokens_per_second).or_else(of_steps)
    }

    /// The most memory so far.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        let finished = self.summary.as_ref().and_then(|summary| summary.peak_memory);
        finished.max(self.steps.iter().filter_map(|step| step.peak_memory).max())
    }

    /// The share of zeros among ternary weights, as last told.
    pub(super) fn sparsity(&self) -> Option<f64> {
        self.layers.last().map(|(_, layers)| layers.sparsity)
    }

    /// How the run stands, in words, and whether it is finished.
    pub(super) fn status(&self) -> (String, bool) {
        match &self.summary {
            Some(summary) if summary.stopped == Summary::FINISHED => ("finished".to_owned(), true),
            Some(summary) => (format!("stopped by {}", summary.stopped), true),
            None => {
                let done = self.steps_done();
                let of =
                    self.steps_planned().map_or(String::new(), |planned| format!(" of {planned}"));
                (format!("unfinished: step {done}{of}"), false)
            }
        }
    }
}
