//! From the gradients of a step to new weights.

use models::Decoder;
use nn::{Draw, Gradients, Module, Rounding, ValuesMut};
use ste::{Progress, Pull};
use ternary_core::profile::span;

use super::pull::Targets;
use crate::adapters::rate;
use crate::config::{self, Configuration};
use crate::optimiser::{
    AdamW, AdamWOptions, Groups, Lamb, LevelRates, Method, Moment, Muon, MuonOptions, Optimiser,
    Sgd, SgdOptions, UnknownPattern, clip_factor,
};
use crate::randomness::Purpose;
use crate::schedule::Schedule;

/// What turns gradients into weights: the clip, the schedule, the rates of each tensor, the pull, the optimiser and
/// the rounding.
#[derive(Debug)]
pub(super) struct Updating {
    /// Its state is what a checkpoint keeps.
    pub(super) optimiser: Box<dyn Optimiser>,
    groups: Groups,
    /// The learning rate of each tensor without a group, as a multiple of the schedule's.
    rates: Vec<f64>,
    /// What each tensor's is multiplied by besides, group or none: of factors of adapters, by their places and kinds.
    factors: Vec<f64>,
    /// The same for ternary weights without latent ones.
    dqt_rate: f64,
    weight_decay: f64,
    schedule: Schedule,
    /// Steps of the run.
    steps: u32,
    clip: f64,
    /// What draws latent weights to the grid, where it is asked for.
    pull: Option<Pull>,
    rounds_at_random: bool,
    seed: u64,
}

/// What an update was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Applied {
    /// The learning rate of tensors without one of their own.
    pub(super) learning_rate: f64,
    /// The weight decay of tensors that decay.
    pub(super) weight_decay: f64,
    /// Norm of all gradients, before the clip.
    pub(super) gradient_norm: f64,
}

impl Updating {
    /// Before the first update of this model.
    ///
    /// # Errors
    /// A pull that does not fit the run, and a group that no tensor belongs to.
    pub(super) fn new(
        configuration: &Configuration,
        model: &Decoder<f32>,
    ) -> Result<Self, config::Error> {
        let settings = &configuration.optimiser;
        let parameters = model.parameters();
        let names: Vec<&str> = parameters.ids().map(|id| parameters.name(id)).collect();
        let groups = Groups::new(&settings.groups, &names).map_err(|UnknownPattern(found)| {
            config::Error::Contradiction {
                keys: "optimiser.groups",
                expected: "patterns that match a tensor, such as model.layers.0.mlp.up_proj.weight",
                found,
            }
        })?;
        let level_rates = LevelRates {
            scale: settings.scale_rate,
            negative_scale: settings.negative_scale_rate.unwrap_or(settings.scale_rate),
            threshold: settings.threshold_rate,
        };
        Ok(Self {
            optimiser: optimiser(settings, model),
            groups,
            rates: names.iter().map(|name| level_rates.of(name)).collect(),
            factors: names.iter().map(|name| rate(&configuration.lora, name)).collect(),
            dqt_rate: settings.dqt_rate,
            weight_decay: settings.weight_decay,
            schedule: configuration.schedule(),
            steps: configuration.run.steps,
            clip: settings.clip,
            pull: configuration.pull()?,
            rounds_at_random: configuration.ternary.stochastic_rounding,
            seed: Purpose::Weights.seed(configuration.run.seed),
        })
    }

    /// Changes the weights of a model by the gradients of step `step`, counted from 0. The codes are still those of
    /// the weights before.
    ///
    /// # Errors
    /// Gradients that are not finite, the first tensor of which is named; then no weight was changed, and nothing
    /// that the optimiser keeps.
    pub(super) fn apply(
        &mut self,
        model: &mut Decoder<f32>,
        gradients: &Gradients<f32>,
        step: u32,
    ) -> models::Result<Applied> {
        let gradient_norm = gradients.norm();
        if !gradient_norm.is_finite() {
            gradients.check_finite(model.parameters())?;
        }
        let rates = self.schedule.at(step);
        let (learning_rate, weight_decay) =
            (rates.learning_rate, self.weight_decay * rates.weight_decay);
        let applied = Applied { learning_rate, weight_decay, gradient_norm };
        self.update(model, gradients, step + 1, applied);
        Ok(applied)
    }

    fn update(
        &mut self,
        model: &mut Decoder<f32>,
        gradients: &Gradients<f32>,
        updates: u32,
        applied: Applied,
    ) {
        let _span = span("optimiser");
        let progress = Progress { step: updates, total: self.steps };
        let targets = Targets::new(self.pull, model, progress);
        let gradient_factor = clip_factor(applied.gradient_norm, self.clip);
        let Self { optimiser, groups, rates, factors, dqt_rate, seed, rounds_at_random, .. } = self;
        model.visit_mut(&mut |id, mut values| {
            // An expert without rows stays as it is, in its decay and moments too.
            if !gradients.is_touched(id) {
                return;
            }
            let shares = groups.of(id.index());
            let is_dqt = matches!(values, ValuesMut::Ternary(_));
            let own = if is_dqt { *dqt_rate } else { rates[id.index()] };
            let share = shares.rate.unwrap_or(own) * factors[id.index()];
            let learning_rate = applied.learning_rate * share;
            let mut tensor = optimiser.begin(Moment {
                tensor: id.index(),
                learning_rate,
                weight_decay: applied.weight_decay * shares.decay,
                gradient: gradients.get(id),
                gradient_factor,
                weights: &|see| values.read(|_, run| see(run)),
            });
            let noise = Draw::Rounding.noise(*seed, id, updates);
            let rounding =
                if *rounds_at_random { Rounding::Stochastic(&noise) } else { Rounding::Nearest };
            values.update(rounding, |start, weights| {
                targets.pull(id, learning_rate, start, weights);
                tensor.apply(start, weights);
            });
        });
    }
}

/// The optimiser that the settings name, with a fresh state.
fn optimiser(settings: &config::Optimiser, model: &Decoder<f32>) -> Box<dyn Optimiser> {
    let parameters = model.parameters();
    // What is frozen has a shape, and what only collects gradients for other tensors has room for them; of neither
    // anything is kept.
    let mut has_values = vec![false; parameters.len()];
    model.visit(&mut |tensor| {
        if let Some(id) = tensor.id {
            has_values[id.index()] = !id.is_frozen();
        }
    });
    let tensors = parameters.ids().map(|id| {
        let shape = if has_values[id.index()] { parameters.shape(id) } else { &[0][..] };
        (parameters.name(id), shape)
    });
    let config::Optimiser { beta1, beta2, epsilon, nesterov, .. } = *settings;
    let adamw = AdamWOptions { beta1, beta2, epsilon };
    match settings.method {
        Method::AdamW => Box::new(AdamW::new(adamw, tensors)),
        Method::Sgd => {
            let options = SgdOptions { momentum: settings.momentum, nesterov };
            Box::new(Sgd::new(options, tensors))
        }
        Method::Lamb => Box::new(Lamb::new(adamw, tensors)),
        Method::Muon => {
            let options = MuonOptions { momentum: settings.muon_momentum, nesterov, adamw };
            Box::new(Muon::new(options, tensors))
        }
    }
}
