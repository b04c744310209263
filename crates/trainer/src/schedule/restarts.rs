//! Warm-up, then cosine again and again.

use super::cosine::half_wave;
use super::{Course, Curve};

/// Cosine with warm restarts (Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR
/// 2017, arXiv 1608.03983). The steps after the warm-up are divided into cycles, each longer than the one before
/// by a factor g; with q from 0 to 1 within a cycle, a step has
///
/// ```text
/// end + (peak − end) · ½(1 + cos π·q)
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Restarts {
    /// Peak, warm-up and steps.
    pub course: Course,
    /// The learning rate at the end of each cycle.
    pub end: f64,
    /// How many cycles; at least 1.
    pub cycles: u32,
    /// g, at least 1.
    pub growth: f64,
}

impl Curve for Restarts {
    fn learning_rate(&self, step: u32) -> f64 {
        let Self { course, end, cycles, growth } = *self;
        course.learning_rate(step, |p| {
            if p >= 1.0 {
                return end;
            }
            // A cycle's share of what is left when it begins: 1 / (1 + g + … ) over the cycles from it on.
            let mut left = p;
            for after in (0..cycles).rev() {
                let share = share_of_first(after + 1, growth);
                // The last step of a cycle may be a rounding beyond it.
                if left <= share + 1e-12 || after == 0 {
                    return half_wave(course.peak, end, (left / share).min(1.0));
                }
                left = (left - share) / (1.0 - share);
            }
            end
        })
    }
}

/// The share that the first of some cycles has: (g − 1) / (gⁿ − 1), which is 1 / n where all are alike.
fn share_of_first(cycles: u32, growth: f64) -> f64 {
    let all = growth.powf(f64::from(cycles)) - 1.0;
    if growth > 1.0 { (growth - 1.0) / all } else { 1.0 / f64::from(cycles) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cycle_begins_near_the_peak_and_is_longer_than_the_one_before() {
        // 7 parts of 100 steps: cycles of 100, 200 and 400.
        let course = Course { peak: 1.0, warm_up: 0, steps: 700 };
        let curve = Restarts { course, end: 0.0, cycles: 3, growth: 2.0 };
        for (step, expected) in [
            (49, 0.5),
            (99, 0.0),
            (100, 1.0),
            (199, 0.5),
            (299, 0.0),
            (300, 1.0),
            (499, 0.5),
            (699, 0.0),
        ] {
            let found = curve.learning_rate(step);
            assert!((found - expected).abs() < 1e-3, "{step}: {found}");
        }
        let even = Restarts { cycles: 7, growth: 1.0, ..curve };
        for cycle in 0..7 {
            let found = even.learning_rate(100 * cycle + 49);
            assert!((found - 0.5).abs() < 1e-9, "{cycle}: {found}");
        }
    }

    #[test]
    fn one_cycle_is_cosine() {
        let course = Course { peak: 2.0, warm_up: 7, steps: 90 };
        let (one, cosine) = (
            Restarts { course, end: 0.5, cycles: 1, growth: 3.0 },
            super::super::Cosine { course, end: 0.5 },
        );
        for step in 0..91 {
            let [found, expected] = [one.learning_rate(step), cosine.learning_rate(step)];
            assert!((found - expected).abs() < 1e-12, "{step}");
        }
    }
}
