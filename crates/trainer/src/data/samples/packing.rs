//! [`Packs`]: samples side by side in windows.

use ternary_core::noise::Noise;

use crate::data::shuffle::permuted;
use crate::randomness::Purpose;

/// Which samples each window holds, in epochs: each sees every window once, in an order of its own.
///
/// A window of L tokens holds ⌊L/l⌋ samples, the longest of which has l: a sequence for each, filled up to l unless
/// [sharing](Sharing) is for equals. So none sees another, in attention and in recurrent layers alike, and samples of about
/// the same length are together, which leaves little to fill up. Which samples those are is chosen once for the whole run; among samples of the same length
/// by chance.
///
/// What a window holds is a function of the seed and the number of the window alone.
#[derive(Debug)]
pub(super) struct Packs {
    seed: u64,
    /// Every sample once, window after window.
    samples: Vec<usize>,
    /// Where each window ends in them.
    ends: Vec<usize>,
}

/// Which samples share a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Each has one of its own.
    Alone,
    /// Those of the same length, for models in which tokens that fill a sequence up would count: routers of experts
    /// balance all rows.
    Equals,
    /// Those of about the same length.
    Filled,
}

impl Packs {
    /// Packs samples, each given by a number and by its tokens, of which there are 1 to `length`.
    pub(super) fn new(
        lengths: &[(usize, usize)],
        length: usize,
        sharing: Sharing,
        seed: u64,
    ) -> Self {
        let seed = Purpose::Order.seed(seed);
        let noise = Noise::new(seed, 0, 0);
        let mut order = lengths.to_vec();
        order.sort_by_key(|&(sample, tokens)| {
            (std::cmp::Reverse(tokens), noise.wide_bits(sample as u64), sample)
        });
        let mut packs = Self { seed, samples: Vec::with_capacity(order.len()), ends: Vec::new() };
        let mut rest = &order[..];
        while let Some(&(_, longest)) = rest.first() {
            let room = (length / longest.max(1)).max(1).min(rest.len());
            let room = match sharing {
                Sharing::Alone => 1,
                Sharing::Equals => rest[..room].partition_point(|&(_, tokens)| tokens == longest),
                Sharing::Filled => room,
            };
            let (pack, others) = rest.split_at(room);
            packs.samples.extend(pack.iter().map(|&(sample, _)| sample));
            packs.ends.push(packs.samples.len());
            rest = others;
        }
        packs
    }

    /// Windows of an epoch.
    pub(super) fn per_epoch(&self) -> usize {
        self.ends.len()
    }

    /// The samples of window `index` of the run, the longest first; none where there are no samples.
    pub(super) fn of(&self, index: u64) -> &[usize] {
        let count = self.ends.len() as u64;
        if count == 0 {
            return &[];
        }
        let (epoch, number) = (index / count, index % count);
        let key = Noise::new(self.seed, (epoch >> 32) as u32, epoch as u32);
        let pack = permuted(key.wide_bits(2), count, number) as usize;
        let start = pack.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.samples[start..self.ends[pack]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(lengths: &[usize]) -> Vec<(usize, usize)> {
        lengths.iter().copied().enumerate().map(|(sample, tokens)| (10 + sample, tokens)).collect()
    }

    #[test]
    fn an_epoch_sees_every_sample_once_and_the_next_one_in_another_order() {
        let lengths = lengths(&(0..200).map(|n| 1 + n * 7 % 40).collect::<Vec<_>>());
        let packs = Packs::new(&lengths, 40, Sharing::Filled, 3);
        let count = packs.per_epoch() as u64;
        let epoch = |epoch: u64| -> Vec<usize> {
            (epoch * count..(epoch + 1) * count)
                .flat_map(|window| packs.of(window).to_vec())
                .collect()
        };
        let first = epoch(0);
        for number in [0, 1, 1 << 40] {
            let mut samples = epoch(number);
            assert!(number == 0 || samples != first);
            samples.sort_unstable();
            assert_eq!(samples, (10..210).collect::<Vec<_>>());
        }
        assert_ne!(Packs::new(&lengths, 40, Sharing::Filled, 4).of(0), packs.of(0));
        assert_eq!(Packs::new(&lengths, 40, Sharing::Filled, 3).of(5), packs.of(5));
    }

    #[test]
    fn a_window_holds_as_many_samples_as_it_has_room_for_at_the_length_of_the_longest() {
        let given = lengths(&[16, 3, 8, 8, 2, 7, 4]);
        let packs = Packs::new(&given, 16, Sharing::Filled, 1);
        let mut windows: Vec<Vec<usize>> =
            (0..packs.per_epoch() as u64).map(|window| packs.of(window).to_vec()).collect();
        windows.iter_mut().for_each(|window| window.sort_unstable());
        windows.sort_unstable();
        assert_eq!(windows, [vec![10], vec![11, 14], vec![12, 13], vec![15, 16]]);
        let alone = Packs::new(&given, 16, Sharing::Alone, 1);
        assert_eq!(alone.per_epoch(), 7);
        assert!((0..7).all(|window| alone.of(window).len() == 1));
        let equals = Packs::new(&given, 16, Sharing::Equals, 1);
        assert_eq!(equals.per_epoch(), 6);
        assert!(
            (0..6).any(|window| [[12, 13], [13, 12]].iter().any(|pair| equals.of(window) == pair))
        );
        assert_eq!(Packs::new(&[], 16, Sharing::Filled, 1).of(9), [0; 0]);
    }

    #[test]
    fn which_samples_of_a_length_are_together_is_chosen_by_the_seed() {
        let given = lengths(&[8; 64]);
        let together = |seed: u64| {
            let packs = Packs::new(&given, 16, Sharing::Filled, seed);
            let mut windows: Vec<Vec<usize>> =
                (0..32).map(|window| packs.of(window).to_vec()).collect();
            windows.iter_mut().for_each(|window| window.sort_unstable());
            windows.sort_unstable();
            windows
        };
        assert_eq!(together(1), together(1));
        assert_ne!(together(1), together(2));
    }
}
