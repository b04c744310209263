//! What watches a run, and what it says of a step or an evaluation.

use serde::{Deserialize, Serialize};

use super::step::Taken;
use super::summary::Best;
use crate::config::Configuration;
use crate::guards::{NonFiniteGuard, Patience, Reading, Spike, SpikeWatch, TooMany};
use crate::measure::HeldOutLoss;

/// How the reason begins of a run whose time was over.
const TIME: &str = "time-budget";

/// An evaluation of the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Evaluated {
    /// Steps before it.
    pub(super) step: u32,
    /// What it found.
    pub(super) loss: HeldOutLoss,
    /// Whether the model computed with its ternary codes, as it is saved.
    pub(super) is_hard: bool,
}

/// The guards of a run between its steps; a run that is resumed goes on with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Watchers {
    finite: NonFiniteGuard,
    spike: SpikeWatch,
    patience: Patience,
    /// The least loss of a model that computes with its codes, as it is saved.
    best: Option<Best>,
    /// The last evaluation.
    last: Option<Evaluated>,
    /// Why the run ends before its last step, once it does.
    stopped: Option<String>,
}

impl Watchers {
    /// Those that a configuration asks for.
    pub(super) fn new(configuration: &Configuration) -> Self {
        let Configuration { guard, evaluation, .. } = configuration;
        Self {
            finite: NonFiniteGuard::new(guard.bad_steps),
            spike: SpikeWatch::new(guard.spike),
            patience: Patience::new(evaluation.patience, evaluation.least_improvement),
            best: None,
            last: None,
            stopped: None,
        }
    }

    /// Takes note of a step that was taken, the `step`th.
    pub(super) fn step(
        &mut self,
        configuration: &Configuration,
        step: u32,
        taken: &Taken,
    ) -> Option<Spike> {
        // A step that was taken is not one too many.
        let _ = self.finite.observe(false);
        let Taken { loss, gradient_norm, flips, .. } = *taken;
        let (train_loss, norm) = (Some(loss), Some(gradient_norm));
        self.compare(
            configuration,
            &Reading { step, train_loss, norm, flips, ..Reading::default() },
        );
        self.spike.observe(loss)
    }

    /// Takes note of a step that was skipped.
    ///
    /// # Errors
    /// [`TooMany`] of them in a row.
    pub(super) fn skipped(&mut self) -> Result<(), TooMany> {
        self.finite.observe(true)
    }

    /// Takes note of an evaluation, and says whether it is the best so far of a model as it is saved.
    pub(super) fn evaluation(
        &mut self,
        configuration: &Configuration,
        evaluated: Evaluated,
        sparsity: Option<f64>,
    ) -> bool {
        let Evaluated { step, loss, is_hard } = evaluated;
        self.last = Some(evaluated);
        let is_best = is_hard && self.best.is_none_or(|best| loss.nats < best.nats);
        if is_best {
            self.best = Some(Best { step, nats: loss.nats });
        }
        if self.patience.observe(loss.nats) {
            let evaluations = configuration.evaluation.patience;
            self.stop(format!("early-stop: {evaluations} evaluations without an improvement"));
        }
        let loss = Some(loss.nats);
        self.compare(configuration, &Reading { step, loss, sparsity, ..Reading::default() });
        is_best
    }

    /// Takes note of the time since the run began.
    pub(super) fn time(&mut self, configuration: &Configuration, seconds: f64) {
        if let Some(budget) = configuration.run.time_budget
            && seconds >= budget.duration().as_secs_f64()
        {
            self.stop(format!("{TIME}: {budget} are over"));
        }
    }

    /// Why the run is to end now, if it is.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// The evaluation with the least loss of a model as it is saved.
    pub(super) fn best(&self) -> Option<Best> {
        self.best
    }

    /// The last evaluation.
    pub(super) fn last(&self) -> Option<Evaluated> {
        self.last
    }

    /// Forgets that the time was over: a run that is resumed may have more.
    pub(super) fn forget_time(&mut self) {
        self.stopped.take_if(|reason| reason.starts_with(TIME));
    }

    fn compare(&mut self, configuration: &Configuration, reading: &Reading) {
        let mut reasons = configuration.run.stop_if.iter().filter_map(|stop| stop.trips(reading));
        if let Some(reason) = reasons.next() {
            self.stop(format!("stop-if: {reason}"));
        }
    }

    /// The first reason is the one that is told.
    fn stop(&mut self, reason: String) {
        self.stopped.get_or_insert(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn configuration(settings: &[&str]) -> Configuration {
        let mut layers = Layers::default();
        layers.add_assignments(settings.iter().copied()).unwrap();
        layers.resolve().unwrap()
    }

    fn at(step: u32, nats: f64) -> Evaluated {
        Evaluated { step, loss: HeldOutLoss { nats, predictions: 1 }, is_hard: step > 10 }
    }

    #[test]
    fn the_first_reason_to_stop_is_the_one_that_is_told() {
        let configuration =
            configuration(&["evaluation.patience=2", "stop_if=loss>3@20", "time_budget=10s"]);
        let mut watchers = Watchers::new(&configuration);
        assert!(!watchers.evaluation(&configuration, at(10, 4.0), None), "it is not hard");
        watchers.time(&configuration, 9.9);
        assert_eq!(watchers.stopped(), None);
        assert!(watchers.evaluation(&configuration, at(20, 5.0), None));
        assert!(watchers.stopped().unwrap().starts_with("stop-if: loss is 5"));
        watchers.evaluation(&configuration, at(30, 5.0), None);
        watchers.time(&configuration, 11.0);
        assert!(watchers.stopped().unwrap().starts_with("stop-if"));
        assert_eq!(watchers.best(), Some(Best { step: 20, nats: 5.0 }));
    }

    #[test]
    fn patience_and_time_end() {
        let configuration = configuration(&["evaluation.patience=2", "time_budget=1m"]);
        let mut watchers = Watchers::new(&configuration);
        for step in 1..=3 {
            assert_eq!(watchers.stopped(), None);
            watchers.evaluation(&configuration, at(step, 1.0), None);
        }
        assert!(watchers.stopped().unwrap().starts_with("early-stop: 2 evaluations"));
        let mut watchers = Watchers::new(&configuration);
        watchers.time(&configuration, 60.0);
        assert_eq!(watchers.stopped(), Some("time-budget: 1m are over"));
        watchers.forget_time();
        assert_eq!(watchers.stopped(), None);
    }
}
