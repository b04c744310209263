//! What watches a run, and what it says of a step or an evaluation.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::step::Taken;
use super::summary::Best;
use crate::config::Configuration;
use crate::guards::{NonFiniteGuard, Patience, Reading, Spike, SpikeWatch, TooMany, Verdict};
use crate::measure::HeldOutLoss;

/// The guards of a run between its steps; a run that is resumed goes on with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Watchers {
    finite: NonFiniteGuard,
    spike: SpikeWatch,
    patience: Patience,
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

    /// Takes note of an evaluation after `step` steps, and says whether it is the best so far.
    pub(super) fn evaluation(
        &mut self,
        configuration: &Configuration,
        step: u32,
        loss: HeldOutLoss,
        sparsity: Option<f64>,
    ) -> bool {
        let Verdict { is_best, stops } = self.patience.observe(step, loss.nats);
        if stops {
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
            && Duration::from_secs_f64(seconds) >= budget.duration()
        {
            self.stop(format!("time-budget: {budget} are over"));
        }
    }

    /// Why the run is to end now, if it is.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// The evaluation with the least loss.
    pub(super) fn best(&self) -> Option<Best> {
        self.patience.best().map(|(step, nats)| Best { step, nats })
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

    fn loss(nats: f64) -> HeldOutLoss {
        HeldOutLoss { nats, predictions: 1 }
    }

    #[test]
    fn the_first_reason_to_stop_is_the_one_that_is_told() {
        let configuration =
            configuration(&["evaluation.patience=2", "stop_if=loss>3@20", "time_budget=10s"]);
        let mut watchers = Watchers::new(&configuration);
        assert!(watchers.evaluation(&configuration, 10, loss(4.0), None));
        watchers.time(&configuration, 9.9);
        assert_eq!(watchers.stopped(), None);
        assert!(!watchers.evaluation(&configuration, 20, loss(5.0), None));
        assert!(watchers.stopped().unwrap().starts_with("stop-if: loss is 5"));
        watchers.evaluation(&configuration, 30, loss(5.0), None);
        watchers.time(&configuration, 11.0);
        assert!(watchers.stopped().unwrap().starts_with("stop-if"));
        assert_eq!(watchers.best(), Some(Best { step: 10, nats: 4.0 }));
    }

    #[test]
    fn patience_and_time_end() {
        let configuration = configuration(&["evaluation.patience=2", "time_budget=1m"]);
        let mut watchers = Watchers::new(&configuration);
        for step in 1..=3 {
            assert_eq!(watchers.stopped(), None);
            watchers.evaluation(&configuration, step, loss(1.0), None);
        }
        assert!(watchers.stopped().unwrap().starts_with("early-stop: 2 evaluations"));
        let mut watchers = Watchers::new(&configuration);
        watchers.time(&configuration, 60.0);
        assert_eq!(watchers.stopped(), Some("time-budget: 1m are over"));
    }
}
