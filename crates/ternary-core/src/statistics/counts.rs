//! How often each trit occurs.

use crate::packing::PackedTrits;

/// How many trits of a matrix are −1, 0 and +1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TritCounts {
    /// Trits that are −1.
    pub negative: usize,
    /// Trits that are 0.
    pub zero: usize,
    /// Trits that are +1.
    pub positive: usize,
}

impl TritCounts {
    /// Counts the trits of a matrix from a histogram of its packed bytes; nothing is unpacked.
    pub fn of(codes: &PackedTrits) -> Self {
        let layout = codes.layout();
        let packing = layout.packing();
        let mut bytes = [0; 256];
        codes.as_bytes().iter().for_each(|byte| bytes[usize::from(*byte)] += 1);
        let mut counts = [0; 3];
        for (byte, occurrences) in (0..=u8::MAX).zip(bytes).filter(|(_, n)| *n > 0) {
            for digit in 0..packing.trits_per_byte() {
                counts[usize::from(packing.digit(byte, digit))] += occurrences;
            }
        }
        let [negative, zero, positive] = counts;
        // The padding holds zero trits.
        let padded = layout.bytes() * packing.trits_per_byte();
        Self { negative, zero: zero - (padded - layout.rows() * layout.cols()), positive }
    }

    /// Number of trits.
    pub fn total(&self) -> usize {
        self.negative + self.zero + self.positive
    }

    /// The share of zeros; 0 for no trits.
    pub fn sparsity(&self) -> f64 {
        self.share(self.zero)
    }

    /// The entropy of the three symbols in bits for each weight, what an ideal code would need:
    ///
    /// ```text
    /// H = −Σ p(t) · log₂ p(t)      t = −1, 0, +1
    /// ```
    ///
    /// It lies between 0 (one symbol only, or no trits) and log₂ 3 = 1.585.
    pub fn effective_bits(&self) -> f64 {
        let shares = [self.negative, self.zero, self.positive].map(|count| self.share(count));
        shares.into_iter().filter(|p| *p > 0.0).map(|p| p * (1.0 / p).log2()).sum()
    }

    fn share(&self, count: usize) -> f64 {
        if count == 0 { 0.0 } else { count as f64 / self.total() as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packing::{Layout, Packing};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_are_those_of_the_unpacked_trits(
            (rows, segments, segment) in (0..35_usize, 0..4_usize, 1..45_usize),
            seed: u64,
        ) {
            let noise = crate::noise::Noise::new(seed, 0, 0);
            let cols = segments * segment;
            let three = std::num::NonZeroU64::new(3).unwrap();
            let trits: Vec<i8> =
                (0..(rows * cols) as u64).map(|i| noise.below(i, three) as i8 - 1).collect();
            for packing in Packing::ALL {
                let layout = Layout::new(rows, cols, segment, packing)?;
                let counts = TritCounts::of(&PackedTrits::from_trits(layout, &trits)?);
                let count = |trit| trits.iter().filter(|t| **t == trit).count();
                let expected =
                    TritCounts { negative: count(-1), zero: count(0), positive: count(1) };
                prop_assert_eq!(counts, expected);
                prop_assert_eq!(counts.total(), rows * cols);
            }
        }
    }

    #[test]
    fn entropy_is_that_of_three_symbols() {
        let bits =
            |negative, zero, positive| TritCounts { negative, zero, positive }.effective_bits();
        assert!((bits(5, 5, 5) - 3.0_f64.log2()).abs() < 1e-15);
        assert_eq!(bits(1, 2, 1), 1.5);
        assert_eq!(bits(3, 0, 3), 1.0);
        assert_eq!(bits(0, 9, 0), 0.0);
        assert_eq!(bits(0, 0, 0), 0.0);
    }

    #[test]
    fn sparsity_is_the_share_of_zeros_and_zero_for_an_empty_matrix() {
        assert_eq!(TritCounts { negative: 1, zero: 3, positive: 0 }.sparsity(), 0.75);
        assert_eq!(TritCounts::default().sparsity(), 0.0);
    }
}
