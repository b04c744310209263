//! Which bytes a model reads, and which it predicts.
//!
//! A window of `length` predictions is `length + 1` bytes: the model reads all but the last and
//! predicts all but the first.

use std::num::NonZeroU64;
use std::ops::Range;

use ternary_core::noise::Noise;

use crate::randomness::Purpose;

/// The windows of training steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingWindows {
    seed: u64,
    length: usize,
    places: NonZeroU64,
}

impl TrainingWindows {
    /// Windows of `length` predictions in a text of `bytes` bytes; none if it holds no window.
    pub fn new(seed: u64, bytes: usize, length: usize) -> Option<Self> {
        let places = NonZeroU64::new(bytes.saturating_sub(length) as u64)?;
        Some(Self { seed: Purpose::Order.seed(seed), length, places })
    }

    /// The window that example `example` of step `step` sees: a function of seed, step and example,
    /// uniform over all places of the text.
    pub fn window(&self, step: u32, example: u64) -> Range<usize> {
        let start = Noise::new(self.seed, 0, step).below(example, self.places) as usize;
        start..start + self.length + 1
    }
}

/// The windows of an evaluation, of which each but the last predicts `length` bytes.
///
/// Up to `limit` windows cover a text of that size whole: every byte but the first is predicted exactly
/// once, and the last window is as short as it must be. A longer text gets `limit` full windows, spread
/// evenly from its first byte to its last.
pub fn evaluation_windows(bytes: usize, length: usize, limit: usize) -> Vec<Range<usize>> {
    let predictions = bytes.saturating_sub(1);
    let needed = predictions.div_ceil(length);
    if needed <= limit {
        return (0..needed)
            .map(|window| window * length..((window + 1) * length).min(predictions) + 1)
            .collect();
    }
    let last = bytes - (length + 1);
    let place = |window: usize| match limit {
        1 => 0,
        // In 128 bits: a place times a number of windows may exceed a word.
        _ => (window as u128 * last as u128 / (limit as u128 - 1)) as usize,
    };
    (0..limit).map(|window| place(window)..place(window) + length + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_depends_on_seed_step_and_example_alone() {
        let windows = TrainingWindows::new(5, 1000, 16).unwrap();
        let other = TrainingWindows::new(6, 1000, 16).unwrap();
        assert_eq!(windows.window(3, 7), windows.window(3, 7));
        let differs = |a: &dyn Fn(u32, u64) -> Range<usize>| {
            (0..20).filter(|&i| a(i, 7) != windows.window(3, 7)).count() >= 18
        };
        assert!(differs(&|i, _| windows.window(i + 4, 7)));
        assert!(differs(&|i, _| windows.window(3, u64::from(i) + 8)));
        assert!(differs(&|i, _| other.window(i, 7)));
    }

    #[test]
    fn windows_reach_every_place_of_the_text_and_no_other() {
        let windows = TrainingWindows::new(1, 20, 16).unwrap();
        let mut seen = [0; 4];
        for step in 0..200 {
            let window = windows.window(step, 0);
            assert_eq!(window.len(), 17);
            seen[window.start] += 1;
        }
        assert!(seen.iter().all(|&count| count > 20), "{seen:?}");
        assert!(TrainingWindows::new(1, 16, 16).is_none());
        assert_eq!(TrainingWindows::new(1, 17, 16).unwrap().window(9, 9), 0..17);
    }

    #[test]
    fn a_short_text_is_predicted_whole_and_once() {
        for bytes in 0..60 {
            let windows = evaluation_windows(bytes, 7, 10);
            let predicted: Vec<usize> =
                windows.iter().flat_map(|window| window.start + 1..window.end).collect();
            assert_eq!(predicted, (1..bytes).collect::<Vec<_>>(), "{bytes}");
        }
    }

    #[test]
    fn a_long_text_gets_windows_from_its_first_byte_to_its_last() {
        let windows = evaluation_windows(1001, 10, 5);
        assert_eq!(windows, [0..11, 247..258, 495..506, 742..753, 990..1001]);
        let alone = evaluation_windows(1001, 10, 1);
        assert_eq!((alone.len(), &alone[0]), (1, &(0..11)));
    }
}
