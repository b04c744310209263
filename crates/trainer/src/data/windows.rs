//! Which tokens an evaluation reads, and which it predicts.
//!
//! A window of `length` predictions is `length + 1` tokens: the model reads all but the last and
//! predicts all but the first.

use std::ops::Range;

/// Tokens that a model reads at a time, and the first predictions of them that do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its tokens.
    pub range: Range<usize>,
    /// Predictions at its beginning that another window counts, with more tokens before them.
    pub context: usize,
}

/// The windows of an evaluation, of which each but the last predicts `length` tokens.
///
/// Up to `limit` windows cover a text of that size whole: every token but the first is predicted exactly
/// once, and the last window is as short as it must be. A longer text gets `limit` full windows, spread
/// evenly from its first token to its last.
pub fn evaluation_windows(tokens: usize, length: usize, limit: usize) -> Vec<Range<usize>> {
    sliding_windows(tokens, length, length, limit).into_iter().map(|window| window.range).collect()
}

/// The same windows, each `stride` tokens after the one before: what both predict, the earlier one counts. So every
/// token but those of the first window is predicted from at least `length` − `stride` others before it. Of windows that
/// are spread over a longer text the last `stride` predictions count.
///
/// # Panics
/// When `stride` is 0 or above `length`.
pub fn sliding_windows(tokens: usize, length: usize, stride: usize, limit: usize) -> Vec<Window> {
    assert!((1..=length).contains(&stride), "a stride of 1 to the length of a window");
    let predictions = tokens.saturating_sub(1);
    let needed = match predictions {
        0 => 0,
        _ => 1 + predictions.saturating_sub(length).div_ceil(stride),
    };
    if needed <= limit {
        return (0..needed)
            .map(|window| {
                let start = window * stride;
                let range = start..(start + length).min(predictions) + 1;
                Window { range, context: if window == 0 { 0 } else { length - stride } }
            })
            .collect();
    }
    let last = tokens - (length + 1);
    let place = |window: usize| match limit {
        1 => 0,
        // In 128 bits: a place times a number of windows may exceed a word.
        _ => (window as u128 * last as u128 / (limit as u128 - 1)) as usize,
    };
    let window =
        |start: usize| Window { range: start..start + length + 1, context: length - stride };
    (0..limit).map(place).map(window).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn windows_that_slide_count_every_token_once_with_enough_before_it() {
        for tokens in 0..60 {
            for stride in 1..=7 {
                let mut counted = Vec::new();
                for Window { range, context } in sliding_windows(tokens, 7, stride, usize::MAX) {
                    assert!(range.len() <= 8);
                    let first = range.start + 1 + context;
                    assert!(first < range.end, "a window that counts nothing");
                    assert!(range.start == 0 || context >= 7 - stride);
                    counted.extend(first..range.end);
                }
                assert_eq!(counted, (1..tokens).collect::<Vec<_>>(), "{tokens} by {stride}");
            }
        }
        let spread = sliding_windows(1001, 10, 4, 3);
        assert_eq!(spread.last(), Some(&Window { range: 990..1001, context: 6 }));
        assert!(spread.iter().all(|window| window.context == 6));
    }
}
