//! FOGZO, which is the derivative of nothing, against a plain loop. Central differences of a quadratic loss are
//! exact, so on one the estimate is the mean of D⁻¹·v·vᵀ·D·∇L over the directions v.

use ste::{Fogzo, Span};
use ternary_core::noise::Noise;

use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::comparison::{Comparison, Pair};
use crate::gradcheck::values::signed;

/// How many weights; two of them are not perturbed.
const WEIGHTS: usize = 12;
/// Perturbations and estimates are rounded to `f32`, and every one of them enters a slope.
const ROUNDING: f64 = 1e-5;

pub(super) fn all() -> Vec<Box<dyn Case>> {
    let settings = [(1, 0.7), (1, 0.0), (1, 1.0), (3, 0.9)];
    settings.map(|(directions, beta)| on_a_quadratic(directions, beta)).into()
}

fn spans() -> [Span; 3] {
    [(0..5, 0.25), (5..7, 0.0), (7..WEIGHTS, 0.01)].map(|(range, step)| Span { range, step })
}

/// ε of a weight.
fn step(index: usize) -> f64 {
    let span = spans().into_iter().find(|span| span.range.contains(&index));
    span.map_or(0.0, |span| f64::from(span.step))
}

/// Σ bᵢ·δᵢ + ½·Σ aᵢ·δᵢ², whose gradient at δ = 0 is b.
fn loss(slopes: &[f64], added: &[f32]) -> f64 {
    let term = |(index, (slope, &added)): (usize, (&f64, &f32))| {
        let added = f64::from(added);
        slope * added + 0.5 * (1.0 + index as f64) * added * added
    };
    slopes.iter().zip(added).enumerate().map(term).sum()
}

fn on_a_quadratic(directions: u32, beta: f64) -> Box<dyn Case> {
    let name = format!("fogzo, {directions} directions, β = {beta}");
    Box::new(Comparison::new(name.clone(), &["Fogzo"], move || {
        let slopes = signed(&format!("{name}/slopes"), WEIGHTS);
        let guide: Vec<f32> =
            signed(&format!("{name}/guide"), WEIGHTS).into_iter().map(|g| g as f32).collect();
        let noise = Noise::new(1, 2, 3);
        let fogzo = Fogzo { directions, noise: 1.0 };
        let mut found = guide.clone();
        let probe = |added: &[f32]| Outcome::Ok(loss(&slopes, added));
        fogzo.estimate(beta, &spans(), noise, &mut found, probe)?;
        let expected = plain(directions, beta, noise, &guide, &slopes);
        let largest = expected.iter().fold(0.0_f64, |largest, g| largest.max(g.abs()));
        let is_perturbed = |index| step(index) > 0.0;
        let allowed = |index| if is_perturbed(index) { ROUNDING * largest } else { 0.0 };
        Ok(vec![Pair {
            array: "latent".into(),
            found: found.into_iter().map(f64::from).collect(),
            expected,
            allowed: (0..WEIGHTS).map(allowed).collect(),
        }])
    }))
}

/// The estimate, entry after entry; what is not perturbed keeps its gradient.
fn plain(directions: u32, beta: f64, noise: Noise, guide: &[f32], slopes: &[f64]) -> Vec<f64> {
    let scaled = |i: usize| step(i) * f64::from(guide[i]);
    let norm = (0..WEIGHTS).map(|i| scaled(i).powi(2)).sum::<f64>().sqrt();
    let mut mean = vec![0.0; WEIGHTS];
    for direction in 0..u64::from(directions) {
        // Signs have the indices from 2⁶³ on, numbers those below.
        let sign = f64::from(noise.sign((1 << 63) + direction));
        let v = |i: usize| {
            let centred = f64::from(noise.centred(direction * WEIGHTS as u64 + i as u64));
            let uniform = 2.0 * 3.0_f64.sqrt() * centred;
            beta.sqrt() * sign * scaled(i) / norm + (1.0 - beta).sqrt() * uniform
        };
        let slope: f64 = (0..WEIGHTS).map(|i| step(i) * v(i) * slopes[i]).sum();
        for (i, mean) in mean.iter_mut().enumerate().filter(|&(i, _)| step(i) > 0.0) {
            *mean += slope * v(i) / step(i) / f64::from(directions);
        }
    }
    let kept = |(i, mean): (usize, f64)| if step(i) > 0.0 { mean } else { f64::from(guide[i]) };
    mean.into_iter().enumerate().map(kept).collect()
}
