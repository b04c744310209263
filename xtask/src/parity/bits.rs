//! The invariant of models whose layers all have attention: a position has the same bits in training, in
//! evaluation, in the packed model that is read again, and when it is decoded with a cache.

use models::{Cache, Decoder};
use nn::{Context, Recurrence, Sequences, Tape};
use trainer::config::Preset;

use super::Outcome;
use super::measure::Measurement;
use super::report::Case;
use super::set::caught;

/// Sequences, and tokens of each: more than a block of keys.
const SEQUENCES: Sequences = Sequences { count: 2, length: 75 };

/// Runs every preset without a delta net whose name contains `filter`.
pub(super) fn run(filter: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for preset in Preset::ALL {
        let name = format!("preset/{}", preset.name());
        if name.contains(filter) && preset.configuration().delta.attention_every == 0 {
            cases.push(Case::ran(name, caught(|| measurements(preset))));
        }
    }
    cases
}

fn measurements(preset: Preset) -> Outcome<Vec<Measurement>> {
    let model = trainer::run::build(&preset.configuration(), trainer::data::VOCABULARY)?;
    let directory = tempfile::tempdir()?;
    interop::save(&model, directory.path())?;
    let packed = interop::load(directory.path())?;
    let vocabulary = model.config().vocabulary;
    let tokens: Vec<u32> =
        (0..SEQUENCES.rows()).map(|at| (at * 37 % (vocabulary - 5)) as u32).collect();

    let expected = model.scores(&tokens, SEQUENCES, &mut Tape::recording())?;
    let row = |check, found: &[f32]| Measurement::bits(check, "logits", found, &expected);
    // A sequence alone has products of a single row when it is decoded.
    let one = Sequences { count: 1, ..SEQUENCES };
    let of_one = &expected[..one.rows() * vocabulary];
    let whole = |model: &Decoder<f32>, recurrence, mut tape| {
        let context = Context { tokens: &tokens, recurrence, ..SEQUENCES.into() };
        model.scores_of(context, &mut tape)
    };
    Ok(vec![
        row("recomputing", &whole(&model, Recurrence::Chunks, Tape::recording().recomputing())?),
        row("evaluation", &whole(&model, Recurrence::Chunks, Tape::inference())?),
        row("tokens", &whole(&model, Recurrence::Tokens, Tape::inference())?),
        row("packed", &whole(&packed, Recurrence::Chunks, Tape::inference())?),
        row("decoding", &decoded(&model, &tokens, SEQUENCES)?),
        row("decoding packed", &decoded(&packed, &tokens, SEQUENCES)?),
        Measurement::bits(
            "decoding one sequence",
            "logits",
            &decoded(&packed, &tokens[..one.rows()], one)?,
            of_one,
        ),
        last_of_prompt(&packed, &tokens, &expected)?,
    ])
}

/// The scores of a prompt's last token, and of what is decoded after it.
fn last_of_prompt(model: &Decoder<f32>, tokens: &[u32], expected: &[f32]) -> Outcome<Measurement> {
    let Sequences { count, length } = SEQUENCES;
    let pieces = [length - 5, 1, 4];
    let vocabulary = model.config().vocabulary;
    let (mut found, mut wanted) = (Vec::new(), Vec::new());
    let mut cache = model.cache(count);
    for piece in pieces {
        let end = cache.position() + piece;
        found.extend(advance(model, tokens, SEQUENCES, piece, &mut cache)?);
        for sequence in 0..count {
            let row = sequence * length + end - 1;
            wanted.extend_from_slice(&expected[row * vocabulary..][..vocabulary]);
        }
    }
    Ok(Measurement::bits("prompt", "logits", &found, &wanted))
}

/// The scores of all tokens, decoded one by one.
pub(super) fn decoded(
    model: &Decoder<f32>,
    tokens: &[u32],
    sequences: Sequences,
) -> Outcome<Vec<f32>> {
    let Sequences { count, length } = sequences;
    let vocabulary = model.config().vocabulary;
    let mut scores = vec![0.0; tokens.len() * vocabulary];
    let mut cache = model.cache(count);
    for position in 0..length {
        let found = advance(model, tokens, sequences, 1, &mut cache)?;
        for (sequence, found) in found.chunks(vocabulary).enumerate() {
            let row = sequence * length + position;
            scores[row * vocabulary..][..vocabulary].copy_from_slice(found);
        }
    }
    Ok(scores)
}

/// The scores of the last of the next `piece` tokens of each sequence.
fn advance(
    model: &Decoder<f32>,
    tokens: &[u32],
    Sequences { count, length }: Sequences,
    piece: usize,
    cache: &mut Cache<f32>,
) -> Outcome<Vec<f32>> {
    let start = cache.position();
    let next = (0..count).flat_map(|at| &tokens[at * length + start..][..piece]);
    let next: Vec<u32> = next.copied().collect();
    Ok(model.advance(&next, cache, &mut Tape::inference())?)
}
