//! Online hard example mining: which items of a batch a step learns from.
//!
//! Shrivastava, Gupta, Girshick (CVPR 2016) go back only through the items of the highest loss. For
//! language models Lin et al. (Rho-1, arXiv 2404.07965) choose tokens by their loss above that of a
//! reference model; the raw loss that is used here favours what is noise. It changes the objective, so the
//! mean is taken over what is kept, at least half is kept unless told otherwise, and a model is always
//! evaluated on everything.

use nn::Error;

/// What is kept or left out as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Items {
    /// Each token by itself: the others are still seen, but not predicted.
    #[default]
    Tokens,
    /// Each window by its mean loss: the others are not run again.
    Examples,
}

/// How many of the hardest items are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selection {
    /// The share that is kept at most.
    pub rate: f64,
    /// Items whose loss is not above it are left out; 0 leaves none out.
    pub threshold: f64,
    /// The share that is kept whatever the threshold says.
    pub minimum: f64,
}

impl Selection {
    /// Whether it could leave anything out.
    pub fn is_on(&self) -> bool {
        self.rate < 1.0 || self.threshold > 0.0
    }

    /// The items that are kept, in rising order: of n losses the round(rate · n) highest, at least one,
    /// and of those the ones above the threshold, at least round(minimum · n). Of equal losses the first
    /// are kept, so that the choice depends on the losses alone.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for a loss that is NaN or infinite: no order is to be trusted then.
    pub fn select(&self, losses: &[f64]) -> Result<Vec<usize>, Error> {
        if let Some(index) = losses.iter().position(|loss| !loss.is_finite()) {
            let (layer, value) = ("mining".to_owned(), losses[index]);
            return Err(Error::NonFinite { layer, what: "loss", index, value });
        }
        let share = |share: f64| {
            ((share * losses.len() as f64).round() as usize).clamp(1, losses.len().max(1))
        };
        let mut hardest: Vec<usize> = (0..losses.len()).collect();
        // Stable: equal losses stay in their order, zeros of both signs among them (−0 + 0 is 0).
        hardest.sort_by(|&a, &b| (losses[b] + 0.0).total_cmp(&(losses[a] + 0.0)));
        hardest.truncate(share(self.rate));
        if self.threshold > 0.0 {
            let above = hardest.iter().filter(|&&item| losses[item] > self.threshold).count();
            hardest.truncate(above.max(share(self.minimum)));
        }
        hardest.sort_unstable();
        Ok(hardest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [f64; 6] = [1.0, 5.0, 3.0, 3.0, 0.5, 3.0];

    fn select(rate: f64, threshold: f64, minimum: f64, losses: &[f64]) -> Vec<usize> {
        Selection { rate, threshold, minimum }.select(losses).unwrap()
    }

    #[test]
    fn the_highest_losses_are_kept_in_their_order_and_of_equal_ones_the_first() {
        assert_eq!(select(0.5, 0.0, 0.5, &LOSSES), [1, 2, 3]);
        assert_eq!(select(2.0 / 3.0, 0.0, 0.5, &LOSSES), [1, 2, 3, 5]);
        assert_eq!(select(0.5, 0.0, 0.5, &[2.0; 6]), [0, 1, 2]);
        assert_eq!(select(1.0, 0.0, 0.5, &LOSSES), [0, 1, 2, 3, 4, 5]);
        assert_eq!(select(0.5, 0.0, 0.5, &[-0.0, 0.0, 0.0, -0.0]), [0, 1]);
    }

    #[test]
    fn one_is_kept_at_least_and_of_none_none() {
        assert_eq!(select(1e-9, 0.0, 1e-9, &LOSSES), [1]);
        assert_eq!(select(1e-9, 100.0, 1e-9, &[4.0]), [0]);
        assert_eq!(select(0.5, 1.0, 0.5, &[]), [0_usize; 0]);
    }

    #[test]
    fn a_threshold_leaves_out_what_is_not_above_it_down_to_the_minimum() {
        assert_eq!(select(1.0, 0.9, 0.1, &LOSSES), [0, 1, 2, 3, 5]);
        assert_eq!(select(1.0, 3.0, 0.1, &LOSSES), [1], "3 is not above 3");
        assert_eq!(select(1.0, 3.0, 0.5, &LOSSES), [1, 2, 3]);
        assert_eq!(select(0.5, 0.1, 0.1, &LOSSES), [1, 2, 3], "the rate still holds");
        assert_eq!(select(0.5, 9.0, 1.0, &LOSSES), [1, 2, 3], "and over the minimum");
    }

    #[test]
    fn it_is_the_choice_of_a_plain_search_for_the_highest() {
        let noise = ternary_core::noise::Noise::new(1, 2, 3);
        for count in 1..40_u64 {
            // Few values, so that many are equal.
            let losses: Vec<f64> =
                (0..count).map(|i| f64::from(noise.bits(i * count) % 5)).collect();
            let mut left: Vec<usize> = (0..losses.len()).collect();
            let kept = (0.7 * losses.len() as f64).round().max(1.0) as usize;
            let mut expected: Vec<usize> = (0..kept)
                .map(|_| {
                    let mut best = 0;
                    for place in 1..left.len() {
                        if losses[left[place]] > losses[left[best]] {
                            best = place;
                        }
                    }
                    left.remove(best)
                })
                .collect();
            expected.sort_unstable();
            assert_eq!(select(0.7, 0.0, 0.5, &losses), expected);
        }
    }

    #[test]
    fn losses_that_are_not_finite_are_an_error() {
        for wrong in [f64::NAN, f64::INFINITY] {
            let selection = Selection { rate: 0.5, threshold: 0.0, minimum: 0.5 };
            let error = selection.select(&[1.0, wrong]).unwrap_err().to_string();
            assert!(error.contains("mining: loss") && error.contains("index 1"), "{error}");
        }
    }
}
