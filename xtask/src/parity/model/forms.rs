//! The forms of a whole model against each other.

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
