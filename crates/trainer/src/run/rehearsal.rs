//! Some steps of a run, to know how long they take.

use std::time::Instant;

use models::Decoder;
use nn::{Module, Values};

use super::model::build;
use super::ready::tokenizer_of;
use super::step::{Step, Training};
use super::teacher::Teaching;
use crate::config::Configuration;
use crate::data::{Corpus, CorpusRequest, Example};
use crate::error::Result;

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
    let window = 3 * weights(&model) * length as u128;
    if window > LARGEST_WINDOW * LARGEST {
        return Ok(None);
    }
    let mut shorter = configuration.clone();
    let most = usize::try_from(LARGEST / window.max(1)).unwrap_or(usize::MAX).max(1);
    let wanted = configuration.batch.windows;
    shorter.batch.windows = wanted.min(most);
    let read_example = Box::new(|index, example: &mut Example| corpus.example(index, example));
    let mut training = Training::new(&shorter, model, read_example, teaching)?;
    let start = Instant::now();
    let mut fastest = f64::INFINITY;
    for step in 0..STEPS.min(configuration.run.steps) {
        let begun = Instant::now();
        training.step(step)?;
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

/// Numbers that a row is multiplied by, whether they train or not.
fn weights(model: &Decoder<f32>) -> u128 {
    let mut numbers = 0;
    model.visit(&mut |tensor| {
        numbers += match tensor.values {
            Values::Real(values) | Values::Single(values) => values.len() as u128,
            Values::Bf16 { values, .. } => values.len() as u128,
            Values::Ternary { matrix, .. } => matrix.rows() as u128 * matrix.cols() as u128,
            Values::Training(_) => 0,
        };
    });
    numbers
}

/// The steps of a run one by one, for whoever measures them: nothing is written, evaluated or watched.
pub struct Trial {
    training: Training<'static>,
    next: u32,
    /// Tokens that a step predicts.
    tokens: usize,
}

impl Trial {
    /// Before the first step of the run that a configuration asks for.
    ///
    /// # Errors
    /// As [`train`](super::train) before its first step.
    pub fn new(configuration: &Configuration) -> Result<Self> {
        let corpus = Corpus::open(&CorpusRequest::of(configuration)?, &mut |_| ())?;
        let model = build(configuration, corpus.vocabulary())?;
        let tokenizer = tokenizer_of(&corpus)?;
        let vocabulary = corpus.vocabulary();
        let teaching = Teaching::open(configuration, vocabulary, tokenizer.as_deref())?;
        let read_example =
            Box::new(move |index, example: &mut Example| corpus.example(index, example));
        let training = Training::new(configuration, model, read_example, teaching)?;
        let tokens = configuration.batch.windows * configuration.batch.length;
        Ok(Self { training, next: 0, tokens })
    }

    /// Runs the next step: forward, backward, clip, update and new codes. Whether it was taken: a step that meets a
    /// number that is not finite is not.
    ///
    /// # Errors
    /// An error of the model.
    pub fn step(&mut self) -> Result<bool> {
        let step = self.next;
        self.next += 1;
        Ok(matches!(self.training.step(step)?, Step::Taken(_)))
    }

    /// Tokens that a step predicts.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The model as it is.
    pub fn model(&self) -> &Decoder<f32> {
        self.training.model()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_takes_the_steps_of_its_run() {
        let mut configuration = Configuration::default();
        configuration.batch.windows = 2;
        let mut trial = Trial::new(&configuration).unwrap();
        assert_eq!(trial.tokens(), 2 * configuration.batch.length);
        let before = trial.model().parameters().numbers();
        assert!(trial.step().unwrap() && trial.step().unwrap());
        assert_eq!((trial.next, trial.model().parameters().numbers()), (2, before));
    }
}
