//! Estimators that pass less gradient to weights far beyond the threshold.

use ternary_core::{Levels, Real, mutant};

use crate::error::{Error, Result};
use crate::estimator::Estimator;
use crate::progress::Progress;

/// Passes the gradient whole up to twice the threshold Δ, and less of it beyond: such a weight is
/// decided, and pushing it further changes nothing.
///
/// ```text
/// b = 2Δ
/// φ′(w) = 1                         |w| ≤ b
///       = max(floor, 2 − |w|/b)     |w| > b      attenuated
///       = 0                         |w| > b      hard
/// ```
///
/// φ is the odd integral of that slope; for the hard variant it is clip(w, −b, b), the saturating
/// estimator of binarised networks (Hubara et al., arXiv 1602.02830) with the limit at 2Δ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clipped {
    floor: f32,
    is_hard: bool,
}

impl Clipped {
    /// The floor of [`Clipped::default`].
    pub const FLOOR: f32 = 0.1;

    /// Linear attenuation down to `floor`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless `floor` is in 0 ..= 1.
    pub fn attenuated(floor: f32) -> Result<Self> {
        if (0.0..=1.0).contains(&floor) {
            return Ok(Self { floor, is_hard: false });
        }
        let value = f64::from(floor);
        Err(Error::OutOfRange { what: "floor of the slope", expected: "0 to 1", value })
    }

    /// Nothing passes beyond twice the threshold.
    pub fn hard() -> Self {
        Self { floor: 0.0, is_hard: true }
    }

    fn slope<T: Real>(&self, magnitude: T, limit: T) -> T {
        if magnitude <= limit {
            return T::ONE;
        }
        if self.is_hard {
            return T::ZERO;
        }
        let two = T::ONE + T::ONE;
        mutant!(
            "Clipped/attenuation forgets the limit",
            (two - magnitude / limit).max(T::from_f32(self.floor)),
            (two - magnitude).max(T::from_f32(self.floor))
        )
    }
}

impl Default for Clipped {
    fn default() -> Self {
        Self { floor: Self::FLOOR, is_hard: false }
    }
}

/// b = 2Δ.
fn limit<T: Real>(levels: Levels) -> T {
    let threshold = T::from_f32(levels.threshold);
    threshold + threshold
}

impl<T: Real> Estimator<T> for Clipped {
    fn pass(&self, latent: &[T], levels: Levels, _: Progress, gradient: &mut [T]) {
        assert_eq!(latent.len(), gradient.len());
        let limit =
            mutant!("Clipped/limit at the threshold", limit(levels), limit::<T>(levels) * T::HALF);
        for (&weight, gradient) in latent.iter().zip(gradient) {
            let slope = self.slope(weight.abs(), limit);
            *gradient *= mutant!("Clipped/slope left out", slope, T::ONE);
        }
    }

    fn surrogate(&self, latent: T, levels: Levels, _: Progress) -> Option<T> {
        let (magnitude, limit) = (latent.abs(), limit::<T>(levels));
        let floor = T::from_f32(self.floor);
        let two = T::ONE + T::ONE;
        // ∫ (2 − x/b) dx from b to a.
        let fall = |a: T| two * (a - limit) - (a * a - limit * limit) / (two * limit);
        let value = if magnitude <= limit {
            magnitude
        } else if self.is_hard {
            limit
        } else {
            let end = limit * (two - floor);
            let attenuated = if limit > T::ZERO { fall(magnitude.min(end)) } else { T::ZERO };
            limit + attenuated + floor * (magnitude - end).max(T::ZERO)
        };
        Some(if latent < T::ZERO { -value } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_whole_then_falls_then_rests_on_its_floor() {
        let levels = Levels::symmetric(0.5, 3.0);
        let latent = [0.2, 1.0, -1.25, 1.5, -2.5];
        let mut gradient = [2.0_f64; 5];
        Clipped::attenuated(0.25).unwrap().pass(&latent, levels, Progress::DONE, &mut gradient);
        assert_eq!(gradient, [2.0, 2.0, 1.5, 1.0, 0.5]);
        let mut gradient = [2.0_f64; 5];
        Clipped::hard().pass(&latent, levels, Progress::DONE, &mut gradient);
        assert_eq!(gradient, [2.0, 2.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_surrogate_is_odd_and_continuous_where_its_slope_bends() {
        let levels = Levels::symmetric(0.5, 3.0);
        for estimator in [Clipped::default(), Clipped::hard(), Clipped::attenuated(0.0).unwrap()] {
            let surrogate = |w: f64| estimator.surrogate(w, levels, Progress::DONE).unwrap();
            for bend in [1.0, 1.9, 2.0] {
                let jump = surrogate(bend + 1e-9) - surrogate(bend - 1e-9);
                assert!(jump.abs() < 1e-8, "{estimator:?} at {bend}: {jump}");
                assert_eq!(surrogate(-bend), -surrogate(bend));
            }
        }
    }

    #[test]
    fn a_threshold_of_zero_leaves_the_floor() {
        let levels = Levels::symmetric(0.0, 1.0);
        let mut gradient = [1.0_f32; 2];
        Clipped::default().pass(&[0.0, 0.3], levels, Progress::DONE, &mut gradient);
        assert_eq!(gradient, [1.0, Clipped::FLOOR]);
        let surrogate =
            Estimator::<f32>::surrogate(&Clipped::default(), 0.5, levels, Progress::DONE);
        assert_eq!(surrogate, Some(0.05));
    }

    #[test]
    fn a_floor_outside_its_range_is_refused() {
        for floor in [-0.1, 1.1, f32::NAN] {
            assert!(Clipped::attenuated(floor).is_err());
        }
    }
}
