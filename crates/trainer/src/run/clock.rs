//! [`Clock`]: how long a run has taken.

use std::time::Instant;

/// The seconds of a run, those before it was resumed included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    before: f64,
}

impl Clock {
    /// Begins now.
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), before: 0.0 }
    }

    /// The same after so many seconds of an earlier process.
    pub(super) fn after(self, before: f64) -> Self {
        Self { before, ..self }
    }

    /// Seconds so far.
    pub(super) fn seconds(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }
}
