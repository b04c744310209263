//! What all schedules begin with.

/// A run of N steps, of which the first W are the warm-up: step s = 0‥N of them has the learning rate
///
/// ```text
/// peak · (s + 1) / W
/// ```
///
/// so that step W − 1 has exactly the peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// The highest learning rate.
    pub peak: f64,
    /// Steps of the warm-up.
    pub warm_up: u32,
    /// All steps.
    pub steps: u32,
}

impl Course {
    /// The learning rate of a step, that of a step after the warm-up by `after(p)`, where
    ///
    /// ```text
    /// p = (s + 1 − W) / (N − W)
    /// ```
    ///
    /// is above 0, and 1 at the last step and from then on.
    pub(super) fn learning_rate(&self, step: u32, after: impl FnOnce(f64) -> f64) -> f64 {
        let Self { peak, warm_up, steps } = *self;
        if step < warm_up.min(steps) {
            return peak * f64::from(step + 1) / f64::from(warm_up);
        }
        if step >= steps.saturating_sub(1) {
            return after(1.0);
        }
        after(f64::from(step + 1 - warm_up) / f64::from(steps - warm_up))
    }
}
