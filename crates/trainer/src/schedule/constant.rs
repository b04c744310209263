//! Warm-up, then the peak.

use super::{Course, Curve};

/// A learning rate that rises linearly to its peak and stays there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Constant {
    /// Peak, warm-up and steps.
    pub course: Course,
}

impl Curve for Constant {
    fn learning_rate(&self, step: u32) -> f64 {
        self.course.learning_rate(step, |_| self.course.peak)
    }
}
