//! Warm-up, then two straight lines.

use super::linear::line;
use super::{Course, Curve};

/// The two stages of BitNet b1.58 (Ma et al., "The Era of 1-bit LLMs: Training Tips, Code and FAQ", 2024): ternary
/// weights bear, and want, a high learning rate at first; then it drops, and weight decay ends, because latent
/// weights say by their size how sure a trit is, and decay makes trits flip to the end. With q from 0 to 1 within a
/// stage, a step has
///
/// ```text
/// peak   + (first_end − peak) · q     before the break, a share of all steps
/// second + (end − second) · q         after it
/// ```
///
/// BitNet b1.58 2B4T fell from 1.5·10⁻³ to 8·10⁻⁴, and from 5·10⁻⁴ to 0; others go on at two thirds of the peak,
/// without a jump. Where weight decay ends is told to the [`Schedule`](super::Schedule).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoStage {
    /// Peak, warm-up and steps.
    pub course: Course,
    /// The share of all steps, with the warm-up, that are the first stage.
    pub breaks: f64,
    /// Where the first stage would arrive at its end.
    pub first_end: f64,
    /// Where the second stage begins.
    pub second: f64,
    /// The learning rate of the last step.
    pub end: f64,
}

impl Curve for TwoStage {
    fn learning_rate(&self, step: u32) -> f64 {
        let Self { course, breaks, first_end, second, end } = *self;
        course.learning_rate(step, |p| {
            let steps = f64::from(course.steps.max(1));
            // What the warm-up leaves of the first stage.
            let first = (breaks * steps - f64::from(course.warm_up)).max(0.0);
            let after = (steps - f64::from(course.warm_up)).max(0.0);
            let done = p * after;
            if p >= 1.0 {
                end
            } else if done <= first {
                line(course.peak, first_end, done / first)
            } else {
                line(second, end, (done - first) / (after - first))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_in_two_lines_with_a_drop_between() {
        let course = Course { peak: 1.5, warm_up: 10, steps: 100 };
        let curve = TwoStage { course, breaks: 0.5, first_end: 0.8, second: 0.5, end: 0.0 };
        for (step, expected) in
            [(9, 1.5), (29, 1.15), (49, 0.8), (50, 0.49), (74, 0.25), (89, 0.1), (99, 0.0)]
        {
            let found = curve.learning_rate(step);
            assert!((found - expected).abs() < 1e-12, "{step}: {found}");
        }
    }

    #[test]
    fn a_warm_up_longer_than_the_first_stage_is_followed_by_the_second() {
        let course = Course { peak: 1.0, warm_up: 60, steps: 100 };
        let curve = TwoStage { course, breaks: 0.5, first_end: 0.8, second: 0.5, end: 0.0 };
        assert_eq!(curve.learning_rate(59), 1.0);
        assert!((curve.learning_rate(79) - 0.25).abs() < 1e-12);
    }
}
