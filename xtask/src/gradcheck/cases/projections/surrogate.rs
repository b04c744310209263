//! The function that a ternary projection differentiates, around the point where codes were decided.

use std::sync::Arc;

use nn::Activations;
use nn::ops::fake_quantize;
use ste::{AnyEstimator, Estimator, Progress};
use ternary_core::Levels;

use crate::gradcheck::case::Outcome;

/// How latent weights enter.
#[derive(Clone)]
pub(super) struct Latent {
    /// w₀.
    pub(super) values: Vec<f64>,
    /// λ.
    pub(super) lambda: f64,
    /// What names φ.
    pub(super) estimator: Arc<dyn AnyEstimator>,
    /// When the codes were decided.
    pub(super) progress: Progress,
    /// The levels of each weight's group.
    pub(super) levels: Vec<Levels>,
}

impl Latent {
    /// What a weight of the product moves by when its latent one moves to `w`.
    pub(super) fn change(&self, index: usize, w: f64) -> f64 {
        let (before, levels) = (self.values[index], self.levels[index]);
        let phi = |w: f64| {
            Estimator::<f64>::surrogate(&*self.estimator, w, levels, self.progress)
                .unwrap_or(f64::NAN)
        };
        (1.0 - self.lambda) * (w - before) + self.lambda * (phi(w) - phi(before))
    }
}

/// A projection around a point.
#[derive(Clone)]
pub(super) struct Surrogate {
    inputs: usize,
    /// x₀.
    x: Vec<f64>,
    /// x̂₀.
    seen: Vec<f64>,
    /// Q₀, [outputs, inputs].
    weights: Vec<f64>,
    latent: Option<Latent>,
}

impl Surrogate {
    pub(super) fn new(
        inputs: usize,
        activations: Activations,
        x: &[f64],
        weights: Vec<f64>,
        latent: Option<Latent>,
    ) -> Outcome<Self> {
        let mut seen = x.to_vec();
        if activations == Activations::Int8 {
            fake_quantize(x, x.len() / inputs, &mut seen)?;
        }
        Ok(Self { inputs, x: x.to_vec(), seen, weights, latent })
    }

    /// The outputs at inputs `x` and latent weights `w`, without a bias.
    pub(super) fn outputs(&self, x: &[f64], w: Option<&[f64]>) -> Vec<f64> {
        let weight = |index: usize| {
            let moved = self.latent.as_ref().zip(w);
            self.weights[index] + moved.map_or(0.0, |(latent, w)| latent.change(index, w[index]))
        };
        let weights: Vec<f64> = (0..self.weights.len()).map(weight).collect();
        let mut y = Vec::new();
        for (row, x) in x.chunks(self.inputs).enumerate() {
            let start = row * self.inputs;
            let seen = |i: usize| x[i] + (self.seen[start + i] - self.x[start + i]);
            for weights in weights.chunks(self.inputs) {
                y.push((0..self.inputs).map(|i| seen(i) * weights[i]).sum());
            }
        }
        y
    }

    /// Σ|terms| of each output.
    pub(super) fn output_terms(&self) -> Vec<f64> {
        let mut terms = Vec::new();
        for seen in self.seen.chunks(self.inputs) {
            for weights in self.weights.chunks(self.inputs) {
                terms.push(seen.iter().zip(weights).map(|(x, w)| (x * w).abs()).sum());
            }
        }
        terms
    }

    /// Σ|terms| of the gradients of x and of the weights for an upstream gradient.
    pub(super) fn gradient_terms(&self, upstream: &[f64]) -> [Vec<f64>; 2] {
        let outputs = self.weights.len() / self.inputs;
        let (mut dx, mut dw) = (vec![0.0; self.x.len()], vec![0.0; self.weights.len()]);
        for (index, u) in upstream.iter().enumerate() {
            let (row, output) = (index / outputs, index % outputs);
            for i in 0..self.inputs {
                let (x, w) = (row * self.inputs + i, output * self.inputs + i);
                dx[x] += (u * self.weights[w]).abs();
                dw[w] += (u * self.seen[x]).abs();
            }
        }
        [dx, dw]
    }
}
