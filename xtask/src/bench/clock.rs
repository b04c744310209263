//! How much time there is, and how it goes.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// The time of a run, without what peers take.
pub(super) struct Clock {
    start: Instant,
    limit: Duration,
    all: usize,
    paused: Duration,
}

impl Clock {
    pub(super) fn start(limit: Duration, all: usize) -> Self {
        Self { start: Instant::now(), limit, all, paused: Duration::ZERO }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed() - self.paused
    }

    /// Whether there is time for one more series, if it takes as long as the first `done` did each.
    pub(super) fn may_begin(&self, done: usize) -> bool {
        let elapsed = self.elapsed();
        elapsed + elapsed.checked_div(done as u32).unwrap_or_default() < self.limit
    }

    /// Runs something that does not count.
    pub(super) fn pause<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = run();
        self.paused += start.elapsed();
        result
    }

    /// Time for the series after the first `done`, if they take as long as those did.
    fn estimate(&self, done: usize) -> Option<Duration> {
        (done > 0).then(|| self.elapsed().mul_f64((self.all - done) as f64 / done as f64))
    }

    /// Whether there is time for more rounds than the usual.
    pub(super) fn may_retry(&self, done: usize) -> bool {
        self.elapsed() + self.estimate(done).unwrap_or_default() < self.limit
    }

    pub(super) fn progress(&self, done: usize, next: &impl Display) {
        let left = self
            .estimate(done)
            .map_or_else(String::new, |left| format!(", about {:.0} s left", left.as_secs_f64()));
        let elapsed = self.elapsed().as_secs_f64();
        eprintln!("[{}/{}] {elapsed:.0} s{left}: {next}", done + 1, self.all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pauses_the_clock_does_not_count() {
        let mut clock = Clock::start(Duration::from_millis(200), 3);
        clock.pause(|| std::thread::sleep(Duration::from_millis(250)));
        assert!(clock.may_begin(0) && clock.elapsed() < Duration::from_millis(200));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!clock.may_begin(0));
    }

    #[test]
    fn there_is_time_for_more_rounds_only_if_the_rest_fits() {
        let mut clock = Clock::start(Duration::from_secs(100), 10);
        clock.start -= Duration::from_secs(30);
        assert!(clock.may_retry(4), "45 s more of 70");
        assert!(!clock.may_retry(2), "120 s more of 70");
        assert!(clock.estimate(0).is_none());
        clock.start -= Duration::from_secs(40);
        assert!(clock.may_begin(4) && !clock.may_begin(2), "18 and 35 s of 30");
    }
}
