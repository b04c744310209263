//! The forms of a whole model against each other.

use lora_backward::AdapterMode;
use models::Decoder;
use nn::{Context, Gradients, Recurrence, Tape};

use super::TokenRows;
use crate::parity::bits::decoded;
use crate::parity::measure::{Measurement, Tolerance};
use crate::parity::{Outcome, wide};

/// Of the largest logit.
const TOLERANCE: f64 = 1e-4;

/// The training forward against evaluation, evaluation by tokens, and decoding with a cache.
pub(super) fn measurements(model: &Decoder<f32>, rows: &TokenRows) -> Outcome<Vec<Measurement>> {
    let whole = |recurrence, mut tape: Tape<f32>| {
        let context = Context { tokens: &rows.tokens, recurrence, ..rows.sequences.into() };
        model.scores_of(context, &mut tape)
    };
    let training = whole(Recurrence::Chunks, Tape::recording())?;
    let evaluated = whole(Recurrence::Chunks, Tape::inference())?;
    let tokens = whole(Recurrence::Tokens, Tape::inference())?;
    let decoded = decoded(model, &rows.tokens, rows.sequences)?;
    let near = |check, found: &[f32]| {
        let tolerance = Tolerance { check, relative: TOLERANCE, of_zeros: 0.0 };
        Measurement::new("logits", &wide(found), &wide(&training), tolerance)
    };
    Ok(vec![
        Measurement::bits("evaluation", "bits of logits", &evaluated, &training),
        near("tokens", &tokens),
        near("decoding", &decoded),
        Measurement::bits("decoding", "bits of logits", &decoded, &tokens),
    ])
}

/// Gradients on a tape that keeps and on one that computes again.
pub(super) fn recomputed(model: &Decoder<f32>, rows: &TokenRows) -> Outcome<Measurement> {
    let gradients = |mut tape: Tape<f32>| -> Outcome<Vec<f32>> {
        let mut gradients = Gradients::zeros(model.parameters());
        model.loss_and_gradients(rows.batch(), &mut tape, &mut gradients)?;
        Ok(gradients.values().to_vec())
    };
    let kept = gradients(Tape::recording())?;
    let again = gradients(Tape::recording().recomputing())?;
    Ok(Measurement::bits("recomputing", "bits of gradients", &again, &kept))
}

/// The adapter in the weights, beside them again, and switched off, which leaves the bits of the model without it.
pub(super) fn switched(
    model: &mut Decoder<f32>,
    base: &Decoder<f32>,
    rows: &TokenRows,
) -> Outcome<Vec<Measurement>> {
    let scores =
        |model: &Decoder<f32>| model.scores(&rows.tokens, rows.sequences, &mut Tape::inference());
    let (beside, of_base) = (scores(model)?, scores(base)?);
    model.merge()?;
    let merged = scores(model)?;
    model.unmerge()?;
    let again = scores(model)?;
    model.set_adapters(AdapterMode::Disabled)?;
    let disabled = scores(model)?;
    model.set_adapters(AdapterMode::Enabled)?;
    let tolerance = Tolerance { check: "merged", relative: TOLERANCE, of_zeros: 0.0 };
    Ok(vec![
        Measurement::new("logits", &wide(&merged), &wide(&beside), tolerance),
        Measurement::bits("unmerged", "bits of logits", &again, &beside),
        Measurement::bits("disabled", "bits of logits", &disabled, &of_base),
    ])
}
