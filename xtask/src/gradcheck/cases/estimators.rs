//! Estimators: each against the function that it names, with the levels held fixed, at several steps of a
//! run where it changes during one.

mod fogzo;
mod plain;

use std::sync::Arc;

use ste::{
    AnyEstimator, Clipped, Estimator, Hestia, Identity, Progress, Reste, Staged, Tempered,
    TrustMask, Unscaled,
};
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
/// Roundings from a latent weight to its gradient, weighed by how much each counts at most.
const ROUNDINGS: usize = 64;
/// The end of a run alone.
const END: &[u32] = &[TOTAL];
/// The beginning, the middle, the last phase and the end of a run.
const SEVERAL: &[u32] = &[0, 4, 16, 22, 31, TOTAL];
/// Steps of a run with a schedule.
const TOTAL: u32 = 32;

/// An estimator with settings of its own, and the item it covers.
struct Setting {
    name: &'static str,
    item: &'static str,
    estimator: Arc<dyn AnyEstimator>,
    /// Latent weights in every region of its surrogate.
    latent: [f64; 8],
    /// Less than the distance from each of them to a bend.
    step: f64,
    /// Where in a run it is checked.
    steps: &'static [u32],
    /// Whether nothing at all passes far beyond the threshold.
    ends_at_zero: bool,
}

/// Straight through and checked at the end of a run, unless changed.
fn setting(name: &'static str, item: &'static str, estimator: Arc<dyn AnyEstimator>) -> Setting {
    let (latent, step, steps) = (LATENT, STEP, END);
    Setting { name, item, estimator, latent, step, steps, ends_at_zero: false }
}

fn settings() -> Vec<Setting> {
    let clipped = |floor| Arc::new(Clipped::attenuated(floor).expect("a floor of 0 to 1"));
    let zero = |setting| Setting { ends_at_zero: true, ..setting };
    // The slope of the power function bends at 0.45, 0.55 and 1.25; it is steep beside the first two.
    let reste = Setting {
        latent: [0.2, -0.3, 0.48, -0.52, 0.7, -0.9, 1.1, 1.5],
        step: 1.0 / 64.0,
        steps: SEVERAL,
        ..setting("reste", "Reste", Arc::new(Reste::default()))
    };
    // Bends at 0.5, 0.65 and 1.95 above 0; at 0.35, 0.5 and 1.05 below.
    let trust = Setting {
        latent: [0.2, -0.2, 0.575, -0.425, 0.85, -0.6, 2.1, -1.2],
        ..setting("trust", "TrustMask", Arc::new(TrustMask::default()))
    };
    let half = TrustMask::new(0.5).expect("a positive factor");
    // Smooth, but no wider than the last temperatures.
    let near = [0.3, -0.42, 0.49, -0.52, 0.55, -0.47, 0.6, -0.7];
    let tempered = Setting {
        latent: near,
        step: 1.0 / 128.0,
        steps: SEVERAL,
        ..setting("tempered", "Tempered", Arc::new(Tempered::default()))
    };
    // The last temperature leaves slopes within some thousandths of the half steps 0.65 and 0.35.
    let hestia = Setting {
        latent: [0.3, -0.3, 0.648, -0.352, 0.7, -0.2, 0.66, -0.6],
        step: 1.0 / 2048.0,
        steps: SEVERAL,
        ..setting("hestia", "Hestia", Arc::new(Hestia::default()))
    };
    vec![
        setting("identity", "Identity", Arc::new(Identity)),
        setting("unscaled", "Unscaled", Arc::new(Unscaled)),
        setting("clipped", "Clipped", Arc::new(Clipped::default())),
        setting("clipped to ¼", "Clipped", clipped(0.25)),
        zero(setting("clipped to 0", "Clipped", clipped(0.0))),
        zero(setting("clipped hard", "Clipped", Arc::new(Clipped::hard()))),
        // Half the trust bends at 0.325, 0.5, 0.975 and 1.625 above 0; at 0.175, 0.525 and 0.875 below.
        Setting {
            name: "trust, half",
            latent: [0.2, -0.1, 0.42, -0.3, 0.8, -0.7, 1.3, -1.2],
            estimator: Arc::new(half),
            ..setting("trust, half", "TrustMask", Arc::new(Identity))
        },
        trust,
        reste,
        tempered,
        hestia,
        Setting { steps: SEVERAL, ..setting("staged", "Staged", Arc::new(Staged::default())) },
    ]
}

/// The cases of all estimators.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for setting in settings() {
        for &step in setting.steps {
            let progress = Progress { step, total: TOTAL };
            let at = if setting.steps == END { String::new() } else { format!(", step {step}") };
            let name = format!("{}{at}", setting.name);
            cases.push(surrogate(name.clone(), &setting, LEVELS, progress));
            let no_threshold = format!("{name}, no threshold");
            cases.push(surrogate(no_threshold, &setting, NO_THRESHOLD, progress));
            cases.push(single(format!("{name} in f32"), &setting, progress));
        }
    }
    cases.extend(fogzo::all());
    cases.extend(plain::all());
    cases
}

/// dL/dw against the derivative of the surrogate that the estimator names.
fn surrogate(name: String, setting: &Setting, levels: Levels, progress: Progress) -> Box<dyn Case> {
    let values = setting.latent.to_vec();
    let latent = Array::new("latent", &[values.len()], values).step(setting.step);
    // Without a threshold every weight lies beyond it.
    let is_zero = setting.ends_at_zero && levels.threshold == 0.0;
    let latent = if is_zero { latent.zero() } else { latent };
    let (names, passes) = (setting.estimator.clone(), setting.estimator.clone());
    let forward = move |[latent]: [&[f64]; 1]| {
        let surrogate = |&w: &f64| {
            let names: &dyn Estimator<f64> = &*names;
            names.surrogate(w, levels, progress).ok_or("no surrogate")
        };
        Ok([latent.iter().map(surrogate).collect::<Result<_, _>>()?])
    };
    let backward = move |[latent]: [&[f64]; 1], [u]: [&[f64]; 1], [d]: [&mut [f64]; 1]| {
        let mut gradient = u.to_vec();
        passes.pass(latent, levels, progress, &mut gradient);
        d.iter_mut().zip(gradient).for_each(|(d, gradient)| *d += gradient);
        Ok(())
    };
    Box::new(Gradient::new(name, &[setting.item], [latent], forward, backward))
}

/// dL/dw in `f32` against `f64`, for numbers that both hold.
fn single(name: String, setting: &Setting, progress: Progress) -> Box<dyn Case> {
    let (estimator, latent) = (setting.estimator.clone(), setting.latent);
    Box::new(Comparison::new(name, &[setting.item], move || {
        let latent = latent.map(|w| w as f32);
        let mut found: Vec<f32> = latent.iter().map(|w| 1.5 - w).collect();
        let mut expected: Vec<f64> = found.iter().map(|&u| f64::from(u)).collect();
        let magnitude = expected.clone();
        estimator.pass(&latent, LEVELS, progress, &mut found);
        estimator.pass(&latent.map(f64::from), LEVELS, progress, &mut expected);
        let after = expected.clone();
        let pair = Pair::sums("latent", &found, &expected, ROUNDINGS, |i| {
            magnitude[i].abs().max(after[i].abs())
        });
        Ok(vec![pair])
    }))
}
