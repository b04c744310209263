//! The learning rate and the weight decay as functions of the step.
//!
//! | schedule | after the warm-up |
//! |---|---|
//! | [`Constant`] | the peak to the end |
//! | [`Cosine`] | half a cosine wave |
//! | [`Linear`] | a straight line, to zero |
//! | [`StableDecay`] | the peak, and a fall at the end |
//! | [`Restarts`] | cosine again and again |
//! | [`ThreePhase`] | the peak, and two lower levels |
//! | [`TwoStage`] | two straight lines, the second lower; its half has no weight decay |
//!
//! Each is a [`Curve`] of the learning rate; with the step that weight decay ends at it is a [`Schedule`].

mod constant;
mod cosine;
mod course;
mod linear;
mod restarts;
mod shape;
mod stable_decay;
mod three_phase;
mod two_stage;

pub use constant::Constant;
pub use cosine::Cosine;
pub use course::Course;
pub use linear::Linear;
pub use restarts::Restarts;
pub use shape::Shape;
pub use stable_decay::{Fall, StableDecay};
pub use three_phase::ThreePhase;
pub use two_stage::TwoStage;

/// A learning rate for each step.
pub trait Curve: std::fmt::Debug + Send {
    /// The learning rate of a step, counted from 0; after the last one it stays as it was there.
    fn learning_rate(&self, step: u32) -> f64;
}

/// What an update is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// η.
    pub learning_rate: f64,
    /// What the weight decay is multiplied by: 1 while there is any, then 0.
    pub weight_decay: f64,
}

/// The rates of each step.
#[derive(Debug)]
pub struct Schedule {
    curve: Box<dyn Curve>,
    decayed_steps: u32,
}

impl Schedule {
    /// A learning rate, and weight decay in the first `decayed_steps` steps.
    pub fn new(curve: Box<dyn Curve>, decayed_steps: u32) -> Self {
        Self { curve, decayed_steps }
    }

    /// Those of a step, counted from 0.
    pub fn at(&self, step: u32) -> Rates {
        let weight_decay = if step < self.decayed_steps { 1.0 } else { 0.0 };
        Rates { learning_rate: self.curve.learning_rate(step), weight_decay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every curve over a course, and whether it jumps.
    fn all(course: Course) -> Vec<(Box<dyn Curve>, bool)> {
        let end = 0.25;
        vec![
            (Box::new(Constant { course }), false),
            (Box::new(Cosine { course, end }), false),
            (Box::new(Linear { course, end }), false),
            (Box::new(StableDecay { course, end, decay: 0.2, fall: Fall::Linear }), false),
            (Box::new(StableDecay { course, end, decay: 0.2, fall: Fall::Root }), false),
            (Box::new(Restarts { course, end, cycles: 3, growth: 2.0 }), true),
            (Box::new(ThreePhase { course, falls: [0.8, 0.9], middle: 1.0, end }), true),
            (Box::new(TwoStage { course, breaks: 0.5, first_end: 1.0, second: 0.5, end }), true),
        ]
    }

    #[test]
    fn all_rise_in_a_line_to_the_peak_and_those_that_fall_end_at_the_end() {
        let course = Course { peak: 2.0, warm_up: 10, steps: 410 };
        for (curve, _) in all(course) {
            for step in 0..10 {
                let expected = 0.2 * f64::from(step + 1);
                let found = curve.learning_rate(step);
                assert!((found - expected).abs() < 1e-12, "{curve:?} {step}: {found}");
            }
            let end = if format!("{curve:?}").starts_with("Constant") { 2.0 } else { 0.25 };
            for step in [409, 410, 1000, u32::MAX] {
                assert_eq!(curve.learning_rate(step), end, "{curve:?} {step}");
            }
        }
    }

    #[test]
    fn none_rises_after_the_warm_up_or_jumps_but_those_that_are_made_to() {
        let course = Course { peak: 2.0, warm_up: 100, steps: 10_100 };
        for (curve, jumps) in all(course) {
            let rates: Vec<f64> = (0..10_100).map(|step| curve.learning_rate(step)).collect();
            let pairs = || rates.windows(2).skip(99);
            let falls = pairs().all(|pair| pair[1] <= pair[0]);
            let largest = pairs().map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f64::max);
            // 2 at most over 2000 steps at least; the root falls a root of 1/2000 at once.
            assert_eq!(largest > 0.05, jumps, "{curve:?}: {largest}");
            assert_eq!(falls, !format!("{curve:?}").starts_with("Restarts"), "{curve:?}");
        }
    }

    #[test]
    fn extreme_lengths_are_no_trouble() {
        for steps in [1, 2, 3, 5] {
            for warm_up in 0..=steps {
                for (curve, _) in all(Course { peak: 2.0, warm_up, steps }) {
                    for step in (0..8).chain([u32::MAX]) {
                        let rate = curve.learning_rate(step);
                        assert!((0.25..=2.0).contains(&rate), "{curve:?} {step}: {rate}");
                    }
                }
            }
        }
        let longest = Course { peak: 1.0, warm_up: 0, steps: u32::MAX };
        for (curve, _) in all(longest) {
            for step in [0, u32::MAX / 2, u32::MAX - 1, u32::MAX] {
                assert!(curve.learning_rate(step).is_finite(), "{curve:?}");
            }
        }
    }

    #[test]
    fn weight_decay_ends_at_its_step() {
        let course = Course { peak: 2.0, warm_up: 0, steps: 10 };
        let schedule = Schedule::new(Box::new(Constant { course }), 5);
        for (step, weight_decay) in [(0, 1.0), (4, 1.0), (5, 0.0), (9, 0.0), (u32::MAX, 0.0)] {
            assert_eq!(schedule.at(step), Rates { learning_rate: 2.0, weight_decay });
        }
    }
}
