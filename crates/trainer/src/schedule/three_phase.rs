//! Warm-up, then three levels.

use super::{Course, Curve};

/// Three phases, as DeepSeek LLM was trained (Bi et al., 2024, arXiv 2401.02954): the peak, and after two shares of
/// all steps (there 0.8 and 0.9) a lower level each time (there 0.316 and 0.1 of the peak). A run can be made longer
/// from the end of its first phase, as with [`StableDecay`](super::StableDecay).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThreePhase {
    /// Peak, warm-up and steps.
    pub course: Course,
    /// The shares of all steps after which it falls, the smaller one first. The warm-up is finished before.
    pub falls: [f64; 2],
    /// The learning rate between the falls.
    pub middle: f64,
    /// The learning rate after both; that of the last step in any case.
    pub end: f64,
}

impl Curve for ThreePhase {
    fn learning_rate(&self, step: u32) -> f64 {
        let Self { course, falls, middle, end } = *self;
        course.learning_rate(step, |p| {
            let share = f64::from(step) / f64::from(course.steps.max(1));
            match falls.map(|fall| share >= fall) {
                _ if p >= 1.0 => end,
                [_, true] => end,
                [true, _] => middle,
                _ => course.peak,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_twice_at_its_shares_of_all_steps() {
        let course = Course { peak: 1.0, warm_up: 10, steps: 100 };
        let curve = ThreePhase { course, falls: [0.8, 0.9], middle: 0.316, end: 0.1 };
        for (step, expected) in
            [(9, 1.0), (10, 1.0), (79, 1.0), (80, 0.316), (89, 0.316), (90, 0.1), (99, 0.1)]
        {
            assert_eq!(curve.learning_rate(step), expected, "{step}");
        }
    }
}
