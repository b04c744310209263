//! What follows from the mode of a run and the settings that override it.

use std::mem::discriminant;

use models::Shadow;
use ste::{Mode, Pull, Ramp};
use ternary_core::{Granularity, Rule};

use super::Configuration;
use super::error::Error;
use crate::schedule::{
    Constant, Cosine, Course, Curve, Linear, Restarts, Schedule, Shape, StableDecay, ThreePhase,
    TwoStage,
};

impl Configuration {
    /// Whether the weights that train stay float for the whole run, as those of adapters do.
    pub fn is_float(&self) -> bool {
        self.run.float || self.run.ste.is_float() || self.lora.model.is_some()
    }

    /// Whether there is a checkpoint after so many steps.
    pub fn has_checkpoint(&self, step: u32) -> bool {
        let every = self.run.checkpoint_every.unwrap_or(self.evaluation.every);
        every > 0 && step.is_multiple_of(every)
    }

    /// The rule of the ternary weights: the quantiser that is given, or the mode's, or absmean.
    pub fn rule(&self) -> Rule {
        self.ternary.quantiser.or(self.run.ste.rule()).unwrap_or(Rule::Absmean)
    }

    /// The weights that share a scale: what is given, or what suits the rule. SEQ starts from the largest weight,
    /// which of a whole tensor is too large.
    pub fn granularity(&self) -> Granularity {
        let default = if self.rule() == Rule::Seq { Granularity::Row } else { Granularity::Tensor };
        self.ternary.granularity.unwrap_or(default)
    }

    /// How latent weights are kept: by the setting, or not at all under DQT.
    pub fn latent(&self) -> Shadow {
        if self.run.dqt { Shadow::None } else { self.ternary.latent }
    }

    /// λ over the run: the mode's ramp, changed by what is given.
    ///
    /// # Errors
    /// [`Error::Contradiction`] where float steps and transition do not fit the run.
    pub fn ramp(&self) -> Result<Ramp, Error> {
        let steps = self.run.steps;
        let default = self.run.ste.ramp();
        let float = self.run.float_steps.map(|float| f64::from(float) / f64::from(steps.max(1)));
        let warm_up = float.unwrap_or(default.warm_up());
        let transition = self.ternary.ramp.unwrap_or(default.transition());
        Ramp::new(warm_up, transition, default.shape()).map_err(|_| Error::Contradiction {
            keys: "float_steps, ternary.ramp, steps",
            expected: "float steps and a share of the steps, together at most all of them",
            found: format!("{warm_up:.4} and {transition:.4} of {steps} steps"),
        })
    }

    /// λ of the bias that weights of zero are: what is given, or the mode's.
    pub fn dead_bias(&self) -> f64 {
        self.ternary.dead_bias.unwrap_or(self.run.ste.dead_bias())
    }

    /// The pull of latent weights towards the grid: what is given, or the mode's; none where it is 0.
    ///
    /// # Errors
    /// [`Error::Contradiction`] for a number that is no strength.
    pub fn pull(&self) -> Result<Option<Pull>, Error> {
        let strength = self.ternary.pull.unwrap_or(self.run.ste.pull());
        let pull =
            Pull::new(strength, self.ternary.pull_from).map_err(|_| Error::Contradiction {
                keys: "ternary.pull, ternary.pull_from",
                expected: "a finite number of at least 0, and a share of the steps",
                found: format!("{strength} and {}", self.ternary.pull_from),
            })?;
        Ok((strength > 0.0).then_some(pull))
    }

    /// The learning rate and the weight decay of each step.
    pub fn schedule(&self) -> Schedule {
        let (settings, steps) = (&self.schedule, self.run.steps);
        let peak = self.optimiser.learning_rate;
        let warm_up = (self.optimiser.warm_up * f64::from(steps)).round() as u32;
        let course = Course { peak, warm_up, steps };
        let end = peak * self.optimiser.final_share.unwrap_or(settings.shape.final_share());
        let curve: Box<dyn Curve> = match settings.shape {
            Shape::Constant => Box::new(Constant { course }),
            Shape::Cosine => Box::new(Cosine { course, end }),
            Shape::DecayToZero => Box::new(Linear { course, end }),
            Shape::StableDecay => {
                let (decay, fall) = (settings.decay, settings.fall);
                Box::new(StableDecay { course, end, decay, fall })
            }
            Shape::Restarts => {
                let (cycles, growth) = (settings.cycles, settings.growth);
                Box::new(Restarts { course, end, cycles, growth })
            }
            Shape::ThreePhase => {
                let falls = [settings.first_fall, settings.second_fall];
                Box::new(ThreePhase { course, falls, middle: peak * settings.middle_share, end })
            }
            Shape::TwoStage => Box::new(TwoStage {
                course,
                breaks: settings.break_at,
                first_end: peak * settings.first_share,
                second: peak * settings.second_share,
                end,
            }),
        };
        let default = if settings.shape == Shape::TwoStage { settings.break_at } else { 1.0 };
        let decayed = settings.weight_decay_until.unwrap_or(default) * f64::from(steps);
        Schedule::new(curve, decayed.round() as u32)
    }

