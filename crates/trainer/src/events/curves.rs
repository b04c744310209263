//! Which records of the metrics become which curves.

use super::message::{Event, Value};
use crate::run::{Layers, Record, Start, StepRecord};

/// Turns records into events. It remembers the levels that the first record tells, which stand beside each evaluation.
#[derive(Debug, Default)]
pub(super) struct Curves {
    start: Option<Start>,
}

impl Curves {
    /// The events of a record.
    pub(super) fn events(&mut self, record: &Record, time: f64) -> Vec<Event> {
        let values = match record {
            Record::Start(start) => {
                self.start = Some(*start);
                Vec::new()
            }
            Record::Step(step) => of_step(step),
            Record::Evaluation { loss, bits_per_byte, .. } => {
                let Start { floor, baseline, .. } = self.start.unwrap_or_default();
                let all = [
                    ("held_out/loss", Some(loss.nats)),
                    ("held_out/bits_per_byte", *bits_per_byte),
                    ("held_out/floor", floor),
                    ("held_out/baseline", baseline),
                    ("held_out/above_floor", floor.map(|floor| loss.nats - floor)),
                ];
                present(&all)
            }
            Record::Layers { layers, .. } => of_layers(layers),
            Record::Sample { prompt, text, .. } => {
                vec![Value::text("sample", &format!("{prompt}{text}"))]
            }
            Record::Skipped { .. } => vec![Value::scalar("train/skipped", 1.0)],
            Record::Spike { loss, .. } => vec![Value::scalar("train/spike", *loss)],
        };
        let step = record.step().unwrap_or(0);
        if values.is_empty() { Vec::new() } else { vec![Event::new(time, step, values)] }
    }
}

fn of_step(step: &StepRecord) -> Vec<Value> {
    present(&[
        ("train/loss", Some(step.loss)),
        ("train/learning_rate", Some(step.learning_rate)),
        ("train/weight_decay", Some(step.weight_decay)),
        ("train/gradient_norm", Some(step.gradient_norm)),
        ("train/router_loss", step.router_loss),
        ("train/divergence", step.divergence),
        ("train/flips", step.flips),
        ("speed/tokens_per_second", Some(step.tokens_per_second)),
        ("speed/peak_memory", step.peak_memory.map(|bytes| bytes as f64)),
        ("mining/kept", step.mined.map(|mined| mined.kept as f64)),
        ("fogzo/promised_slope", step.probed.map(|probed| probed.promised_slope)),
        ("fogzo/measured_slope", step.probed.map(|probed| probed.measured_slope)),
    ])
}

fn of_layers(layers: &Layers) -> Vec<Value> {
    let mut values = present(&[
        ("ternary/sparsity", Some(layers.sparsity)),
        ("ternary/flips", Some(layers.flips)),
    ]);
    for matrix in &layers.matrices {
        let name = matrix.name.strip_suffix(".weight").unwrap_or(&matrix.name);
        for (what, value) in [
            ("sparsity", Some(matrix.sparsity)),
            ("effective_bits", Some(matrix.effective_bits)),
            ("flips", Some(matrix.flips)),
            ("scale", matrix.scales.mean()),
            ("scale_drift", matrix.scale_drift),
            ("dead_zone", matrix.dead_zone),
        ] {
            values.extend(value.map(|value| Value::scalar(&format!("{what}/{name}"), value)));
        }
        for (what, spread) in &matrix.learned {
            values.push(Value::scalar(&format!("learned_{what}/{name}"), spread.mean));
        }
        let histogram = matrix.histogram.as_ref();
        values.extend(histogram.map(|found| Value::histogram(&format!("latent/{name}"), found)));
    }
    for (name, spread) in &layers.shared {
        values.push(Value::scalar(&format!("shared/{name}"), spread.mean));
    }
    values
}

fn present(all: &[(&str, Option<f64>)]) -> Vec<Value> {
    all.iter().filter_map(|(tag, value)| Some(Value::scalar(tag, (*value)?))).collect()
}
