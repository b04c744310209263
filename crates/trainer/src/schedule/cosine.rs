//! Warm-up, then a half cosine.

use std::f64::consts::PI;

/// A learning rate that rises linearly to its peak and then falls along half a cosine wave (Loshchilov
/// and Hutter, "SGDR", ICLR 2017). With W warm-up steps of N in all, step s = 0‥N has
///
/// ```text
/// s < W:   peak · (s + 1) / W
/// else:    end + (peak − end) · ½(1 + cos π·p),   p = (s + 1 − W) / (N − W)
/// ```
///
/// so step W − 1 has exactly the peak and the last step exactly the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cosine {
    /// The highest learning rate.
    pub peak: f64,
    /// The learning rate of the last step.
    pub end: f64,
    /// Steps of the warm-up.
    pub warm_up: u32,
    /// All steps.
    pub steps: u32,
}

impl Cosine {
    /// The learning rate of a step; after the last one it stays at the end.
    pub fn learning_rate(&self, step: u32) -> f64 {
        let Self { peak, end, warm_up, steps } = *self;
        if step < warm_up {
            return peak * f64::from(step + 1) / f64::from(warm_up);
        }
        if step >= steps.saturating_sub(1) {
            return end;
        }
        let progress = f64::from(step + 1 - warm_up) / f64::from(steps - warm_up);
        end + (peak - end) * 0.5 * (1.0 + (PI * progress).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Cosine = Cosine { peak: 2.0, end: 0.5, warm_up: 10, steps: 111 };

    #[test]
    fn it_rises_to_the_peak_and_falls_to_the_end() {
        assert_eq!(SCHEDULE.learning_rate(0), 0.2);
        assert_eq!(SCHEDULE.learning_rate(4), 1.0);
        assert_eq!(SCHEDULE.learning_rate(9), 2.0);
        assert_eq!(SCHEDULE.learning_rate(110), 0.5);
        assert_eq!(SCHEDULE.learning_rate(u32::MAX), 0.5);
        for step in 10..110 {
            assert!(SCHEDULE.learning_rate(step) < SCHEDULE.learning_rate(step - 1), "{step}");
        }
    }

    #[test]
    fn half_way_through_the_fall_it_is_half_way_between_peak_and_end() {
        let schedule = Cosine { warm_up: 0, steps: 100, ..SCHEDULE };
        assert!((schedule.learning_rate(49) - 1.25).abs() < 1e-12);
    }

    #[test]
    fn extreme_lengths_are_no_trouble() {
        for warm_up in [0, 1, 2] {
            for steps in [1, 2, 3] {
                let schedule = Cosine { warm_up, steps, ..SCHEDULE };
                for step in 0..4 {
                    let rate = schedule.learning_rate(step);
                    assert!((0.5..=2.0).contains(&rate), "{schedule:?} {step}: {rate}");
                }
            }
        }
    }
}
