//! Evaluations that do not get better.

use serde::{Deserialize, Serialize};

/// Remembers the best evaluation, and ends a run after N in a row that are not better by at least d.
///
/// The best evaluation is the one of the lowest loss. What counts against patience is the distance to the best of the
/// last one that was an improvement, so that many small steps in the right direction add up to one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Patience {
    limit: u32,
    least: f64,
    best: Option<Best>,
    /// The loss of the last improvement by the least.
    from: Option<f64>,
    without: u32,
}

/// The best evaluation so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Best {
    step: u32,
    loss: f64,
}

/// What an evaluation means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// It is the best so far: the model is worth keeping.
    pub is_best: bool,
    /// There were as many without an improvement as are allowed.
    pub stops: bool,
}

impl Patience {
    /// One that ends a run after `limit` evaluations without an improvement of `least`; never with 0.
    pub fn new(limit: u32, least: f64) -> Self {
        Self { limit, least, best: None, from: None, without: 0 }
    }

    /// Takes note of an evaluation. A loss that is not a number is no improvement.
    pub fn observe(&mut self, step: u32, loss: f64) -> Verdict {
        let is_best = !loss.is_nan() && self.best.is_none_or(|best| loss < best.loss);
        if is_best {
            self.best = Some(Best { step, loss });
        }
        let improves = |from: f64| loss < from && from - loss >= self.least;
        if !loss.is_nan() && self.from.is_none_or(improves) {
            self.from = Some(loss);
            self.without = 0;
        } else {
            self.without = self.without.saturating_add(1);
        }
        Verdict { is_best, stops: self.limit > 0 && self.without >= self.limit }
    }

    /// The step and the loss of the best evaluation.
    pub fn best(&self) -> Option<(u32, f64)> {
        self.best.map(|best| (best.step, best.loss))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each loss, whether it is the best and whether it ends the run.
    fn watch(patience: &mut Patience, losses: &[f64]) -> Vec<(bool, bool)> {
        let seen = losses.iter().zip(1..).map(|(&loss, step)| patience.observe(step, loss));
        seen.map(|verdict| (verdict.is_best, verdict.stops)).collect()
    }

    #[test]
    fn a_run_ends_after_as_many_evaluations_without_an_improvement() {
        let mut patience = Patience::new(2, 0.0);
        let found = watch(&mut patience, &[3.0, 2.0, 2.0, 1.0, 1.5, 1.0]);
        let expected = [(true, false), (true, false), (false, false), (true, false)];
        assert_eq!(found[..4], expected);
        assert_eq!(found[4..], [(false, false), (false, true)]);
        assert_eq!(patience.best(), Some((4, 1.0)));
    }

    #[test]
    fn improvements_below_the_least_are_kept_but_count_only_together() {
        let mut patience = Patience::new(3, 0.5);
        let found = watch(&mut patience, &[3.0, 2.75, 2.5, 2.25, 2.125, 2.0625]);
        assert!(found.iter().all(|(is_best, _)| *is_best));
        // 2.5 is half less than 3; the three after it are not half less than that.
        let ends: Vec<bool> = found.iter().map(|(_, stops)| *stops).collect();
        assert_eq!(ends, [false, false, false, false, false, true]);
    }

    #[test]
    fn without_a_limit_it_never_ends_and_still_knows_the_best() {
        let mut patience = Patience::new(0, 0.0);
        let found = watch(&mut patience, &[f64::NAN, 2.0, 3.0, f64::NAN, f64::INFINITY, 4.0]);
        assert!(found.iter().all(|(_, stops)| !stops));
        assert_eq!(patience.best(), Some((2, 2.0)));
        assert_eq!(Patience::new(1, 0.0).best(), None);
    }

    #[test]
    fn a_restored_one_goes_on_as_it_was() {
        let mut patience = Patience::new(2, 0.0);
        watch(&mut patience, &[3.0, 4.0]);
        let json = serde_json::to_string(&patience).unwrap();
        let mut restored: Patience = serde_json::from_str(&json).unwrap();
        assert_eq!(restored, patience);
        assert!(restored.observe(3, 3.5).stops);
    }
}
