//! Cases of short training of an adapter, by the optimiser that trains elsewhere.

use std::path::Path;

use lora_backward::Adapters;
use models::Decoder;
use nn::Compute;

use super::files::Files;
use super::{TokenRows, adapted, token_rows};
use crate::descent::Descent;
use crate::fixtures::model::training::Start;
use crate::fixtures::oracle::adamw::Settings;
use crate::parity::Outcome;
use crate::parity::measure::{Measurement, Tolerance};

/// What every case has.
const STEPS: usize = 20;
/// Of each loss.
const F64_LOSS: f64 = 1e-8;
const F32_LOSS: f64 = 1e-2;
/// Of the largest number of a tensor of the adapter, after the last step.
const F64_TRAINED: f64 = 1e-6;

/// Runs a case: the losses before each step in both precisions, and the adapters after the last step.
pub(in crate::parity) fn train(path: &Path) -> Outcome<Vec<Measurement>> {
    let mut files = Files::open(path)?;
    let mut trained = files.trained()?;
    let steps = files.expected.adamw.steps;
    if steps != STEPS {
        return Err(format!("expected {STEPS} steps of training, found {steps}").into());
    }
    let mut rows = Vec::new();
    for start in Start::ALL {
        let losses = &files.expected.loss;
        let expected = match start {
            Start::Saved => &losses.adamw_saved_f64,
            Start::ZeroB => &losses.adamw_zero_b_f64,
        };
        let (wide, model) = run::<f64>(&files, start)?;
        let (single, _) = run::<f32>(&files, start)?;
        for (check, found, relative) in [("f64", wide, F64_LOSS), ("f32", single, F32_LOSS)] {
            let tolerance = Tolerance { check, relative, of_zeros: 0.0 };
            rows.extend(curve(start, &found, expected, tolerance)?);
        }
        let tolerance = Tolerance { check: "f64", relative: F64_TRAINED, of_zeros: 0.0 };
        for (module, adapter) in model.adapters().iter() {
            for (matrix, found) in [("lora_A", &adapter.a), ("lora_B", &adapter.b)] {
                let name = files.in_file(&format!("{module}.{matrix}.weight"))?;
                let name = format!("{}.{name}", start.name());
                let expected = &trained.get(&name)?.values;
                rows.push(Measurement::new(name, found, expected, tolerance));
            }
        }
    }
    trained.finish()?;
    Ok(rows)
}

/// A row for each step, so that each loss is held to itself and not to the largest of them.
fn curve(
    start: Start,
    found: &[f64],
    expected: &[f64],
    tolerance: Tolerance,
) -> Outcome<Vec<Measurement>> {
    let (start, steps) = (start.name(), found.len());
    if steps != expected.len() {
        let listed = expected.len();
        return Err(format!("{listed} losses of adamw_{start}_f64 for {steps} steps").into());
    }
    let row = |(step, (found, expected)): (usize, (&f64, &f64))| {
        let name = format!("loss of {start} before step {}", step + 1);
        Measurement::new(name, &[*found], &[*expected], tolerance)
    };
    Ok(found.iter().zip(expected).enumerate().map(row).collect())
}

/// The loss before each step, and the model after the last.
fn run<T: Compute>(files: &Files, start: Start) -> Outcome<(Vec<f64>, Decoder<T>)> {
    let batches: Vec<TokenRows> = files.batches.iter().map(token_rows).collect::<Outcome<_>>()?;
    let mut model = adapted::<T>(files, &started(files, start)?)?;
    let losses = descend(&mut model, &batches, &files.expected.adamw)?;
    Ok((losses, model))
}

/// Trains the adapters of a model on batches that take turns; returns the loss before each step.
pub(crate) fn descend<T: Compute>(
    model: &mut Decoder<T>,
    batches: &[TokenRows],
    settings: &Settings,
) -> Outcome<Vec<f64>> {
    let mut descent = Descent::new(model, settings)?;
    let batches = batches.iter().cycle().take(settings.steps);
    batches.map(|batch| descent.step(model, batch.batch())).collect()
}

/// The adapters that training starts from.
fn started<T: Compute>(files: &Files, start: Start) -> Outcome<Adapters<T>> {
    let mut adapters = Adapters::default();
    for (module, adapter) in files.adapters::<T>()?.iter() {
        let mut adapter = adapter.clone();
        if start == Start::ZeroB {
            adapter.b.fill(T::ZERO);
        }
        adapters.insert(module, adapter)?;
    }
    Ok(adapters)
}
