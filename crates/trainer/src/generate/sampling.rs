//! The next token, drawn from the scores of all.

use ternary_core::noise::Noise;

use crate::error::{Error, Result};
use crate::randomness::Purpose;

/// How tokens are drawn: from softmax(scores / temperature), of the likeliest ones alone where that is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// What scores are divided by; 0 takes the likeliest token.
    pub temperature: f64,
    /// Only so many of the likeliest tokens are drawn from; 0 for all.
    pub top_k: usize,
    /// Only the fewest of the likeliest tokens are drawn from that have this share of the probability together
    /// (nucleus sampling, arXiv 1904.09751); 1 for all.
    pub top_p: f64,
    /// Where the randomness comes from.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.8, top_k: 0, top_p: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// Checks that the numbers are in their ranges.
    ///
    /// # Errors
    /// [`Error::Sampling`].
    pub fn check(&self) -> Result<()> {
        let Self { temperature, top_p, .. } = *self;
        for (what, expected, found, holds) in [
            (
                "temperature",
                "a finite number of at least 0",
                temperature,
                temperature >= 0.0 && temperature.is_finite(),
            ),
            ("top-p", "a number above 0 and up to 1", top_p, top_p > 0.0 && top_p <= 1.0),
        ] {
            if !holds {
                return Err(Error::Sampling { what, expected, found });
            }
        }
        Ok(())
    }

    /// The token that comes at `position`: a function of the scores, the seed and the position. Tokens of the
    /// same score rank by their numbers.
    ///
    /// # Errors
    /// Scores that are not finite.
    pub fn draw(&self, scores: &[f32], position: usize) -> Result<u32> {
        if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
            let (layer, value) = ("head".to_owned(), f64::from(scores[index]));
            let error = nn::Error::NonFinite { layer, what: "score", index, value };
            return Err(Error::Model(error.into()));
        }
        let mut ranked: Vec<u32> = (0..scores.len() as u32).collect();
        let score = |token: u32| f64::from(scores[token as usize]);
        let rank = |a: &u32, b: &u32| score(*b).total_cmp(&score(*a)).then(a.cmp(b));
        let Some(likeliest) = ranked.iter().copied().min_by(rank) else { return Ok(0) };
        if self.temperature == 0.0 {
            return Ok(likeliest);
        }
        if (1..ranked.len()).contains(&self.top_k) {
            ranked.select_nth_unstable_by(self.top_k - 1, rank);
            ranked.truncate(self.top_k);
        }
        if self.top_p < 1.0 {
            ranked.sort_unstable_by(rank);
        }
        let largest = score(likeliest);
        let weight = |&token: &u32| ((score(token) - largest) / self.temperature).exp();
        let weights: Vec<f64> = ranked.iter().map(weight).collect();
        let total: f64 = weights.iter().sum();
        let mut kept = 0.0;
        let mut count = 0;
        while count < weights.len() && (self.top_p >= 1.0 || kept < self.top_p * total) {
            kept += weights[count];
            count += 1;
        }
        let noise = Noise::new(Purpose::Sampling.seed(self.seed), 0, 0);
        let mut left = noise.uniform_f64(position as u64) * kept;
        let chosen = weights[..count].iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        // Rounding may leave a little.
        Ok(chosen.or(count.checked_sub(1)).map_or(likeliest, |chosen| ranked[chosen]))
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::LN_2;

    use super::*;

    /// Probabilities 1/4, 1/2, 1/8, 1/8 at temperature 1.
    const SCORES: [f32; 4] = [LN_2, 2.0 * LN_2, 0.0, 0.0];

    fn counts(sampling: Sampling) -> [usize; 4] {
        let mut counts = [0; 4];
        for position in 0..4000 {
            counts[sampling.draw(&SCORES, position).unwrap() as usize] += 1;
        }
        counts
    }

    #[test]
    fn tokens_come_as_often_as_they_are_likely() {
        let plain = Sampling { temperature: 1.0, ..Sampling::default() };
        for (found, expected) in counts(plain).into_iter().zip([1000.0, 2000.0, 500.0, 500.0]) {
            assert!((found as f64 - expected).abs() < 4.0 * expected.sqrt(), "{found} {expected}");
        }
        assert_ne!(counts(Sampling { seed: 1, ..plain }), counts(plain));
        // p² over the sum of squares: 4, 16, 1, 1 of 22.
        let [second, first, ..] = counts(Sampling { temperature: 0.5, ..plain });
        assert!((first as f64 / second as f64 - 4.0).abs() < 0.5);
    }

    #[test]
    fn only_the_likeliest_are_drawn_where_that_is_asked_for() {
        let plain = Sampling { temperature: 1.0, ..Sampling::default() };
        let [second, first, third, fourth] = counts(Sampling { top_k: 2, ..plain });
        assert!(second > 1000 && first > 2000 && third == 0 && fourth == 0);
        let [_, _, third, fourth] = counts(Sampling { top_p: 0.8, ..plain });
        assert!(third > 300 && fourth == 0);
        assert_eq!(counts(Sampling { top_p: 0.5, ..plain }), [0, 4000, 0, 0]);
        assert_eq!(counts(Sampling { temperature: 0.0, ..plain }), [0, 4000, 0, 0]);
        assert_eq!(counts(Sampling { temperature: 1e-300, ..plain }), [0, 4000, 0, 0]);
    }

    #[test]
    fn scores_that_are_not_finite_are_an_error() {
        let error = Sampling::default().draw(&[0.0, f32::NAN], 0).unwrap_err().to_string();
        assert_eq!(error, "head: score: expected finite numbers, found NaN at index 1");
        assert_eq!(Sampling::default().draw(&[0.0], 0).unwrap(), 0);
    }
}
