//! Cases of whole models.

mod files;
mod forms;
mod merged;
mod passing;
mod training;

use std::collections::BTreeMap;
use std::path::Path;

use interop::hugging_face::{Weights, load};
use lora_backward::Adapters;
use models::{Batch as Rows, Decoder};
use nn::ops::IGNORED;
use nn::{Compute, Gradients, Sequences, Tape};

use self::files::Files;
use self::passing::Passed;
pub(crate) use self::training::descend;
pub(super) use self::training::train;
use super::measure::{Measurement, Tolerance};
use super::{Outcome, wide};
use crate::fixtures::distance::largest;
use crate::fixtures::model::Batch;

/// Of the largest number of a tensor.
const F64: f64 = 1e-10;
const F32: f64 = 1e-4;
/// Of the largest gradient, where the reference is zeros alone.
const F32_OF_ZEROS: f64 = 1e-6;
/// How many times the distance that the software that made a case has in the same tensor counts where that is more than
/// [`F32`], up to [`F32_AT_MOST`].
const OF_LIBRARY: f64 = 2.0;
const F32_AT_MOST: f64 = 1e-3;

/// Runs a case: everything in its folder but what training leads to is read, and all that the reference has is
/// compared.
pub(super) fn run(path: &Path) -> Outcome<Vec<Measurement>> {
    let mut files = Files::open(path)?;
    let mut rows = Vec::new();
    against_reference::<f64>(&mut files, "f64", &mut rows)?;
    against_reference::<f32>(&mut files, "f32", &mut rows)?;
    let mut model = adapted(&files, &files.adapters()?)?;
    let first = token_rows(&files.batches[0])?;
    rows.extend(forms::measurements(&model, &first)?);
    rows.push(forms::recomputed(&model, &first)?);
    rows.extend(forms::switched(&mut model, &base(&files)?, &first)?);
    files.finish()?;
    Ok(rows)
}

/// Tokens, and for each the token that should come next.
#[derive(Debug)]
pub(crate) struct TokenRows {
    pub(crate) sequences: Sequences,
    pub(crate) tokens: Vec<u32>,
    targets: Vec<u32>,
}

impl TokenRows {
    fn batch(&self) -> Rows<'_> {
        Rows { sequences: self.sequences, tokens: &self.tokens, targets: &self.targets }
    }
}

/// Labels belong to the token itself, targets to the one before it.
pub(crate) fn token_rows(batch: &Batch) -> Outcome<TokenRows> {
    let length = batch.tokens[0].len();
    let number = |token: i64| if token == -100 { Ok(IGNORED) } else { u32::try_from(token) };
    let mut rows = TokenRows {
        sequences: Sequences { count: batch.tokens.len(), length },
        tokens: Vec::new(),
        targets: Vec::new(),
    };
    for (tokens, labels) in batch.tokens.iter().zip(&batch.labels) {
        for &token in tokens {
            rows.tokens.push(u32::try_from(token)?);
        }
        for &label in labels.iter().skip(1).chain([&-100]) {
            rows.targets.push(number(label)?);
        }
    }
    Ok(rows)
}

/// The model without its adapter.
fn base<T: Compute>(files: &Files) -> Outcome<Decoder<T>> {
    Ok(load(&files.base(), Weights::Frozen)?)
}

/// The model with adapters beside its projections.
fn adapted<T: Compute>(files: &Files, adapters: &Adapters<T>) -> Outcome<Decoder<T>> {
    let mut model = base(files)?;
    model.attach(adapters)?;
    Ok(model)
}

fn against_reference<T: Compute>(
    files: &mut Files,
    check: &'static str,
    rows: &mut Vec<Measurement>,
) -> Outcome<()> {
    let model = adapted::<T>(files, &files.adapters()?)?;
    let found = found(files, &model)?;
    let all = files.reference.all().iter().filter(|(name, _)| name.starts_with("grad."));
    let largest = all.map(|(_, tensor)| largest(&tensor.values)).fold(0.0, f64::max);
    let is_wide = check == "f64";
    let tolerance = |files: &Files, name: &str| {
        let single = allowed_in_f32(&files.expected.f32_vs_f64_rel_err, name);
        let (relative, of_zeros) = if is_wide { (F64, F64) } else { (single, F32_OF_ZEROS) };
        Tolerance { check, relative, of_zeros: of_zeros * largest }
    };
    for (name, found) in &found {
        let tolerance = tolerance(files, name);
        let expected = &files.reference.get(name)?.values;
        rows.push(Measurement::new(name, found, expected, tolerance));
    }
    if is_wide {
        for (name, found) in merged::found(files)? {
            let tolerance = Tolerance { check: "merged", ..tolerance(files, &name) };
            let expected = &files.reference.get(&name)?.values;
            rows.push(Measurement::new(name, &found, expected, tolerance));
        }
    }
    let losses = &files.expected.loss;
    let mut of_batches = Vec::new();
    for batch in &files.batches {
        let batch = token_rows(batch)?;
        of_batches.push(model.loss(batch.batch(), &mut Tape::inference())?.mean);
    }
    let tolerance = tolerance(files, "loss");
    for (name, found, expected) in [
        ("batch0", &of_batches[..1], &[losses.batch0_f64][..]),
        ("all_batches", &of_batches, &losses.all_batches_f64),
    ] {
        rows.push(Measurement::new(format!("loss of {name}"), found, expected, tolerance));
    }
    Ok(())
}

/// How far f32 may be off in a tensor, of its largest number, where the software that made a case is off so far.
fn allowed_in_f32(distances: &BTreeMap<String, f64>, name: &str) -> f64 {
    let of_library = distances.get(name).copied().unwrap_or(0.0);
    (OF_LIBRARY * of_library).clamp(F32, F32_AT_MOST)
}

/// All that the first batch leads to, under the names of the reference.
fn found<T: Compute>(files: &Files, model: &Decoder<T>) -> Outcome<BTreeMap<String, Vec<f64>>> {
    let batch = token_rows(&files.batches[0])?;
    let scores =
        |model: &Decoder<T>| model.scores(&batch.tokens, batch.sequences, &mut Tape::inference());
    let (logits, of_base) = (scores(model)?, scores(&base(files)?)?);
    let mut tape = Tape::recording();
    let passed = Passed::watch(&mut tape);
    let parameters = model.parameters();
    let mut gradients = Gradients::zeros(parameters);
    model.loss_and_gradients(batch.batch(), &mut tape, &mut gradients)?;

    let mut found = passed.take(model.config().layers)?;
    found.insert("logits".to_owned(), wide(&logits));
    found.insert("logits_base".to_owned(), wide(&of_base));
    for id in parameters.ids().filter(|id| !id.is_frozen()) {
        let name = files.in_file(parameters.name(id))?;
        found.insert(format!("grad.{name}"), wide(gradients.get(id)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_a_tensor_widens_what_is_allowed_of_itself_alone() {
        let distances = [("grad.a", 3e-4), ("grad.b", 2e-5), ("grad.c", 1.0)];
        let distances: BTreeMap<String, f64> =
            distances.map(|(name, distance)| (name.to_owned(), distance)).into();
        let allowed =
            ["grad.a", "grad.b", "grad.c", "logits"].map(|name| allowed_in_f32(&distances, name));
        assert_eq!(allowed, [6e-4, F32, F32_AT_MOST, F32]);
    }
}
