//! The disk of a run, worked out from its configuration alone.

use super::memory::bytes;
use super::shape::Shape;
use crate::config::Configuration;

/// What a run leaves on disk at its end, in bytes, within a half.
///
/// ```text
/// checkpoints  those that stay, and the one that is written before the oldest goes
/// metrics      a line for each step, and for each evaluation lines of the loss, of each ternary matrix and of a sample
/// events       the same again as TensorBoard reads it
/// report       at most 1000 points of each curve, and a table of matrices
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct PlannedDisk {
    /// The saved model.
    pub model: u64,
    /// That of the best evaluation.
    pub best: u64,
    /// All checkpoints that are there at the same time.
    pub checkpoints: u64,
    /// `metrics.jsonl`.
    pub metrics: u64,
    /// The event file.
    pub events: u64,
    /// `report.html`.
    pub report: u64,
}

/// Bytes of a step, of an evaluation, and of a ternary matrix at an evaluation, as measured: in the metrics, and in the
/// events.
const METRICS: [u128; 3] = [320, 900, 640];
const EVENTS: [u128; 3] = [360, 800, 950];
/// Bytes of a report without a run, of each point of all its curves together, and of a matrix.
const REPORT: [u128; 3] = [64 << 10, 900, 4 << 10];
/// Points of a curve at most.
const POINTS: u128 = 1000;

impl PlannedDisk {
    /// That of a run whose model and each of whose checkpoints has so many bytes.
    pub(super) fn of(
        configuration: &Configuration,
        shape: &Shape,
        model: u64,
        checkpoint: u64,
    ) -> Self {
        let run = &configuration.run;
        let evaluations = run.steps.div_ceil(configuration.evaluation.every).max(1);
        let checkpoints = match run.checkpoint_every {
            None => evaluations,
            // At Ctrl-C.
            Some(0) => 1,
            Some(every) => (run.steps / every).max(1),
        };
        let staying = u64::from(checkpoints).min((run.keep_last as u64).saturating_add(1));
        let matrices = if configuration.is_float() { 0 } else { shape.matrices };
        let [steps, evaluations] = [run.steps, evaluations].map(u128::from);
        let lines = |[step, evaluation, matrix]: [u128; 3]| {
            bytes(step * steps + evaluations * (evaluation + matrix * matrices))
        };
        let [empty, point, row] = REPORT;
        Self {
            model,
            best: if configuration.evaluation.keep_best { model } else { 0 },
            checkpoints: staying.saturating_mul(checkpoint),
            metrics: lines(METRICS),
            events: lines(EVENTS),
            report: bytes(empty + point * steps.min(POINTS) + row * matrices),
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        let Self { model, best, checkpoints, metrics, events, report } = *self;
        [model, best, checkpoints, metrics, events, report].into_iter().fold(0, u64::saturating_add)
    }
}
