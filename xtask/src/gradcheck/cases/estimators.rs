//! Estimators: each against the function that it names, with the levels held fixed.

use std::sync::Arc;

use ste::{AnyEstimator, Clipped, Estimator, Identity, Progress};
use ternary_core::Levels;

use crate::gradcheck::case::Case;
use crate::gradcheck::comparison::{Comparison, Pair};
use crate::gradcheck::gradient::{Array, Gradient};

/// Latent weights in every region of a surrogate whose slope bends at 1 and between 1.75 and 2.
const LATENT: [f64; 8] = [0.2, -0.6, 0.85, -1.2, 1.4, -1.6, 2.1, -2.5];
/// Less than the distance from each of them to a bend.
const STEP: f64 = 1.0 / 16.0;
/// Δ = ½, and scales that are neither 1 nor equal.
const LEVELS: Levels = Levels { threshold: 0.5, negative: 0.7, positive: 1.3 };
/// Nothing is rounded to zero.
const NO_THRESHOLD: Levels = Levels { threshold: 0.0, ..LEVELS };
/// Roundings from a latent weight to its gradient.
const ROUNDINGS: usize = 8;

/// An estimator with settings of its own, and the item it covers.
struct Setting {
    name: &'static str,
    item: &'static str,
    estimator: Arc<dyn AnyEstimator>,
    /// Whether nothing at all passes far beyond the threshold.
    ends_at_zero: bool,
}

fn settings() -> Vec<Setting> {
    let setting =
        |name, item, estimator, ends_at_zero| Setting { name, item, estimator, ends_at_zero };
    let clipped = |floor| Arc::new(Clipped::attenuated(floor).expect("a floor of 0 to 1"));
    vec![
        setting("identity", "Identity", Arc::new(Identity), false),
        setting("clipped", "Clipped", Arc::new(Clipped::default()), false),
        setting("clipped to ¼", "Clipped", clipped(0.25), false),
        setting("clipped to 0", "Clipped", clipped(0.0), true),
        setting("clipped hard", "Clipped", Arc::new(Clipped::hard()), true),
    ]
}

/// The cases of all estimators.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for setting in settings() {
        let name = setting.name;
        cases.push(surrogate(name.to_owned(), &setting, LEVELS));
        cases.push(surrogate(format!("{name}, no threshold"), &setting, NO_THRESHOLD));
        cases.push(single(format!("{name} in f32"), &setting));
    }
    cases
}

/// dL/dw against the derivative of the surrogate that the estimator names.
fn surrogate(name: String, setting: &Setting, levels: Levels) -> Box<dyn Case> {
    let latent = Array::new("latent", &[LATENT.len()], LATENT.to_vec()).step(STEP);
    // Without a threshold every weight lies beyond it.
    let is_zero = setting.ends_at_zero && levels.threshold == 0.0;
    let latent = if is_zero { latent.zero() } else { latent };
    let (names, passes) = (setting.estimator.clone(), setting.estimator.clone());
    let forward = move |[latent]: [&[f64]; 1]| {
        let surrogate = |&w: &f64| {
            let names: &dyn Estimator<f64> = &*names;
            names.surrogate(w, levels, Progress::DONE).ok_or("no surrogate")
        };
        Ok([latent.iter().map(surrogate).collect::<Result<_, _>>()?])
    };
    let backward = move |[latent]: [&[f64]; 1], [u]: [&[f64]; 1], [d]: [&mut [f64]; 1]| {
        let mut gradient = u.to_vec();
        passes.pass(latent, levels, Progress::DONE, &mut gradient);
        d.iter_mut().zip(gradient).for_each(|(d, gradient)| *d += gradient);
        Ok(())
    };
    Box::new(Gradient::new(name, &[setting.item], [latent], forward, backward))
}

/// dL/dw in `f32` against `f64`, for numbers that both hold.
fn single(name: String, setting: &Setting) -> Box<dyn Case> {
    let estimator = setting.estimator.clone();
    Box::new(Comparison::new(name, &[setting.item], move || {
        let latent = LATENT.map(|w| w as f32);
        let mut found: Vec<f32> = latent.iter().map(|w| 1.5 - w).collect();
        let mut expected: Vec<f64> = found.iter().map(|&u| f64::from(u)).collect();
        let magnitude = expected.clone();
        estimator.pass(&latent, LEVELS, Progress::DONE, &mut found);
        estimator.pass(&latent.map(f64::from), LEVELS, Progress::DONE, &mut expected);
        let pair = Pair::sums("latent", &found, &expected, ROUNDINGS, |i| magnitude[i].abs());
        Ok(vec![pair])
    }))
}
