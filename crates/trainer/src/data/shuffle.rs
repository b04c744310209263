//! The order in which the windows of a text are seen.

use std::num::NonZeroU64;
use std::ops::Range;

use ternary_core::noise::Noise;

use crate::randomness::Purpose;

/// Rounds of the cipher; four make a permutation that looks random (Luby and Rackoff, SIAM J. Comput. 1988), and
/// halves of a few bits want more.
const ROUNDS: u32 = 8;

/// The windows of a text in epochs: each sees every window once, in an order of its own, and cuts the windows at
/// other places.
///
/// A window is a function of the seed and the number of the example alone: nothing is stored, and any thread can ask
/// for any example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingWindows {
    seed: u64,
    length: usize,
    /// Windows of an epoch.
    count: u64,
    /// Places that the first window of an epoch may start at.
    offsets: NonZeroU64,
}

impl TrainingWindows {
    /// Windows of `length` predictions in a text of `tokens` tokens; none if it holds no window.
    ///
    /// Of P = tokens − 1 predictions an epoch makes ⌊(P − min(length − 1, P − length)) / length⌋ windows, side by
    /// side, so that what is left over lets them begin at any place of the first window.
    pub fn new(seed: u64, tokens: usize, length: usize) -> Option<Self> {
        let predictions = tokens.checked_sub(1)?;
        let slack = predictions.checked_sub(length)?.min(length.checked_sub(1)?);
        let count = (predictions - slack) / length;
        let offsets = NonZeroU64::new((predictions - count * length) as u64 + 1)?;
        Some(Self { seed: Purpose::Order.seed(seed), length, count: count as u64, offsets })
    }

    /// Windows of an epoch.
    pub fn per_epoch(&self) -> u64 {
        self.count
    }

    /// The tokens that example `index` of the run sees, the first of which is not predicted.
    pub fn window(&self, index: u64) -> Range<usize> {
        let (epoch, number) = (index / self.count, index % self.count);
        // High and low half: an address has two words.
        let key = Noise::new(self.seed, (epoch >> 32) as u32, epoch as u32);
        let offset = key.below(0, self.offsets);
        let window = permuted(key.wide_bits(2), self.count, number);
        let start = (offset + window * self.length as u64) as usize;
        start..start + self.length + 1
    }
}

/// The place of `number` in a permutation of 0‥count that `key` chooses.
///
/// A Feistel network permutes the numbers of the next even count of bits, (L, R) ← (R, L ⊕ f(R)); it is applied
/// until the result is below `count`, which stays a permutation (cycle walking: Black and Rogaway, CT-RSA 2002).
pub(super) fn permuted(key: u64, count: u64, number: u64) -> u64 {
    let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
    let half = bits.div_ceil(2).max(1);
    let mask = (1_u64 << half) - 1;
    let mut number = number;
    loop {
        let (mut left, mut right) = (number >> half, number & mask);
        for round in 0..ROUNDS {
            let noise = u64::from(Noise::new(key, round, 0).bits(right));
            (left, right) = (right, left ^ (noise & mask));
        }
        number = left << half | right;
        if number < count {
            return number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_one_place_of_its_own() {
        for count in (1..70).chain([255, 256, 257, 1000, 4097]) {
            for key in 0..3 {
                let mut places: Vec<u64> = (0..count).map(|n| permuted(key, count, n)).collect();
                places.sort_unstable();
                assert_eq!(places, (0..count).collect::<Vec<_>>(), "{count}, {key}");
            }
        }
    }

    #[test]
    fn large_counts_are_permuted_too() {
        for count in [u64::from(u32::MAX), 1 << 40, (1 << 62) + 1, u64::MAX] {
            let places: std::collections::BTreeSet<u64> =
                (0..100).map(|n| permuted(1, count, n)).collect();
            assert_eq!(places.len(), 100);
            assert!(places.iter().all(|&place| place < count));
        }
    }

    /// Over many keys a number goes to each place equally often, and so does a pair of neighbours to each order.
    #[test]
    fn places_are_uniform_over_keys() {
        let (mut places, mut rising) = ([0_u32; 10], 0);
        let keys = 4000;
        for key in 0..keys {
            places[permuted(key, 10, 3) as usize] += 1;
            rising += u32::from(permuted(key, 10, 4) < permuted(key, 10, 5));
        }
        // Four standard deviations: √(4000 · 0.1 · 0.9) = 19, √(4000 · 0.5 · 0.5) = 31.6.
        assert!(places.iter().all(|&count| count.abs_diff(400) < 76), "{places:?}");
        assert!(rising.abs_diff(2000) < 127, "{rising}");
    }

    #[test]
    fn an_epoch_sees_every_window_once_and_the_next_one_in_another_order() {
        let windows = TrainingWindows::new(5, 1000, 16).unwrap();
        let count = windows.per_epoch();
        assert_eq!(count, 61);
        let epoch = |epoch: u64| -> Vec<Range<usize>> {
            (epoch * count..(epoch + 1) * count).map(|index| windows.window(index)).collect()
        };
        let sorted = |mut windows: Vec<Range<usize>>| {
            windows.sort_by_key(|window| window.start);
            windows
        };
        for number in 0..20 {
            let windows = sorted(epoch(number));
            assert!(windows.iter().all(|window| window.len() == 17 && window.end <= 1000));
            assert!(windows.windows(2).all(|pair| pair[1].start == pair[0].start + 16));
        }
        let differs = |a: u64, b: u64| {
            (0..count)
                .filter(|n| {
                    windows.window(a * count + n).start / 16
                        != windows.window(b * count + n).start / 16
                })
                .count()
                > 50
        };
        assert!(differs(0, 1) && differs(1, 2) && differs(0, 1 << 40));
        let other = TrainingWindows::new(6, 1000, 16).unwrap();
        assert!((0..count).filter(|&n| other.window(n) != windows.window(n)).count() > 50);
    }

    #[test]
    fn windows_reach_every_place_of_the_text_and_no_other() {
        for (tokens, length, starts) in [(20, 16, 4), (17, 16, 1), (33, 16, 17), (50, 16, 34)] {
            let windows = TrainingWindows::new(1, tokens, length).unwrap();
            let mut seen = vec![0; starts];
            for index in 0..100 * starts as u64 {
                seen[windows.window(index).start] += 1;
            }
            assert!(seen.iter().all(|&count| count > 20), "{tokens}: {seen:?}");
        }
        assert!(TrainingWindows::new(1, 16, 16).is_none());
        assert!(TrainingWindows::new(1, 0, 16).is_none());
    }
}
