//! Warm-up, then a straight line.

use super::{Course, Curve};

/// A learning rate that rises linearly to its peak and falls linearly, with p as in [`Course`]:
///
/// ```text
/// peak + (end − peak) · p
/// ```
///
/// With an end of zero it is decay to zero (Bergsma et al., "Straight to zero", ICLR 2025, arXiv 2502.15938), which
/// beats a decay to a tenth the longer a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Linear {
    /// Peak, warm-up and steps.
    pub course: Course,
    /// The learning rate of the last step.
    pub end: f64,
}

impl Curve for Linear {
    fn learning_rate(&self, step: u32) -> f64 {
        self.course.learning_rate(step, |p| line(self.course.peak, self.end, p))
    }
}

/// From one number at p = 0 to another at p = 1, both exactly.
pub(super) fn line(from: f64, to: f64, p: f64) -> f64 {
    from * (1.0 - p) + to * p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_takes_the_same_off() {
        let course = Course { peak: 1.0, warm_up: 1, steps: 5 };
        let rates: Vec<f64> =
            (0..5).map(|step| Linear { course, end: 0.0 }.learning_rate(step)).collect();
        assert_eq!(rates, [1.0, 0.75, 0.5, 0.25, 0.0]);
    }
}
