//! [`Ramp`]: from latent to ternary weights.

use crate::error::{Error, Result};
use crate::progress::Progress;

/// How λ of w + λ·(q − w) rises during the transition; t goes from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Shape {
    /// λ = t.
    #[default]
    Linear,
    /// λ = t²·(3 − 2t), which begins and ends without a bend.
    Smooth,
}

impl Shape {
    fn at(self, t: f64) -> f64 {
        match self {
            Self::Linear => t,
            Self::Smooth => t * t * (3.0 - 2.0 * t),
        }
    }
}

/// λ of a forward with w + λ·(q − w), as a function of the progress alone: 0 while float weights warm up,
/// then a transition, then 1. λ is 1 at the end of every run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ramp {
    warm_up: f64,
    transition: f64,
    shape: Shape,
}

impl Ramp {
    /// Ternary from the first step.
    pub const NONE: Self = Self { warm_up: 0.0, transition: 0.0, shape: Shape::Linear };
    /// A fifth of the run in float, then two fifths of a smooth transition.
    pub const PROGRESSIVE: Self = Self { warm_up: 0.2, transition: 0.4, shape: Shape::Smooth };

    /// A ramp by its shares of the run.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a share that is not in 0 ..= 1, or shares that add up to more than 1.
    pub fn new(warm_up: f64, transition: f64, shape: Shape) -> Result<Self> {
        let out_of_range = |what, value| {
            Err(Error::OutOfRange { what, expected: "a share of the run, 0 to 1", value })
        };
        for (what, share) in [("warm-up", warm_up), ("transition", transition)] {
            if !(0.0..=1.0).contains(&share) {
                return out_of_range(what, share);
            }
        }
        // Shares that come from steps may add up to a rounding more than 1.
        if warm_up + transition > 1.0 + 1e-9 {
            return out_of_range("warm-up and transition", warm_up + transition);
        }
        Ok(Self { warm_up, transition, shape })
    }

    /// The share of the run in float.
    pub fn warm_up(self) -> f64 {
        self.warm_up
    }

    /// The share of the run from float to ternary.
    pub fn transition(self) -> f64 {
        self.transition
    }

    /// How λ rises.
    pub fn shape(self) -> Shape {
        self.shape
    }

    /// λ, 0 to 1.
    pub fn lambda(self, progress: Progress) -> f32 {
        if progress.step >= progress.total {
            return 1.0;
        }
        // Of two equal fractions the quotients are equal too: a warm-up of a whole number of steps, given as
        // their share, ends exactly there. Its product with the total might be a rounding more than they are.
        let share = progress.share();
        if share < self.warm_up {
            return 0.0;
        }
        let since = share - self.warm_up;
        if since >= self.transition { 1.0 } else { self.shape.at(since / self.transition) as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOTAL: u32 = 10_000;

    fn lambdas(ramp: Ramp) -> Vec<f32> {
        (0..=TOTAL).map(|step| ramp.lambda(Progress { step, total: TOTAL })).collect()
    }

    #[test]
    fn it_rises_without_a_jump_from_nothing_to_the_whole() {
        for shape in [Shape::Linear, Shape::Smooth] {
            for (warm_up, transition) in [(0.2, 0.4), (0.0, 1.0), (0.37, 0.63), (0.1, 0.05)] {
                let lambdas = lambdas(Ramp::new(warm_up, transition, shape).unwrap());
                assert_eq!((lambdas[0], lambdas[TOTAL as usize]), (0.0, 1.0));
                // The smooth ramp is at most 3/2 as steep as the linear one.
                let most = 1.6 / (transition * f64::from(TOTAL)) as f32;
                for (step, pair) in lambdas.windows(2).enumerate() {
                    let rise = pair[1] - pair[0];
                    assert!((0.0..=most).contains(&rise), "{shape:?} at {step}: {rise}");
                }
                let flat = lambdas.iter().filter(|&&lambda| lambda == 0.0).count();
                let expected = warm_up * f64::from(TOTAL) + 1.0;
                assert!((flat as f64 - expected).abs() <= 2.0, "{flat} and {expected}");
            }
        }
    }

    #[test]
    fn phases_end_at_their_steps() {
        let ramp = Ramp::new(0.25, 0.5, Shape::Linear).unwrap();
        let at = |step| ramp.lambda(Progress { step, total: 8 });
        let expected = [0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0];
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8].map(at), expected);
    }

    #[test]
    fn a_phase_of_a_whole_number_of_steps_ends_after_as_many() {
        for total in 1..=200 {
            for float in 0..=total {
                let share = |steps: u32| f64::from(steps) / f64::from(total);
                let at = |ramp: Ramp, step| ramp.lambda(Progress { step, total });
                let hard = Ramp::new(share(float), 0.0, Shape::Linear).unwrap();
                assert_eq!(at(hard, float), 1.0, "{float} of {total}");
                assert!(float == 0 || at(hard, float - 1) == 0.0, "{float} of {total}");
                let half = (total - float) / 2;
                let ramp = Ramp::new(share(float), share(half), Shape::Linear).unwrap();
                assert_eq!(at(ramp, float + half), 1.0, "{float} and {half} of {total}");
                assert!(half == 0 || at(ramp, float) == 0.0, "{float} and {half} of {total}");
            }
        }
    }

    #[test]
    fn without_phases_and_at_the_end_it_is_whole() {
        assert_eq!(Ramp::NONE.lambda(Progress { step: 0, total: 9 }), 1.0);
        let float = Ramp::new(1.0, 0.0, Shape::Smooth).unwrap();
        assert_eq!(float.lambda(Progress { step: 8, total: 9 }), 0.0);
        assert_eq!(float.lambda(Progress { step: 9, total: 9 }), 1.0);
        assert_eq!(float.lambda(Progress::DONE), 1.0);
    }

    #[test]
    fn shares_outside_the_run_are_refused() {
        for (warm_up, transition) in [(-0.1, 0.5), (0.5, 1.1), (0.6, 0.5), (f64::NAN, 0.0)] {
            assert!(Ramp::new(warm_up, transition, Shape::Linear).is_err());
        }
    }
}
