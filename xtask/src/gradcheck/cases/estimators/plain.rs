//! What is no derivative, against plain loops: gradients that depend on their own sign, forwards that round,
//! and a pull that no gradient passes through.

use ste::{Estimator, Ewgs, Progress, Pull, Staged};

use super::{LEVELS, TOTAL};
use crate::gradcheck::case::Case;
use crate::gradcheck::comparison::{Comparison, Pair, ROUNDING};

/// The errors of weights on both sides of every level, among them none at all, and no tie between
/// two codes.
const LATENT: [f64; 10] = [0.2, -0.6, 0.85, -1.2, 1.4, -0.3, 2.1, -2.5, 0.0, 1.3];

pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for delta in [Ewgs::DELTA, 0.25] {
        cases.push(scaled(delta));
    }
    for (step, codes) in [(0, 127.0), (8, 7.0), (16, 3.0)] {
        cases.push(staged(step, codes));
    }
    cases.push(pull());
    cases
}

/// g·(1 + δ·sign(g)·(w − q)/α), written out weight by weight, in both floating types.
fn scaled(delta: f32) -> Box<dyn Case> {
    Box::new(Comparison::new(format!("ewgs, δ = {delta}"), &["Ewgs"], move || {
        let estimator = Ewgs::new(delta)?;
        let latent = LATENT.map(|w| w as f32);
        let upstream = [1.5, 0.5, -0.75, 2.0, -1.0, -0.25, 0.5, -2.0, 1.0, 3.0_f32];
        let oracle: Vec<f64> = (latent.iter().zip(upstream))
            .map(|(&w, g)| {
                let (w, g) = (f64::from(w), f64::from(g));
                let (negative, positive) = (f64::from(LEVELS.negative), f64::from(LEVELS.positive));
                let (alpha, q) = match w {
                    w if w > 0.5 => (positive, positive),
                    w if w < -0.5 => (negative, -negative),
                    w if w < 0.0 => (negative, 0.0),
                    _ => (positive, 0.0),
                };
                g * (1.0 + f64::from(delta) * g.signum() * (w - q) / alpha)
            })
            .collect();
        let mut single = upstream;
        estimator.pass(&latent, LEVELS, Progress::DONE, &mut single);
        let mut double = upstream.map(f64::from);
        estimator.pass(&latent.map(f64::from), LEVELS, Progress::DONE, &mut double);
        let magnitude = |i: usize| oracle[i].abs();
        let exact = Pair {
            array: "latent".into(),
            found: double.to_vec(),
            expected: oracle.clone(),
            allowed: oracle.iter().map(|value| 1e-14 * value.abs()).collect(),
        };
        Ok(vec![exact, Pair::sums("latent in f32", &single, &oracle, 8, magnitude)])
    }))
}

/// Every weight to the nearest of 2·`codes` + 1 values between −max|w| and max|w|, found by trying them all.
fn staged(step: u32, codes: f64) -> Box<dyn Case> {
    Box::new(Comparison::new(format!("staged forward, step {step}"), &["Staged"], move || {
        let progress = Progress { step, total: TOTAL };
        let largest = LATENT.iter().fold(0.0_f64, |largest, w| largest.max(w.abs()));
        let values: Vec<f64> =
            (0..=2 * codes as usize).map(|code| largest * (code as f64 - codes) / codes).collect();
        let nearest = |w: &f64| {
            let nearer = |a: &f64, b: &f64| (a - w).abs().total_cmp(&(b - w).abs());
            values.iter().copied().min_by(nearer).unwrap_or(f64::NAN)
        };
        let expected: Vec<f64> = LATENT.iter().map(nearest).collect();
        let mut relaxed = [0.0; LATENT.len()];
        let staged = Staged::default();
        staged.relax(&LATENT, LEVELS, progress, &mut relaxed);
        let is_relaxed = Estimator::<f64>::is_relaxed(&staged, progress);
        let allowed = vec![8.0 * ROUNDING * largest; expected.len()];
        let found = relaxed.to_vec();
        let flag = Pair {
            array: "is relaxed".into(),
            found: vec![f64::from(u8::from(is_relaxed))],
            expected: vec![1.0],
            allowed: vec![0.0],
        };
        Ok(vec![Pair { array: "relaxed".into(), found, expected, allowed }, flag])
    }))
}

/// w − η·λₜ·(w − q), written out for every step of a run and every weight.
fn pull() -> Box<dyn Case> {
    Box::new(Comparison::new("pull", &["Pull"], || {
        let (strength, from, rate) = (3.0, 0.25, 0.01);
        let pull = Pull::new(strength, from)?;
        let (mut found, mut expected, mut single) = (Vec::new(), Vec::new(), Vec::new());
        let quantized = LATENT.map(|w| f64::from(LEVELS.trit(w as f32)) * 1.25);
        for step in 1..=TOTAL {
            let lambda = pull.at(Progress { step, total: TOTAL });
            let share = f64::from(step) / f64::from(TOTAL);
            let risen = if share > from { (share - from) / (1.0 - from) } else { 0.0 };
            let mut pulled = LATENT;
            Pull::correct(rate * lambda, &quantized, &mut pulled);
            let mut narrow = LATENT.map(|w| w as f32);
            Pull::correct((rate * lambda) as f32, &quantized.map(|q| q as f32), &mut narrow);
            for (w, q) in LATENT.iter().zip(quantized) {
                expected.push(w - rate * strength * risen * (w - q));
            }
            found.extend(pulled);
            single.extend(narrow);
        }
        let allowed = expected.iter().map(|_| 1e-14).collect();
        let magnitude = |_| 4.0;
        let in_f32 = Pair::sums("latent in f32", &single, &expected, 8, magnitude);
        Ok(vec![Pair { array: "latent".into(), found, expected, allowed }, in_f32])
    }))
}
