//! The forms of a layer against each other: in chunks, by tokens, in pieces, and decoding with a carried state.

use std::ops::Range;

use nn::{Context, Layer, Recurrence, Sequences, State, Tape};

use super::build::Built;
use crate::fixtures::layer::LayerCase;
use crate::parity::folder::Read;
use crate::parity::measure::{Measurement, Tolerance};
use crate::parity::{Outcome, wide};

/// Of the largest number of the form that is compared with.
const TOLERANCE: f64 = 1e-4;

/// Outputs and final states.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    y: Vec<f32>,
    recurrent: Vec<f32>,
    conv: Vec<f32>,
}

/// All comparisons of a case.
pub(super) fn measurements(case: &LayerCase, inputs: &mut Read) -> Outcome<Vec<Measurement>> {
    let built = Built::<f32>::new(case, inputs)?;
    let length = case.seq;
    let whole = |recurrence, tape| run(&built, recurrence, [length].into(), tape);
    let training = whole(Recurrence::Chunks, Tape::recording())?;
    let chunks = whole(Recurrence::Chunks, Tape::inference())?;
    let tokens = whole(Recurrence::Tokens, Tape::inference())?;
    let one_by_one = || vec![1; length];
    let decoded = run(&built, Recurrence::Tokens, one_by_one(), Tape::inference())?;
    let decoded_by_chunks = run(&built, Recurrence::Chunks, one_by_one(), Tape::inference())?;

    let mut rows = bits("evaluation", &chunks, &training);
    rows.extend(near("tokens", &tokens, &training));
    rows.extend(near("decoding", &decoded, &training));
    rows.extend(bits("decoding", &decoded, &tokens));
    rows.extend(near("chunks of one", &decoded_by_chunks, &training));
    if length > 1 {
        // What a prompt is that comes in two pieces, neither of them a multiple of a chunk.
        let cut = length * 2 / 3;
        let pieces = run(&built, Recurrence::Chunks, vec![cut, length - cut], Tape::inference())?;
        rows.extend(near("pieces", &pieces, &training));
    }
    Ok(rows)
}

fn near(check: &'static str, found: &Run, expected: &Run) -> Vec<Measurement> {
    let tolerance = Tolerance { check, relative: TOLERANCE, of_zeros: 0.0 };
    let row = |name: &str, found: &[f32], expected: &[f32]| {
        Measurement::new(name, &wide(found), &wide(expected), tolerance)
    };
    each(found, expected, row)
}

fn bits(check: &'static str, found: &Run, expected: &Run) -> Vec<Measurement> {
    let row = |name: &str, found: &[f32], expected: &[f32]| {
        Measurement::bits(check, format!("bits of {name}"), found, expected)
    };
    each(found, expected, row)
}

fn each(
    found: &Run,
    expected: &Run,
    row: impl Fn(&str, &[f32], &[f32]) -> Measurement,
) -> Vec<Measurement> {
    vec![
        row("y", &found.y, &expected.y),
        row("state", &found.recurrent, &expected.recurrent),
        row("conv_state", &found.conv, &expected.conv),
    ]
}

/// Runs the layer over pieces of so many tokens, from the state of the case. Several pieces go through
/// [`Layer::resume`], as a decoder has them.
fn run(
    built: &Built<f32>,
    recurrence: Recurrence,
    pieces: Vec<usize>,
    mut tape: Tape<f32>,
) -> Outcome<Run> {
    if pieces.len() == 1 {
        let mut state = built.start.clone();
        let context = built.context(recurrence);
        let y = built.layer.forward_from(built.x.clone(), context, &mut state, &mut tape)?;
        return Ok(Run { y, recurrent: state.recurrent, conv: state.conv });
    }
    let Sequences { count, length } = built.sequences;
    let width = built.layer.width();
    let mut y = vec![0.0; built.x.len()];
    let start = built.start.clone();
    let mut state = State { position: 0, parts: vec![start.recurrent, start.conv] };
    let mut before = 0;
    for piece in pieces {
        let rows = |sequence: usize| -> Range<usize> {
            let first = sequence * length + before;
            first..first + piece
        };
        let numbers = |rows: Range<usize>| rows.start * width..rows.end * width;
        let x = (0..count).flat_map(|at| &built.x[numbers(rows(at))]).copied().collect();
        let mask = built.mask.as_ref().map(|mask| -> Vec<bool> {
            (0..count).flat_map(|at| &mask[rows(at)]).copied().collect()
        });
        let sequences = Sequences { count, length: piece };
        let context = Context { mask: mask.as_deref(), recurrence, ..sequences.into() };
        let found = built.layer.resume(x, context, &mut state, &mut tape)?;
        for (sequence, found) in found.chunks(piece * width).enumerate() {
            y[numbers(rows(sequence))].copy_from_slice(found);
        }
        before += piece;
    }
    let mut parts = state.parts.into_iter();
    let [recurrent, conv] = [parts.next(), parts.next()].map(Option::unwrap_or_default);
    Ok(Run { y, recurrent, conv })
}
