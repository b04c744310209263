//! One step of training.

use std::time::{Duration, Instant};

use models::Decoder;
use nn::{Gradients, Module, Sequences, Tape, Update};
use ste::{Progress, Ramp};

use super::fogzo::{Probed, Probing};
use super::hard::{Examples, Mined, Mining};
use super::update::{Applied, Updating};
use super::vitals::{Layers, Vitals, Watch};
use crate::config::{self, Configuration};
use crate::data::TrainingWindows;
use crate::randomness::Purpose;

/// A model while it trains: its optimiser, its place in the data, and the buffers of a step.
#[derive(Debug)]
pub(super) struct Training<'a> {
    model: Decoder<f32>,
    text: &'a [u8],
    windows: TrainingWindows,
    sequences: Sequences,
    updating: Updating,
    /// Steps of the run.
    steps: u32,
    seed: u64,
    /// How latent weights become ternary over the run.
    ramp: Ramp,
    gradients: Gradients<f32>,
    tape: Tape<f32>,
    /// What the step learns from.
    examples: Examples,
    mining: Option<Mining>,
    probing: Option<Probing>,
    watch: Watch,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    /// Mean loss of the batch before the update, in nats per byte.
    pub(super) loss: f64,
    /// The learning rate of the update.
    pub(super) learning_rate: f64,
    /// Norm of all gradients, before the clip.
    pub(super) gradient_norm: f64,
    /// The losses of the routers, where there are any.
    pub(super) router_loss: Option<f64>,
    /// The share of all ternary codes that the update changed, where there are any.
    pub(super) flips: Option<f64>,
    /// How long it took.
    pub(super) time: Duration,
    /// What mining chose, where it is asked for.
    pub(super) mined: Option<Mined>,
    /// What FOGZO's probes found, in its phase.
    pub(super) probed: Option<Probed>,
}

impl<'a> Training<'a> {
    /// Before the first step. `windows` are those of `text`.
    ///
    /// # Errors
    /// A ramp or a pull that does not fit the run, and a group that no tensor belongs to.
    pub(super) fn new(
        configuration: &Configuration,
        model: Decoder<f32>,
        text: &'a [u8],
        windows: TrainingWindows,
    ) -> Result<Self, config::Error> {
        let parameters = model.parameters();
        let sequences =
            Sequences { count: configuration.batch.windows, length: configuration.batch.length };
        Ok(Self {
            updating: Updating::new(configuration, parameters)?,
            gradients: Gradients::zeros(parameters),
            steps: configuration.run.steps,
            seed: Purpose::Weights.seed(configuration.run.seed),
            ramp: configuration.ramp()?,
            sequences,
            tape: Tape::recording(),
            examples: Examples::none(sequences),
            mining: Mining::new(configuration),
            probing: Probing::new(configuration),
            watch: Watch::default(),
            model,
            text,
            windows,
        })
    }

    /// The model as it is.
    pub(super) fn model(&self) -> &Decoder<f32> {
        &self.model
    }

    /// Every ternary matrix with its vital signs since the last call, if there are any.
    pub(super) fn layers(&mut self) -> Option<Layers> {
        self.watch.layers(&self.model)
    }

    /// The vital signs of all ternary weights over the run, if there are any.
    pub(super) fn vitals(&self) -> Option<Vitals> {
        self.watch.vitals(&self.model)
    }

    /// Bytes that a step predicts.
    pub(super) fn tokens_per_step(&self) -> usize {
        self.sequences.rows()
    }

    /// Step `step`, counted from 0: forward, backward, clip, update, and new codes.
    ///
    /// # Errors
    /// Activations or gradients that are not finite; then no weight was changed. Latent weights that
    /// the update made infinite.
    pub(super) fn step(&mut self, step: u32) -> models::Result<Step> {
        let start = Instant::now();
        if step == 0 {
            self.requantize(0)?;
            self.watch.begin(&self.model);
        }
        self.read_batch(step);
        self.gradients.clear();
        let Self { mining, model, examples, .. } = self;
        let mined = mining.as_mut().map(|mining| mining.narrow(model, examples)).transpose()?;
        let batch = self.examples.batch();
        let loss = self.model.loss_and_gradients(batch, &mut self.tape, &mut self.gradients)?;
        let has_router = self.model.config().mixture.is_some();
        let router_loss = has_router.then(|| self.tape.auxiliary_loss());
        self.model.finish_gradients(&mut self.gradients)?;
        let probed = self.probe(step)?;
        let Applied { learning_rate, gradient_norm, .. } = self.apply(step)?;
        let flips = self.watch.flips(&self.model);
        let time = start.elapsed();
        let loss = mined.map_or(loss.mean, |mined| mined.whole_loss);
        Ok(Step { loss, learning_rate, gradient_norm, router_loss, flips, time, mined, probed })
    }

    /// In the phase of FOGZO, measures the gradients. Those that are not finite are left for
    /// [`Training::apply`] to name.
    fn probe(&mut self, step: u32) -> models::Result<Option<Probed>> {
        let update = self.moment(step);
        let Self { probing, model, gradients, examples, .. } = self;
        let probing = probing.as_mut().filter(|probing| probing.is_on(step));
        let Some(probing) = probing.filter(|_| gradients.norm().is_finite()) else {
            return Ok(None);
        };
        probing.refine(model, gradients, examples.batch(), update).map(Some)
    }

    /// Turns the gradients of step `step` into new weights and new codes.
    fn apply(&mut self, step: u32) -> models::Result<Applied> {
        let applied = self.updating.apply(&mut self.model, &self.gradients, step)?;
        self.requantize(step + 1)?;
        Ok(applied)
    }

    /// Decides the codes after `updates` of them. The last codes, which are saved, are decided without
    /// noise, and nothing softer stands in for them: there every ramp and every estimator has arrived.
    fn requantize(&mut self, updates: u32) -> models::Result<()> {
        let update = self.moment(updates);
        Ok(self.model.requantize(update)?)
    }

    /// The requantisation after `updates` of them.
    fn moment(&self, updates: u32) -> Update {
        let (step, total) = (updates, self.steps);
        let lambda = self.ramp.lambda(Progress { step, total });
        Update { seed: self.seed, step, total, lambda, is_noisy: step < total, levels: None }
    }

    fn read_batch(&mut self, step: u32) {
        let Examples { sequences, tokens, targets } = &mut self.examples;
        *sequences = self.sequences;
        tokens.clear();
        targets.clear();
        for example in 0..self.sequences.count as u64 {
            let bytes = &self.text[self.windows.window(step, example)];
            tokens.extend(bytes[..bytes.len() - 1].iter().map(|&byte| u32::from(byte)));
            targets.extend(bytes[1..].iter().map(|&byte| u32::from(byte)));
        }
    }
}

#[cfg(test)]
mod mixture_tests;
#[cfg(test)]
mod tests;
