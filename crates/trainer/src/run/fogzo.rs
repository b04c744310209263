//! The last phase of a run: gradients whose length and sign are measured by more losses.

use std::ops::Range;
use std::time::{Duration, Instant};

use half::bf16;
use models::Decoder;
use nn::{Draw, Gradients, Module, Rounding, Update, Values, ValuesMut};
use serde::{Deserialize, Serialize};
use ste::{Fogzo, Progress, Slopes, Span};
use ternary_core::noise::Noise;

use crate::config::Configuration;
use crate::randomness::Purpose;

/// FOGZO ([`ste::Fogzo`]) on the latent weights of a decoder; all other parameters keep their gradient.
#[derive(Debug)]
pub(super) struct Probing {
    fogzo: Fogzo,
    /// Updates before the phase.
    first: u32,
    /// Updates of the phase.
    length: u32,
    seed: u64,
}

/// What the probes of a step found, and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// The slope that the estimator's gradient promised along the probed direction.
    pub promised_slope: f64,
    /// The slope that the losses of the two probes showed there.
    pub measured_slope: f64,
    /// Seconds that the probes took, with all that goes with them.
    pub fogzo_seconds: f64,
}

impl Probing {
    /// The phase that a configuration asks for; none where it starts after the last step.
    pub(super) fn new(configuration: &Configuration) -> Option<Self> {
        let (run, fogzo) = (&configuration.run, &configuration.fogzo);
        let is_before = |step| Progress { step, total: run.steps }.share() < run.fogzo_from;
        // The product may be a rounding more or less than a whole number of steps; their share is not.
        let mut first = (run.fogzo_from * f64::from(run.steps)).floor() as u32;
        while is_before(first) {
            first += 1;
        }
        let length = run.steps.checked_sub(first).filter(|&length| length > 0)?;
        Some(Self {
            fogzo: Fogzo { directions: fogzo.directions, noise: fogzo.noise },
            first,
            length,
            seed: Purpose::Probes.seed(run.seed),
        })
    }

    /// Whether the phase has begun.
    pub(super) fn is_on(&self, updates: u32) -> bool {
        updates >= self.first
    }

    /// Replaces the gradients of latent weights by FOGZO's, from the `objective` that they are of, under codes
    /// that are decided without noise. `update` is the last requantisation. Weights and codes are
    /// afterwards what they were, bit for bit.
    ///
    /// Weights in `bf16` are perturbed with unbiased rounding, the same random numbers for both probes:
    /// to the nearest, most of a perturbation would be lost.
    ///
    /// # Errors
    /// An error of the model; weights and codes are restored then too.
    pub(super) fn refine(
        &self,
        model: &mut Decoder<f32>,
        gradients: &mut Gradients<f32>,
        objective: impl Fn(&Decoder<f32>) -> models::Result<f64>,
        update: Update,
    ) -> models::Result<Probed> {
        let start = Instant::now();
        let spans = spans(model, gradients);
        let over = f64::from(update.step.saturating_sub(self.first));
        let progress = over / f64::from((self.length - 1).max(1));
        let beta = self.fogzo.beta(progress, Fogzo::weights(&spans));
        let latent = Latent::copy(model);
        let Self { fogzo, seed, .. } = self;
        let noise = Noise::new(*seed, 0, update.step);
        let probe = |perturbation: &[f32]| -> models::Result<f64> {
            latent.perturb(model, perturbation, *seed, update.step);
            model.requantize(update.without_noise())?;
            objective(model)
        };
        let slopes = fogzo.estimate(beta, &spans, noise, gradients.values_mut(), probe);
        latent.restore(model);
        model.requantize(update)?;
        let Slopes { promised, measured } = slopes?;
        let time: Duration = start.elapsed();
        Ok(Probed {
            promised_slope: promised,
            measured_slope: measured,
            fogzo_seconds: time.as_secs_f64(),
        })
    }
}

/// The latent weights that have a gradient, each scaling group with its ε: ε̄ times its scale, the mean of both
/// where there are two. Those of an expert without rows keep theirs, which is zero: noise there would count in
/// the clip norm, and move nothing.
fn spans(model: &Decoder<f32>, gradients: &Gradients<f32>) -> Vec<Span> {
    let mut spans = Vec::new();
    model.visit(&mut |tensor| {
        if let (Some(id), Values::Ternary { matrix, latent: Some(_), .. }) =
            (tensor.id, tensor.values)
            && gradients.is_touched(id)
        {
            let (range, scales) = (model.parameters().range(id), matrix.scales());
            let each = range.len().checked_div(scales.len()).unwrap_or(0);
            let both = scales.negative().iter().zip(scales.positive());
            spans.extend(both.enumerate().map(|(group, (negative, positive))| {
                let start = range.start + group * each;
                let step = Span::STRAIGHT_THROUGH * 0.5 * (negative + positive);
                Span { range: start..start + each, step }
            }));
        }
    });
    spans
}

/// A copy of the latent weights, in the type they have: adding a perturbation and subtracting it again
/// would not lead back.
#[derive(Debug)]
struct Latent {
    /// By the index of the parameter: its place among the gradients, and its weights.
    tensors: Vec<Option<(Range<usize>, Copied)>>,
}

#[derive(Debug)]
enum Copied {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

impl Latent {
    fn copy(model: &mut Decoder<f32>) -> Self {
        let mut places = vec![None; model.parameters().len()];
        model.visit(&mut |tensor| {
            if let (Some(id), Values::Ternary { latent: Some(_), .. }) = (tensor.id, tensor.values)
            {
                places[id.index()] = Some(model.parameters().range(id));
            }
        });
        let mut tensors: Vec<_> = places.iter().map(|_| None).collect();
        model.visit_mut(&mut |id, values| {
            if let Some(range) = &places[id.index()] {
                let copied = match values {
                    ValuesMut::Real(values) | ValuesMut::F32(values) => {
                        Copied::F32(values.to_vec())
                    }
                    ValuesMut::Bf16(values) => Copied::Bf16(values.to_vec()),
                    // Ternary weights that train as they are have no latent ones.
                    ValuesMut::Ternary(_) => return,
                };
                tensors[id.index()] = Some((range.clone(), copied));
            }
        });
        Self { tensors }
    }

    fn restore(&self, model: &mut Decoder<f32>) {
        model.visit_mut(&mut |id, mut values| {
            if let Some((_, copied)) = &self.tensors[id.index()] {
                copied.write(&mut values);
            }
        });
    }

    /// Sets the weights to the copy plus `perturbation`, which is laid out as the gradients are.
    fn perturb(&self, model: &mut Decoder<f32>, perturbation: &[f32], seed: u64, step: u32) {
        model.visit_mut(&mut |id, mut values| {
            let Some((range, copied)) = &self.tensors[id.index()] else { return };
            copied.write(&mut values);
            let added = &perturbation[range.clone()];
            let noise = Draw::Rounding.noise(seed, id, step);
            values.update(Rounding::Stochastic(&noise), |start, weights| {
                weights
                    .iter_mut()
                    .zip(&added[start..])
                    .for_each(|(weight, added)| *weight += added);
            });
        });
    }
}

impl Copied {
    fn write(&self, values: &mut ValuesMut<'_, f32>) {
        match (self, values) {
            (Self::F32(copy), ValuesMut::Real(values) | ValuesMut::F32(values)) => {
                values.copy_from_slice(copy);
            }
            (Self::Bf16(copy), ValuesMut::Bf16(values)) => values.copy_from_slice(copy),
            // No tensor changes its type.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
