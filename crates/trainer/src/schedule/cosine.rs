//! Warm-up, then a half cosine.

use std::f64::consts::PI;

use super::{Course, Curve};

/// A learning rate that rises linearly to its peak and then falls along half a cosine wave (Loshchilov
/// and Hutter, "SGDR", ICLR 2017), with p as in [`Course`]:
///
/// ```text
/// end + (peak − end) · ½(1 + cos π·p)
/// ```
///
/// so the last step has exactly the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cosine {
    /// Peak, warm-up and steps.
    pub course: Course,
    /// The learning rate of the last step.
    pub end: f64,
}

impl Curve for Cosine {
    fn learning_rate(&self, step: u32) -> f64 {
        self.course.learning_rate(step, |p| half_wave(self.course.peak, self.end, p))
    }
}

/// From the peak at p = 0 to the end at p = 1.
pub(super) fn half_wave(peak: f64, end: f64, p: f64) -> f64 {
    end + (peak - end) * 0.5 * (1.0 + (PI * p).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_way_through_the_fall_it_is_half_way_between_peak_and_end() {
        let course = Course { peak: 2.0, warm_up: 0, steps: 100 };
        let rate = Cosine { course, end: 0.5 }.learning_rate(49);
        assert!((rate - 1.25).abs() < 1e-12, "{rate}");
    }
}
