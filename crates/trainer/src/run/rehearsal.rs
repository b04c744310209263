//! Some steps of a run, to know how long they take.

use std::time::Instant;

use super::model::build;
use super::ready::tokenizer_of;
use super::step::Training;
use super::teacher::Teaching;
use crate::config::Configuration;
use crate::data::Corpus;
use crate::error::{Error, Result};

/// How long parts of a run take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rehearsal {
    /// Seconds of a step.
    pub(crate) step_seconds: f64,
    /// Seconds of an evaluation.
    pub(crate) evaluation_seconds: f64,
}

/// Steps that are tried: the first is slower, for nothing is warm.
const STEPS: u32 = 3;
/// Seconds after which no other step is begun.
const ENOUGH: f64 = 4.0;
/// Multiplications that a step may take to be tried whole: some seconds of one core. Of larger ones fewer windows run.
const LARGEST: u128 = 1 << 36;
/// As many times that a single window may take; where it takes more, nothing is tried.
const LARGEST_WINDOW: u128 = 8;

/// Runs the first steps of a run without keeping anything of them; none where one window is too much.
///
/// # Errors
/// As [`train`](super::train) before its first step, and that of a step.
pub(crate) fn rehearse(
    configuration: &Configuration,
    corpus: &Corpus,
) -> Result<Option<Rehearsal>> {
    let length = configuration.batch.length;
    let model = build(configuration, corpus.vocabulary())?;
    let tokenizer = tokenizer_of(corpus)?;
    let teaching = Teaching::open(configuration, corpus.vocabulary(), tokenizer.as_deref())?;
    // Each number is multiplied once in the forward, and twice in the backward.
    let window = 3 * model.parameters().numbers() as u128 * length as u128;
    if window > LARGEST_WINDOW * LARGEST {
        return Ok(None);
    }
    let mut shorter = configuration.clone();
    let most = usize::try_from(LARGEST / window.max(1)).unwrap_or(usize::MAX).max(1);
    let wanted = configuration.batch.windows;
    shorter.batch.windows = wanted.min(most);
    let read_example = Box::new(|index, window: &mut Vec<u32>| corpus.example(index, window));
    let mut training = Training::new(&shorter, model, read_example, teaching)?;
    let start = Instant::now();
    let mut fastest = f64::INFINITY;
    for step in 0..STEPS.min(configuration.run.steps) {
        let begun = Instant::now();
        training.step(step).map_err(|source| Error::Step { step: step + 1, source })?;
        fastest = fastest.min(begun.elapsed().as_secs_f64());
        if start.elapsed().as_secs_f64() > ENOUGH {
            break;
        }
    }
    let window_seconds = fastest / shorter.batch.windows as f64;
    // A forward is a third of a step.
    let evaluated = corpus.held_out_windows();
    Ok(Some(Rehearsal {
        step_seconds: window_seconds * wanted as f64,
        evaluation_seconds: window_seconds / 3.0 * evaluated as f64,
    }))
}
