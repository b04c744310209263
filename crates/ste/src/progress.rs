//! [`Progress`]: where a run is.

/// A step of a run, and how many it has in all. Schedules are functions of it alone, so that a run which
/// is resumed at any step goes on as if it had never stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Updates so far.
    pub step: u32,
    /// Updates of the whole run.
    pub total: u32,
}

impl Progress {
    /// The end of a run: every schedule has arrived.
    pub const DONE: Self = Self { step: 1, total: 1 };

    /// The share of the run that is over, 0 to 1. A run without steps is over.
    pub fn share(self) -> f64 {
        if self.step >= self.total {
            return 1.0;
        }
        f64::from(self.step) / f64::from(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_goes_from_zero_to_one_and_stays() {
        let share = |step, total| Progress { step, total }.share();
        assert_eq!([share(0, 4), share(1, 4), share(4, 4), share(9, 4)], [0.0, 0.25, 1.0, 1.0]);
        assert_eq!(share(0, 0), 1.0);
        assert_eq!(Progress::DONE.share(), 1.0);
    }
}
