//! Numbers that cases are made of: random, the same in every run, and away from kinks.

use ternary_core::noise::{Noise, name_hash};

/// `count` numbers of (−1, 1) whose magnitude is at least 1/16, a stream for each name.
pub(crate) fn signed(name: &str, count: usize) -> Vec<f64> {
    let mut values = uniform(name, count, -1.0, 1.0);
    for value in &mut values {
        *value = (0.0625 + 0.9375 * value.abs()).copysign(*value);
    }
    values
}

/// `count` numbers of [low, high), a stream for each name.
pub(crate) fn uniform(name: &str, count: usize, low: f64, high: f64) -> Vec<f64> {
    let mut values = vec![0.0; count];
    Noise::new(name_hash(name), 0, 0).fill_uniform_f64(0, &mut values);
    for value in &mut values {
        *value = low + (high - low) * *value;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_stream_and_another_name_another() {
        assert_eq!(signed("a", 8), signed("a", 8));
        assert_ne!(signed("a", 8), signed("b", 8));
    }

    #[test]
    fn signed_numbers_have_both_signs_and_stay_away_from_zero() {
        let values = signed("x", 200);
        assert!(values.iter().all(|value| (0.0625..1.0).contains(&value.abs())));
        let negative = values.iter().filter(|&&value| value < 0.0).count();
        assert!((70..130).contains(&negative), "{negative}");
    }

    #[test]
    fn uniform_numbers_fill_their_range() {
        let values = uniform("y", 1000, 2.0, 5.0);
        assert!(values.iter().all(|value| (2.0..5.0).contains(value)));
        let mean = values.iter().sum::<f64>() / 1000.0;
        assert!((mean - 3.5).abs() < 4.0 * 3.0 / 12_f64.sqrt() / 1000_f64.sqrt(), "{mean}");
    }
}
