//! Sums over the weights beyond a threshold.

use crate::weights::Weights;

/// Independent partial sums: enough for the compiler to fill its vectors.
const LANES: usize = 16;

/// How many weights of one sign a threshold keeps, and the sum of their magnitudes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Kept {
    pub(super) sum: f64,
    pub(super) count: usize,
}

impl Kept {
    /// The mean magnitude; `None` when nothing is kept.
    pub(super) fn mean(self) -> Option<f32> {
        (self.count > 0).then(|| (self.sum / self.count as f64) as f32)
    }
}

/// The negative and the positive weights (finite, checked by the caller) with |w| > `threshold`, summed
/// in `f64` in one fixed order.
pub(super) fn kept_by_sign(weights: Weights<'_>, threshold: f32) -> [Kept; 2] {
    let mut sums = [[0.0; LANES]; 2];
    let mut counts = [[0; LANES]; 2];
    weights.for_each_chunk(|chunk| {
        for weights in chunk.chunks(LANES) {
            for (lane, &weight) in weights.iter().enumerate() {
                for (sign, weight) in [-weight, weight].into_iter().enumerate() {
                    let kept = weight > threshold;
                    sums[sign][lane] += if kept { f64::from(weight) } else { 0.0 };
                    counts[sign][lane] += usize::from(kept);
                }
            }
        }
    });
    [0, 1].map(|sign| Kept { sum: sums[sign].iter().sum(), count: counts[sign].iter().sum() })
}

/// All weights with |w| > `threshold`: the least-squares α of that threshold is their mean magnitude.
pub(super) fn kept(weights: Weights<'_>, threshold: f32) -> Kept {
    let [negative, positive] = kept_by_sign(weights, threshold);
    Kept { sum: negative.sum + positive.sum, count: negative.count + positive.count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_summed_apart_and_ties_are_left_out() {
        let weights: Vec<f32> = (-50..=40).map(|i| i as f32 / 4.0).collect();
        let [negative, positive] = kept_by_sign(Weights::from(&weights[..]), 2.0);
        assert_eq!(negative, Kept { sum: (9..=50).sum::<i32>() as f64 / 4.0, count: 42 });
        assert_eq!(positive, Kept { sum: (9..=40).sum::<i32>() as f64 / 4.0, count: 32 });
        let both = kept(Weights::from(&weights[..]), 2.0);
        assert_eq!(both, Kept { sum: negative.sum + positive.sum, count: 74 });
        assert_eq!(kept(Weights::from(&weights[..]), 12.5).mean(), None);
    }
}
