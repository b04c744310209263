//! Where the latent weights of a matrix lie: how far from zero, and how many where nothing moves them.

use serde::{Deserialize, Serialize};
use ternary_core::{Scales, TernaryMatrix, Weights};

/// How many latent weights lie where, in units of the scale α of their group (the mean of W_n and W_p where the
/// signs are apart): [`Histogram::BINS`] bins of equal width over ±[`Histogram::REACH`] α, the middle one
/// around 0. What lies beyond is counted in the first and the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram(Vec<u64>);

/// What the latent weights of a matrix tell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Latent {
    /// The share in the dead zone.
    pub(super) dead_zone: f64,
    pub(super) histogram: Histogram,
}

impl Histogram {
    /// Bins.
    pub const BINS: usize = 33;
    /// Where the outer edges are, in scales.
    pub const REACH: f64 = 3.0;

    fn new() -> Self {
        Self(vec![0; Self::BINS])
    }

    fn add(&mut self, ratio: f64) {
        let share = (ratio / Self::REACH + 1.0) / 2.0;
        // A cast to an integer saturates, and takes NaN, which 0 / 0 is, to 0.
        let bin =
            if share.is_nan() { Self::BINS / 2 } else { (share * Self::BINS as f64) as usize };
        self.0[bin.min(Self::BINS - 1)] += 1;
    }

    /// The counts, from the most negative weights to the most positive.
    pub fn counts(&self) -> &[u64] {
        &self.0
    }

    /// The edge, in scales, before bin `bin`; of one bin more than there are, the last edge.
    pub fn edge(&self, bin: usize) -> f64 {
        (2.0 * bin as f64 / self.0.len().max(1) as f64 - 1.0) * Self::REACH
    }
}

/// Counts the latent weights of `matrix`.
///
/// The dead zone is the middle half of the zero zone:
///
/// ```text
/// Δ_g  = max |w_i| over the i of group g with trit 0
/// dead = |{ i : |w_i| < Δ_g / 2 }| / n
/// ```
///
/// Δ is read off the codes, so that it is right for every rule; under noise at the boundary it is where the noise
/// reaches. Weights there are furthest from a change of their code. A group without zeros has no dead zone.
///
/// None where there are not as many latent weights as codes.
pub(super) fn latent(matrix: &TernaryMatrix, weights: Weights<'_>) -> Option<Latent> {
    let (rows, cols, scales) = (matrix.rows(), matrix.cols(), matrix.scales());
    let columns = scales.granularity().columns_per_scale(cols).ok()?;
    if weights.len() != rows * cols || cols == 0 {
        return None;
    }
    let group = |row, col| scales.granularity().index(row, col / columns, cols / columns);
    let mut thresholds = vec![0.0_f32; scales.len()];
    let mut widened = vec![0.0; cols];
    for row in 0..rows {
        weights.slice(row * cols..(row + 1) * cols).widen(&mut widened);
        let seen = matrix.visit_row(row, |col, weight| {
            if weight == 0.0 {
                let threshold = &mut thresholds[group(row, col)];
                *threshold = threshold.max(widened[col].abs());
            }
        });
        seen.ok()?;
    }
    let (mut dead, mut histogram) = (0_usize, Histogram::new());
    for row in 0..rows {
        weights.slice(row * cols..(row + 1) * cols).widen(&mut widened);
        for (col, &weight) in widened.iter().enumerate() {
            let group = group(row, col);
            dead += usize::from(weight.abs() < thresholds[group] / 2.0);
            histogram.add(f64::from(weight) / scale(scales, group));
        }
    }
    Some(Latent { dead_zone: dead as f64 / weights.len() as f64, histogram })
}

/// α of a group, or the mean of its two.
fn scale(scales: &Scales, group: usize) -> f64 {
    (f64::from(scales.negative()[group]) + f64::from(scales.positive()[group])) / 2.0
}

#[cfg(test)]
mod tests {
    use ternary_core::{Granularity, Packing};

    use super::*;

    fn matrix(
        trits: &[i8],
        rows: usize,
        granularity: Granularity,
        scales: &[f32],
    ) -> TernaryMatrix {
        let scales = Scales::symmetric(granularity, scales.to_vec()).unwrap();
        let cols = trits.len() / rows;
        TernaryMatrix::from_trits(rows, cols, trits, scales, Packing::TwoBit).unwrap()
    }

    #[test]
    fn the_dead_zone_is_the_middle_half_of_the_zero_zone_of_each_group() {
        let trits = [0, 0, 0, 1, /* a row of wider zeros */ 0, 0, 0, -1];
        let matrix = matrix(&trits, 2, Granularity::Row, &[1.0, 10.0]);
        let weights = [0.5_f32, 0.24, -0.1, 0.9, 5.0, 2.6, -2.4, -9.0];
        let found = latent(&matrix, Weights::F32(&weights)).unwrap();
        assert_eq!(found.dead_zone, 3.0 / 8.0);
    }

    #[test]
    fn without_zeros_nothing_is_dead_and_without_scale_all_of_zero_is_in_the_middle() {
        let full = matrix(&[1, -1], 1, Granularity::Tensor, &[1.0]);
        assert_eq!(latent(&full, Weights::F32(&[0.1, -0.1])).unwrap().dead_zone, 0.0);
        let zero = matrix(&[0, 0, 0], 1, Granularity::Tensor, &[0.0]);
        let found = latent(&zero, Weights::F32(&[0.0, 0.0, 1.0])).unwrap();
        let counts = found.histogram.counts();
        assert_eq!((counts[16], counts[32]), (2, 1));
    }

    #[test]
    fn bins_are_of_one_width_around_zero_and_hold_what_lies_beyond() {
        let weights = [-1e30_f32, -6.0, -0.18, 0.0, 0.18, 0.19, 5.99, 7.0];
        let matrix = matrix(&[-1, -1, 0, 0, 0, 0, 1, 1], 1, Granularity::Tensor, &[2.0]);
        let found = latent(&matrix, Weights::F32(&weights)).unwrap();
        let counts = found.histogram.counts();
        assert_eq!(counts.len(), Histogram::BINS);
        // A bin is 6/33 α wide, so that the middle one reaches to 0.0909 α = 0.1818.
        let expected = [(0, 2), (16, 3), (17, 1), (32, 2)];
        assert!(expected.iter().all(|&(bin, count)| counts[bin] == count), "{counts:?}");
        assert_eq!(counts.iter().sum::<u64>(), 8);
        assert_eq!((found.histogram.edge(0), found.histogram.edge(33)), (-3.0, 3.0));
        assert_eq!(serde_json::to_value(&found.histogram).unwrap()[0], 2);
    }

    #[test]
    fn latent_weights_of_another_number_tell_nothing() {
        let matrix = matrix(&[0, 1], 1, Granularity::Tensor, &[1.0]);
        assert_eq!(latent(&matrix, Weights::F32(&[0.0])), None);
    }
}
