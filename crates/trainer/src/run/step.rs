//! One step of training.

use std::sync::Arc;
use std::time::{Duration, Instant};

use models::Decoder;
use nn::{Dropout, Gradients, Module, Parameters, Update};
use ste::{Estimator, Progress, Ramp};
use ternary_core::profile::span;

use super::examples::Examples;
use super::fogzo::{Probed, Probing};
use super::hard::{Mined, Mining};
use super::teacher::Teaching;
use super::units::{Sums, Units};
use super::update::{Applied, Updating};
use super::vitals::{Layers, Vitals, Watch};
use crate::config::{self, Configuration};
use crate::data::Example;
use crate::error::{Error, Result};
use crate::randomness::Purpose;

/// Puts an example, by its number in the run, in the place of what a window was.
pub(super) type ReadExample<'a> = Box<dyn Fn(u64, &mut Example) -> Result<()> + Send + Sync + 'a>;

/// A model while it trains: its optimiser, its place in the data, and the buffers of a step.
pub(super) struct Training<'a> {
    model: Decoder<f32>,
    read_example: ReadExample<'a>,
    /// Windows of a step.
    windows: u64,
    updating: Updating,
    /// Steps of the run.
    steps: u32,
    seed: u64,
    /// What adapters drop inputs by, where they do.
    dropout_seed: Option<u64>,
    /// How latent weights become ternary over the run.
    ramp: Ramp,
    estimator: Arc<dyn Estimator<f32>>,
    is_float: bool,
    units: Units,
    /// Those of the last step.
    gradients: Gradients<f32>,
    /// What the step learns from.
    examples: Examples,
    mining: Option<Mining>,
    probing: Option<Probing>,
    watch: Watch,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// It changed the weights.
    Taken(Taken),
    /// It met a number that is not finite, and changed neither weights nor the state of the optimiser.
    Skipped(Skipped),
}

/// What a step told that was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Taken {
    /// Mean loss of the batch before the update, in nats per token.
    pub(super) loss: f64,
    /// The learning rate of the update.
    pub(super) learning_rate: f64,
    /// The decay of the update.
    pub(super) weight_decay: f64,
    /// Norm of all gradients, before the clip.
    pub(super) gradient_norm: f64,
    /// The losses of the routers, where there are any.
    pub(super) router_loss: Option<f64>,
    /// The mean divergence from a teacher, where there is one.
    pub(super) divergence: Option<f64>,
    /// The share of all ternary codes that the update changed, where there are any.
    pub(super) flips: Option<f64>,
    /// Tokens of the batch, without what fills up sequences.
    pub(super) tokens: usize,
    /// How long it took.
    pub(super) time: Duration,
    /// What mining chose, where it is asked for.
    pub(super) mined: Option<Mined>,
    /// What FOGZO's probes found, in its phase.
    pub(super) probed: Option<Probed>,
}

/// The first number that was not finite.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Skipped {
    /// Whose it is: the name of a tensor or a layer.
    pub(crate) tensor: String,
    /// What of it.
    pub(crate) what: &'static str,
    /// The number.
    pub(crate) value: f64,
}

impl Skipped {
    /// What an error says of a number that is not finite; none for any other error.
    pub(crate) fn from(error: &models::Error) -> Option<Self> {
        let models::Error::Layer(error) = error else { return None };
        let (tensor, what, value) = match error {
            nn::Error::NonFinite { layer, what, value, .. } => (layer, what, value),
            nn::Error::Core {
                layer,
                source: ternary_core::Error::NonFinite { what, value, .. },
            } => (layer, what, value),
            _ => return None,
        };
        Some(Self { tensor: tensor.clone(), what, value: *value })
    }
}

/// What a step learnt, before the weights change.
struct Lesson {
    sums: Sums,
    mined: Option<Mined>,
    probed: Option<Probed>,
}