    /// Whether the quantiser is of the family that the mode is tied to; its number is free.
    ///
    /// # Errors
    /// [`Error::Contradiction`].
    pub(super) fn check_mode(&self) -> Result<(), Error> {
        let (mode, given) = (self.run.ste, self.ternary.quantiser);
        match given.zip(mode.rule()) {
            Some((given, rule)) if discriminant(&given) != discriminant(&rule) => {
                Err(Error::Contradiction {
                    keys: "ste, ternary.quantiser",
                    expected: "the rule that belongs to the mode, or none",
                    found: format!("{mode}, which needs {rule}, and {given}"),
                })
            }
            // Rules that learn their levels bring the estimator that their gradients go with.
            None if self.rule().is_learned() && !goes_with_learned(mode) => {
                Err(Error::Contradiction {
                    keys: "ste, ternary.quantiser",
                    expected: "the mode of a rule that is learned, vanilla, progressive, tequila or cage",
                    found: format!("{mode} and {}", self.rule()),
                })
            }
            _ => self.ramp().map(|_| ()),
        }
    }
}

/// Whether a mode has no estimator but that of a rule which learns its levels.
fn goes_with_learned(mode: Mode) -> bool {
    let plain = matches!(mode, Mode::Vanilla | Mode::Progressive | Mode::Tequila | Mode::Cage);
    plain || mode.rule().is_some_and(Rule::is_learned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn resolve(sets: &[&str]) -> Result<Configuration, Error> {
        let mut layers = Layers::default();
        layers.add_assignments(sets.iter().copied())?;
        layers.resolve()
    }

    #[test]
    fn the_mode_brings_its_rule_and_its_ramp() {
        assert_eq!(resolve(&[]).unwrap().rule(), Rule::Absmean);
        assert_eq!(resolve(&[]).unwrap().ramp().unwrap(), Ramp::NONE);
        assert_eq!(resolve(&["ste=twn"]).unwrap().rule(), Rule::Twn { factor: 0.75 });
        let given = resolve(&["ste=twn", "ternary.quantiser=twn0.7"]).unwrap().rule();
        assert_eq!(given, Rule::Twn { factor: 0.7 });
        assert_eq!(resolve(&["ste=progressive"]).unwrap().ramp().unwrap(), Ramp::PROGRESSIVE);
        assert_eq!(resolve(&["ste=lsq"]).unwrap().rule(), Rule::Lsq);
        assert_eq!(resolve(&["ste=lsq"]).unwrap().granularity(), Granularity::Tensor);
        for seq in ["ste=seq", "ternary.quantiser=seq"] {
            assert_eq!(resolve(&[seq]).unwrap().granularity(), Granularity::Row, "{seq}");
        }
        assert!(resolve(&["ste=none"]).unwrap().is_float());
        assert!(resolve(&["float=true"]).unwrap().is_float() && !resolve(&[]).unwrap().is_float());
    }

    #[test]
    fn the_mode_brings_its_bias_and_its_pull_and_what_is_given_overrides_them() {
        let plain = resolve(&[]).unwrap();
        assert_eq!((plain.dead_bias(), plain.pull().unwrap()), (0.0, None));
        let tequila = resolve(&["ste=tequila"]).unwrap();
        assert_eq!((tequila.dead_bias(), tequila.pull().unwrap()), (1e-3, None));
        let cage = resolve(&["ste=cage", "ternary.dead_bias=0.5"]).unwrap();
        let expected = Pull::new(Pull::STRENGTH, Pull::FROM).unwrap();
        assert_eq!((cage.dead_bias(), cage.pull().unwrap()), (0.5, Some(expected)));
        let given = resolve(&["ternary.pull=3", "ternary.pull_from=0.5"]).unwrap();
        assert_eq!(given.pull().unwrap(), Some(Pull::new(3.0, 0.5).unwrap()));
        assert_eq!(resolve(&["ste=cage", "ternary.pull=0"]).unwrap().pull().unwrap(), None);
        assert_eq!(resolve(&["ste=tequila", "ternary.dead_bias=0"]).unwrap().dead_bias(), 0.0);
        for (sets, keys) in [
            (&["ternary.dead_bias=-1"][..], "ternary.dead_bias: "),
            (&["optimiser.negative_scale_rate=-1"], "optimiser.negative_scale_rate: "),
            (&["ternary.pull=-1"], "ternary.pull, ternary.pull_from: "),
            (&["dqt=true", "ste=cage"], "dqt, ste, "),
            (&["dqt=true", "ste=tequila"], "dqt, ste, "),
            (&["dqt=true", "ternary.pull=1"], "dqt, ternary.pull: "),
            (&["dqt=true", "ternary.dead_bias=1"], "dqt, ternary.dead_bias: "),
        ] {
            let error = resolve(sets).unwrap_err().to_string();
            assert!(error.starts_with(keys), "{error}");
        }
    }

    #[test]
    fn what_is_given_overrides_the_ramp_of_the_mode() {
        let sets = ["ste=progressive", "steps=100", "float_steps=10", "ternary.ramp=0.5"];
        let expected = Ramp::new(0.1, 0.5, ste::Shape::Smooth).unwrap();
        assert_eq!(resolve(&sets).unwrap().ramp().unwrap(), expected);
        let expected = Ramp::new(0.25, 0.0, ste::Shape::Linear).unwrap();
        assert_eq!(resolve(&["steps=40", "float_steps=10"]).unwrap().ramp().unwrap(), expected);
    }

    #[test]
    fn every_schedule_begins_at_its_warm_up_and_ends_at_its_share() {
        for shape in Shape::ALL {
            let shape_set = format!("schedule.shape={shape}");
            let sets =
                [&shape_set, "steps=100", "optimiser.learning_rate=2", "optimiser.warm_up=0.1"];
            let rates = |more: &[&str]| {
                let schedule = resolve(&[&sets[..], more].concat()).unwrap().schedule();
                [0, 9, 99].map(|step| schedule.at(step).learning_rate)
            };
            assert_eq!(rates(&[]), [0.2, 2.0, 2.0 * shape.final_share()], "{shape}");
            let end = if shape == Shape::Constant { 2.0 } else { 0.5 };
            assert_eq!(rates(&["optimiser.final_share=0.25"]), [0.2, 2.0, end], "{shape}");
        }
    }

    #[test]
    fn weight_decay_ends_with_the_first_of_two_stages_or_where_it_is_told_to() {
        let last = |sets: &[&str]| {
            let schedule = resolve(&[&["steps=100"], sets].concat()).unwrap().schedule();
            (0..200).filter(|&step| schedule.at(step).weight_decay == 1.0).count()
        };
        assert_eq!(last(&[]), 100);
        assert_eq!(last(&["schedule.shape=two-stage"]), 50);
        assert_eq!(last(&["schedule.shape=two-stage", "schedule.break_at=0.3"]), 30);
        let both = ["schedule.shape=two-stage", "schedule.weight_decay_until=0.667"];
        assert_eq!(last(&both), 67);
        for (sets, keys) in [
            (&["optimiser.final_share=1.5"][..], "optimiser.final_share: "),
            (&["schedule.weight_decay_until=-1"], "schedule.weight_decay_until: "),
            (&["schedule.first_fall=0.95"], "schedule.first_fall, schedule.second_fall: "),
        ] {
            let error = resolve(sets).unwrap_err().to_string();
            assert!(error.starts_with(keys), "{error}");
        }
    }

    #[test]
    fn a_rule_that_is_not_the_modes_and_phases_beyond_the_run_are_refused() {
        for (sets, keys) in [
            (&["ste=twn", "ternary.quantiser=absmean"][..], "ste, ternary.quantiser: "),
            (&["ste=hestia", "ternary.quantiser=twn"], "ste, ternary.quantiser: "),
            (&["ste=ttq", "ternary.quantiser=lsq"], "ste, ternary.quantiser: "),
            (&["ste=ewgs", "ternary.quantiser=lsq"], "ste, ternary.quantiser: "),
            (&["steps=10", "float_steps=11"], "float_steps, ternary.ramp"),
            (&["steps=10", "float_steps=5", "ternary.ramp=0.6"], "float_steps, ternary.ramp"),
            (
                &["ste=seq", "ternary.granularity=tensor"],
                "ternary.quantiser, ternary.granularity: ",
            ),
            (&["ternary.threshold_learned=true"], "ternary.threshold_learned, ste, "),
            (&["ste=lsq", "ternary.threshold_learned=true"], "ternary.threshold_learned, ste, "),
            (&["ternary.ramp=1.5"], "float_steps, ternary.ramp"),
            (&["ternary.ramp=-0.5"], "float_steps, ternary.ramp"),
        ] {
            let error = resolve(sets).unwrap_err();
            assert!(matches!(&error, Error::Contradiction { .. }), "{error}");
            assert!(error.to_string().starts_with(keys), "{error}");
        }
    }
}
