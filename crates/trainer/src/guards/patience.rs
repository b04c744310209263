//! Evaluations that do not get better.

use serde::{Deserialize, Serialize};

/// Ends a run after N evaluations in a row that are not better by at least d.
///
/// What counts against patience is the distance to the best of the last one that was an improvement, so that many small
/// steps in the right direction add up to one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Patience {
    limit: u32,
    least: f64,
    /// The loss of the last improvement by the least.
    from: Option<f64>,
    without: u32,
}

impl Patience {
    /// One that ends a run after `limit` evaluations without an improvement of `least`; never with 0.
    pub fn new(limit: u32, least: f64) -> Self {
        Self { limit, least, from: None, without: 0 }
    }

    /// Takes note of an evaluation, and says whether it ends the run: whether as many as are allowed were without an
    /// improvement. A loss that is not a number is none.
    pub fn observe(&mut self, loss: f64) -> bool {
        let improves = |from: f64| loss < from && from - loss >= self.least;
        if !loss.is_nan() && self.from.is_none_or(improves) {
            self.from = Some(loss);
            self.without = 0;
        } else {
            self.without = self.without.saturating_add(1);
        }
        self.limit > 0 && self.without >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each loss, whether it ends the run.
    fn watch(patience: &mut Patience, losses: &[f64]) -> Vec<bool> {
        losses.iter().map(|&loss| patience.observe(loss)).collect()
    }

    #[test]
    fn a_run_ends_after_as_many_evaluations_without_an_improvement() {
        let mut patience = Patience::new(2, 0.0);
        let found = watch(&mut patience, &[3.0, 2.0, 2.0, 1.0, 1.5, 1.0]);
        assert_eq!(found, [false, false, false, false, false, true]);
    }

    #[test]
    fn improvements_below_the_least_count_only_together() {
        let mut patience = Patience::new(3, 0.5);
        // 2.5 is half less than 3; the three after it are not half less than that.
        let found = watch(&mut patience, &[3.0, 2.75, 2.5, 2.25, 2.125, 2.0625]);
        assert_eq!(found, [false, false, false, false, false, true]);
    }

    #[test]
    fn without_a_limit_it_never_ends() {
        let mut patience = Patience::new(0, 0.0);
        let found = watch(&mut patience, &[f64::NAN, 2.0, 3.0, f64::NAN, f64::INFINITY, 4.0]);
        assert!(found.iter().all(|ends| !ends));
    }

    #[test]
    fn a_restored_one_goes_on_as_it_was() {
        let mut patience = Patience::new(2, 0.0);
        watch(&mut patience, &[3.0, 4.0]);
        let json = serde_json::to_string(&patience).unwrap();
        let mut restored: Patience = serde_json::from_str(&json).unwrap();
        assert_eq!(restored, patience);
        assert!(restored.observe(3.5));
    }
}
