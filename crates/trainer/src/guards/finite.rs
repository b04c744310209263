//! Steps whose loss or gradient is not finite.

use serde::{Deserialize, Serialize};

/// Counts bad steps in a row. A single one is left out and the run goes on; many are a run that has diverged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonFiniteGuard {
    limit: u32,
    in_a_row: u32,
}

/// As many bad steps in a row as are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{steps} steps in a row had a loss or a gradient that is not finite: expected fewer; choose a smaller \
     optimiser.learning_rate, or more steps with guard.bad_steps"
)]
pub struct TooMany {
    /// How many.
    pub steps: u32,
}

impl NonFiniteGuard {
    /// One that stops a run at `limit` bad steps in a row.
    pub fn new(limit: u32) -> Self {
        Self { limit, in_a_row: 0 }
    }

    /// Takes note of a step.
    ///
    /// # Errors
    /// [`TooMany`] at the last bad step that is allowed in a row.
    pub fn observe(&mut self, is_bad: bool) -> Result<(), TooMany> {
        self.in_a_row = if is_bad { self.in_a_row.saturating_add(1) } else { 0 };
        if is_bad && self.in_a_row >= self.limit {
            return Err(TooMany { steps: self.in_a_row });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_steps_in_a_row_stop_the_run_and_a_good_one_begins_anew() {
        let mut guard = NonFiniteGuard::new(3);
        for is_bad in [true, true, false, true, true] {
            assert_eq!(guard.observe(is_bad), Ok(()));
        }
        let mut restored: NonFiniteGuard =
            serde_json::from_str(&serde_json::to_string(&guard).unwrap()).unwrap();
        assert_eq!(restored.observe(true), Err(TooMany { steps: 3 }));
        assert_eq!(guard.observe(false), Ok(()));
        assert_eq!(NonFiniteGuard::new(1).observe(true), Err(TooMany { steps: 1 }));
    }
}
