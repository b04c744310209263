//! Which tokens an evaluation reads, and which it predicts.
//!
//! A window of `length` predictions is `length + 1` tokens: the model reads all but the last and
//! predicts all but the first.

use std::ops::Range;

/// The windows of an evaluation, of which each but the last predicts `length` tokens.
///
/// Up to `limit` windows cover a text of that size whole: every token but the first is predicted exactly
/// once, and the last window is as short as it must be. A longer text gets `limit` full windows, spread
/// evenly from its first token to its last.
pub fn evaluation_windows(tokens: usize, length: usize, limit: usize) -> Vec<Range<usize>> {
    let predictions = tokens.saturating_sub(1);
    let needed = predictions.div_ceil(length);
    if needed <= limit {
        return (0..needed)
            .map(|window| window * length..((window + 1) * length).min(predictions) + 1)
            .collect();
    }
    let last = tokens - (length + 1);
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
