//! Where time goes: spans, which only builds with the feature `profile` measure.
//!
//! ```
//! let span = ternary_core::profile::span("attention");
//! // What is to be measured.
//! drop(span);
//! ```
//!
//! A span has the time between its beginning and its end, less that of the spans within it on the same thread.
//! In every other build a span is nothing.

/// What is measured until it is dropped.
#[must_use = "a span ends where it is dropped"]
#[derive(Debug)]
pub struct Span {
    #[cfg(feature = "profile")]
    _timed: timed::Timed,
}

/// Begins a span.
#[inline]
pub fn span(name: &'static str) -> Span {
    #[cfg(not(feature = "profile"))]
    let _ = name;
    Span {
        #[cfg(feature = "profile")]
        _timed: timed::Timed::begin(name),
    }
}

#[cfg(feature = "profile")]
mod timed {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};
    use std::time::{Duration, Instant};

    /// What all spans of a name took.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Total {
        /// Their time, without that of spans within them.
        pub time: Duration,
        /// How many they were.
        pub spans: u64,
    }

    static TOTALS: Mutex<BTreeMap<&'static str, Total>> = Mutex::new(BTreeMap::new());

    thread_local! {
        /// For each open span of this thread, the time of the spans that ended within it.
        static WITHIN: RefCell<Vec<Duration>> = const { RefCell::new(Vec::new()) };
    }

    #[derive(Debug)]
    pub(super) struct Timed {
        name: &'static str,
        start: Instant,
    }

    impl Timed {
        pub(super) fn begin(name: &'static str) -> Self {
            WITHIN.with_borrow_mut(|within| within.push(Duration::ZERO));
            Self { name, start: Instant::now() }
        }
    }

    impl Drop for Timed {
        fn drop(&mut self) {
            let time = self.start.elapsed();
            let within = WITHIN.with_borrow_mut(|within| {
                let own = within.pop().unwrap_or_default();
                if let Some(outer) = within.last_mut() {
                    *outer += time;
                }
                own
            });
            let mut totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
            let total = totals.entry(self.name).or_default();
            total.time += time.saturating_sub(within);
            total.spans += 1;
        }
    }

    /// What the spans of all threads took since the last call.
    pub fn take() -> BTreeMap<&'static str, Total> {
        std::mem::take(&mut TOTALS.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(feature = "profile")]
pub use timed::{Total, take};

#[cfg(all(test, feature = "profile"))]
mod tests {
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_span_has_its_time_without_that_of_spans_within_it() {
        let outer = span("outer of the test");
        for _ in 0..2 {
            let _inner = span("inner of the test");
            sleep(Duration::from_millis(30));
        }
        drop(outer);
        let totals = take();
        assert!(totals["outer of the test"].time < Duration::from_millis(30));
        assert!(totals["inner of the test"].time >= Duration::from_millis(60));
        assert_eq!(totals["inner of the test"].spans, 2);
    }
}
