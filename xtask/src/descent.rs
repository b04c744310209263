//! AdamW on whatever of a model learns, a step at a time: what the trainer does, without its schedules, clips and guards.

use models::{Batch, Decoder};
use nn::{Compute, Gradients, Module, Tape, ValuesMut};
use trainer::optimiser::{AdamW, AdamWOptions, Moment, Optimiser};

use crate::fixtures::oracle::adamw::Settings;
use crate::parity::Outcome;

/// The state of an optimiser, and what steps use again.
pub(crate) struct Descent<T: Compute> {
    learning_rate: f64,
    weight_decay: f64,
    optimiser: AdamW<T>,
    gradients: Gradients<T>,
    tape: Tape<T>,
}

impl<T: Compute> Descent<T> {
    /// Before the first step of a model.
    pub(crate) fn new(model: &Decoder<T>, settings: &Settings) -> Outcome<Self> {
        let Settings { lr, betas: [beta1, beta2], eps, weight_decay, amsgrad, .. } = *settings;
        if amsgrad {
            return Err("expected AdamW without amsgrad, found one with it".into());
        }
        let parameters = model.parameters();
        let tensors = parameters.ids().map(|id| {
            let shape = if id.is_frozen() { &[0][..] } else { parameters.shape(id) };
            (parameters.name(id), shape)
        });
        let optimiser = AdamW::new(AdamWOptions { beta1, beta2, epsilon: eps }, tensors);
        let (gradients, tape) = (Gradients::zeros(parameters), Tape::recording());
        Ok(Self { learning_rate: lr, weight_decay, optimiser, gradients, tape })
    }

    /// Forward, backward and update; returns the loss before the update.
    pub(crate) fn step(&mut self, model: &mut Decoder<T>, batch: Batch<'_>) -> Outcome<f64> {
        let Self { learning_rate, weight_decay, optimiser, gradients, tape } = self;
        gradients.clear();
        let loss = model.loss_and_gradients(batch, tape, gradients)?.mean;
        model.visit_mut(&mut |id, values| {
            // As in a run, what no row came to stays as it is.
            let (true, ValuesMut::Real(weights)) = (gradients.is_touched(id), values) else {
                return;
            };
            let moment = Moment {
                tensor: id.index(),
                learning_rate: *learning_rate,
                weight_decay: *weight_decay,
                gradient: gradients.get(id),
                gradient_factor: 1.0,
                weights: &|see| see(&*weights),
            };
            let mut tensor = optimiser.begin(moment);
            tensor.apply(0, weights);
        });
        Ok(loss)
    }
}
