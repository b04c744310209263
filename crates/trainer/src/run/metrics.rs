//! `metrics.jsonl`: what happened, a JSON object a line.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::fogzo::Probed;
use super::hard::Mined;
use super::loss::HeldOutLoss;
use super::vitals::Layers;
use crate::error::{Error, Result};

/// A line of the metrics. Times are in `tokens_per_second` and in what ends in `seconds`; everything else is
/// the same whenever the run is repeated.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// One step of the optimiser.
    Step {
        /// Updates so far, this one included.
        step: u32,
        /// Mean loss of the batch before the update, in nats per byte.
        loss: f64,
        /// The learning rate of the update.
        learning_rate: f64,
        /// Norm of all gradients together, before they were clipped.
        gradient_norm: f64,
        /// What the routers of mixtures are trained for besides; not part of `loss`.
        #[serde(skip_serializing_if = "Option::is_none")]
        router_loss: Option<f64>,
        /// The share of all ternary codes that the update changed, where there are any.
        #[serde(skip_serializing_if = "Option::is_none")]
        flips: Option<f64>,
        /// Bytes predicted in a second of this step.
        tokens_per_second: f64,
        /// Seconds since the run began.
        seconds: f64,
        /// What mining chose, where it is asked for; `loss` is that of the whole batch.
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        mined: Option<Mined>,
        /// What FOGZO's probes found, in its phase.
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        probed: Option<Probed>,
    },
    /// The loss on the held-out text.
    Evaluation {
        /// Updates so far.
        step: u32,
        /// The loss.
        #[serde(flatten)]
        loss: HeldOutLoss,
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
mod tests {
    use super::*;
    use crate::temporary::TemporaryFolder;

    #[test]
    fn every_line_is_an_object_and_is_there_at_once() {
        let folder = TemporaryFolder::new();
        let path = folder.path().join("metrics.jsonl");
        let mut metrics = Metrics::create(path.clone()).unwrap();
        let step = Record::Step {
            step: 1,
            loss: 2.5,
            learning_rate: 0.5,
            gradient_norm: 1.0,
            router_loss: None,
            flips: None,
            tokens_per_second: 10.0,
            seconds: 1.5,
            mined: None,
            probed: None,
        };
        let loss = HeldOutLoss { nats_per_byte: 1.0, predictions: 7 };
        metrics.write(&step).unwrap();
        metrics.write(&Record::Evaluation { step: 1, loss, seconds: 2.0 }).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["kind"], &lines[0]["loss"]), (&"step".into(), &2.5.into()));
        for absent in ["fogzo_seconds", "router_loss", "flips"] {
            assert!(lines[0].get(absent).is_none(), "{absent}");
        }
        let evaluation = &lines[1];
        assert_eq!(evaluation["kind"], "evaluation");
        assert_eq!(
            (&evaluation["nats_per_byte"], &evaluation["predictions"]),
            (&1.0.into(), &7.into())
        );
        assert!(Metrics::create(path).is_err());
    }
}
