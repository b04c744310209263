//! What runs in a process of its own: one row, a few times.

use models::Decoder;
use nn::{Module, Tape};
use trainer::run::{Trial, build};

use super::plan::{Part, Task};
use crate::bench::Result;
use crate::bench::child::{Figures, Sent, print, time, weight_bytes};

/// Calls that only warm up.
pub(super) const WARM_UP: usize = 2;
/// Tokens of a call of [`Part::Decode`].
const TOKENS: usize = 32;
/// Such calls for each step that is asked for: a call is short.
const CALLS_A_STEP: usize = 8;

/// Runs a row and prints its figures as one line of JSON.
pub(super) fn run(task: Task, steps: usize, unit: Option<usize>) -> Result {
    print(task.threads, || match task.part {
        Part::Step => train(task, steps, unit),
        Part::Decode => decode(task, steps * CALLS_A_STEP),
    })
}

fn train(task: Task, steps: usize, unit: Option<usize>) -> Sent<Figures> {
    let mut trial = trial(task, unit)?;
    let tokens = trial.tokens();
    let times = time(WARM_UP, steps, || match trial.step() {
        Ok(true) => Ok(()),
        Ok(false) => Err("a step met a number that is not finite".into()),
        Err(error) => Err(error.into()),
    })?;
    Ok(times.figures(1, tokens, 0))
}

/// The run of a task's preset.
pub(super) fn trial(task: Task, unit: Option<usize>) -> trainer::Result<Trial> {
    let mut configuration = task.size.preset().configuration();
    if let Some(unit) = unit {
        configuration.batch.unit = unit;
    }
    Trial::new(&configuration)
}

fn decode(task: Task, calls: usize) -> Sent<Figures> {
    let configuration = task.size.preset().configuration();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model");
    interop::save(&build(&configuration, trainer::data::VOCABULARY)?, &path)?;
    let model = interop::open(&path)?;
    let mut tape = Tape::inference();
    let mut bytes = 0;
    let times = time(WARM_UP, calls, || {
        let mut cache = model.cache(1);
        let mut token = 0;
        for position in 0..TOKENS {
            let scores = model.advance(&[token], &mut cache, &mut tape)?;
            token = largest(&scores);
            tape.give(scores);
            if position == TOKENS / 2 {
                bytes = all_bytes(&model) + cache.size_bytes();
            }
        }
        Ok(())
    })?;
    Ok(times.figures(TOKENS, 1, bytes as u64))
}

/// The token of the largest score.
fn largest(scores: &[f32]) -> u32 {
    let largest = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    largest.map_or(0, |(token, _)| token as u32)
}

/// Bytes of all weights, each of which a token reads once: the table of the embedding is the head's too.
fn all_bytes(model: &Decoder<f32>) -> usize {
    let mut bytes = 0;
    model.visit(&mut |tensor| bytes += weight_bytes(&tensor.values));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_score_decides_the_next_token() {
        assert_eq!((largest(&[0.5, 2.0, -3.0]), largest(&[])), (1, 0));
    }
}
