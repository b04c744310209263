//! Warm-up, then the peak, then a fall.

use super::linear::line;
use super::{Course, Curve};

/// Warm-up, stable, decay (Hu et al., "MiniCPM", 2024, arXiv 2404.06395): the peak up to the last share d of all
/// steps, and over those, with q from 0 to 1,
///
/// ```text
/// peak + (end − peak) · q      linear
/// peak + (end − peak) · √q     root: 1 − √q, for an end of zero
/// ```
///
/// The root is better by the measurements of Hägele et al. ("Scaling laws and compute-optimal training beyond fixed
/// training durations", NeurIPS 2024, arXiv 2405.18392), who found a fifth of the steps to be enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StableDecay {
    /// Peak, warm-up and steps.
    pub course: Course,
    /// The learning rate of the last step.
    pub end: f64,
    /// d, the share of all steps, at their end, over which it falls; the warm-up is no part of it.
    pub decay: f64,
    /// How it falls.
    pub fall: Fall,
}

/// The way down at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fall {
    /// In a straight line.
    Linear,
    /// By the root of the way: fast, then slowly.
    #[default]
    Root,
}

impl Curve for StableDecay {
    fn learning_rate(&self, step: u32) -> f64 {
        let Self { course, end, decay, fall } = *self;
        course.learning_rate(step, |p| {
            let (steps, after) =
                (f64::from(course.steps), f64::from(course.steps.saturating_sub(course.warm_up)));
            // The steps that are left, in those of the fall.
            let falling = (decay * steps).min(after);
            let left = (1.0 - p) * after;
            if p < 1.0 && left >= falling {
                return course.peak;
            }
            let q = if p < 1.0 { 1.0 - left / falling } else { 1.0 };
            line(course.peak, end, if fall == Fall::Root { q.sqrt() } else { q })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_at_the_peak_and_falls_over_its_share_of_all_steps() {
        let course = Course { peak: 1.0, warm_up: 10, steps: 100 };
        let curve = StableDecay { course, end: 0.0, decay: 0.2, fall: Fall::Linear };
        for (step, expected) in [(9, 1.0), (50, 1.0), (79, 1.0), (80, 0.95), (89, 0.5), (99, 0.0)] {
            let found = curve.learning_rate(step);
            assert!((found - expected).abs() < 1e-12, "{step}: {found}");
        }
        let root = StableDecay { fall: Fall::Root, ..curve };
        let found = root.learning_rate(84);
        assert!((found - 0.5).abs() < 1e-12, "{found}");
    }

    #[test]
    fn a_fall_longer_than_what_the_warm_up_leaves_begins_after_it() {
        let course = Course { peak: 1.0, warm_up: 50, steps: 100 };
        let curve = StableDecay { course, end: 0.0, decay: 1.0, fall: Fall::Linear };
        assert_eq!(curve.learning_rate(49), 1.0);
        assert!((curve.learning_rate(50) - 0.98).abs() < 1e-12);
        let none = StableDecay { decay: 0.0, ..curve };
        assert_eq!([none.learning_rate(98), none.learning_rate(99)], [1.0, 0.0]);
    }
}