impl<'a> Training<'a> {
    /// Before the first step.
    ///
    /// # Errors
    /// A ramp or a pull that does not fit the run, and a group that no tensor belongs to.
    pub(super) fn new(
        configuration: &Configuration,
        model: Decoder<f32>,
        read_example: ReadExample<'a>,
        teaching: Option<Teaching>,
    ) -> Result<Self, config::Error> {
        Ok(Self {
            updating: Updating::new(configuration, &model)?,
            gradients: Gradients::zeros(&Parameters::new()),
            steps: configuration.run.steps,
            seed: Purpose::Weights.seed(configuration.run.seed),
            dropout_seed: (configuration.lora.dropout > 0.0)
                .then(|| Purpose::Dropout.seed(configuration.run.seed)),
            ramp: configuration.ramp()?,
            estimator: configuration.run.ste.estimator(),
            is_float: configuration.is_float(),
            windows: configuration.batch.windows as u64,
            units: Units::new(&configuration.batch, teaching),
            examples: Examples::default(),
            mining: Mining::new(configuration),
            probing: Probing::new(configuration),
            watch: Watch::default(),
            model,
            read_example,
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

    /// Step `step`, counted from 0: forward, backward, clip, update, and new codes. A step that meets a number that
    /// is not finite before the update is skipped: codes go on with their schedule, and nothing else changes.
    ///
    /// # Errors
    /// [`Error::Step`] of the model; [`Error::Weights`] that the update made infinite; a text that cannot be read.
    pub(super) fn step(&mut self, step: u32) -> Result<Step> {
        let _span = span("other");
        let start = Instant::now();
        let failed = |source| Error::Step { step: step + 1, source };
        if step == 0 {
            self.requantize(0).map_err(failed)?;
            self.watch.begin(&self.model);
        }
        self.read_batch(step)?;
        let tokens = self.examples.tokens();
        let taken = self.learn(step).and_then(|lesson| {
            let applied = self.updating.apply(&mut self.model, &self.gradients, step)?;
            Ok((lesson, applied))
        });
        let (lesson, applied) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                let skipped = Skipped::from(&error).ok_or(error).map_err(failed)?;
                self.requantize(step + 1).map_err(failed)?;
                // Codes that follow a schedule have changed; what is told of the next step does not count them.
                self.watch.flips(&self.model);
                return Ok(Step::Skipped(skipped));
            }
        };
        self.requantize(step + 1).map_err(|source| Error::after_update(step + 1, source))?;
        let Applied { learning_rate, weight_decay, gradient_norm } = applied;
        let Lesson { sums, mined, probed } = lesson;
        Ok(Step::Taken(Taken {
            loss: mined.map_or(sums.mean(), |mined| mined.whole_loss),
            learning_rate,
            weight_decay,
            gradient_norm,
            router_loss: self.model.config().mixture.is_some().then_some(sums.router),
            divergence: self.units.has_teacher().then(|| sums.mean_divergence()),
            flips: self.watch.flips(&self.model),
            tokens,
            time: start.elapsed(),
            mined,
            probed,
        }))
    }

    /// Decides the codes that are saved, as after the last step, for a run that ends before it.
    ///
    /// # Errors
    /// An error of the model.
    pub(super) fn finish(&mut self) -> models::Result<()> {
        self.requantize(self.steps)
    }

    /// Whether the model computes with its ternary codes after so many updates, or has none: as it is saved.
    pub(super) fn is_hard(&self, updates: u32) -> bool {
        let progress = Progress { step: updates, total: self.steps };
        self.is_float || (self.ramp.lambda(progress) >= 1.0 && !self.estimator.is_relaxed(progress))
    }

    /// Turns the examples of a step into gradients.
    ///
    /// # Errors
    /// An error of the model, and numbers that are not finite.
    fn learn(&mut self, step: u32) -> models::Result<Lesson> {
        let Self { mining, model, examples, units, dropout_seed, .. } = self;
        let mined = mining.as_mut().map(|mining| mining.narrow(model, examples)).transpose()?;
        let dropout = dropout_seed.map(|seed| Dropout { seed, step, first_row: 0 });
        units.give(std::mem::replace(&mut self.gradients, Gradients::zeros(&Parameters::new())));
        let (gradients, sums) = units.learn(model, examples, dropout)?;
        self.gradients = gradients;
        let estimator = span("estimator");
        self.model.finish_gradients(&mut self.gradients)?;
        drop(estimator);
        self.gradients.check_finite(self.model.parameters())?;
        let value = sums.mean() + sums.router + sums.divergence;
        if !value.is_finite() {
            let (layer, what) = ("the batch".to_owned(), "loss");
            Err(nn::Error::NonFinite { layer, what, index: 0, value })?;
        }
        let probed = self.probe(step)?;
        Ok(Lesson { sums, mined, probed })
    }

    /// In the phase of FOGZO, measures the gradients.
    fn probe(&mut self, step: u32) -> models::Result<Option<Probed>> {
        let update = self.moment(step);
        let Self { probing, model, gradients, examples, units, .. } = self;
        let Some(probing) = probing.as_ref().filter(|probing| probing.is_on(step)) else {
            return Ok(None);
        };
        let objective = |model: &Decoder<f32>| units.objective(model, examples);
        probing.refine(model, gradients, objective, update).map(Some)
    }

    /// Decides the codes after `updates` of them. The last codes, which are saved, are decided without
    /// noise, and nothing softer stands in for them: there every ramp and every estimator has arrived.
    fn requantize(&mut self, updates: u32) -> models::Result<()> {
        let _span = span("requantise");
        let update = self.moment(updates);
        Ok(self.model.requantize(update)?)
    }

    /// The requantisation after `updates` of them.
    fn moment(&self, updates: u32) -> Update {
        let (step, total) = (updates, self.steps);
        let lambda = self.ramp.lambda(Progress { step, total });
        Update { seed: self.seed, step, total, lambda, is_noisy: step < total, levels: None }
    }

    fn read_batch(&mut self, step: u32) -> Result<()> {
        let _span = span("read batch");
        self.examples.clear();
        let mut example = Example::default();
        for window in 0..self.windows {
            (self.read_example)(u64::from(step) * self.windows + window, &mut example)?;
            self.examples.add(&example);
        }
        Ok(())
    }
}

mod kept;
#[cfg(test)]
mod mixture_tests;
#[cfg(test)]
mod tests;
