//! Settings that must go together.

use models::Shadow;
use nn::ScaleSync;
use ste::{Mode, Ramp};
use ternary_core::{Granularity, Rule, Weights};

use super::error::Error;
use super::{
    Batch, Configuration, Delta, Lora, Mixture, Model, Optimiser, Samples, Schedule, Ternary,
};

/// Bytes that one step may predict: beyond it, buffers would not fit any machine.
const LARGEST_BATCH: usize = 1 << 24;

/// Bytes that one evaluation may predict: beyond it, evaluations would take days.
const LARGEST_EVALUATION: usize = 1 << 28;

impl Configuration {
    /// Checks what no single setting can know.
    ///
    /// # Errors
    /// [`Error::Contradiction`].
    pub(super) fn check(&self) -> Result<(), Error> {
        self.check_lora()?;
        let Model { width, heads, key_value_heads, feed_forward, .. } = self.model;
        let Model { per_layer_embedding, rotary_width, .. } = self.model;
        ensure(width.is_multiple_of(heads), || Error::Contradiction {
            keys: "model.heads, model.width",
            expected: "heads that divide the width",
            found: format!("{heads} heads, width {width}"),
        })?;
        let rotated = rotary_width.unwrap_or(width / heads);
        let is_rotated = rotated > 0 && rotated.is_multiple_of(2) && rotated <= width / heads;
        ensure(is_rotated, || Error::Contradiction {
            keys: "model.heads, model.width, model.rotary_width",
            expected: "an even number of rotated numbers, up to those of a head",
            found: format!("{rotated} of a head of {}", width / heads),
        })?;
        ensure(heads.is_multiple_of(key_value_heads), || Error::Contradiction {
            keys: "model.key_value_heads, model.heads",
            expected: "key and value heads that divide the query heads",
            found: format!("{key_value_heads} and {heads}"),
        })?;
        let granularity = self.granularity();
        let columns = [width, feed_forward, per_layer_embedding, self.check_delta()?].into_iter();
        for columns in columns.filter(|&columns| columns > 0 && !self.is_float()) {
            ensure(granularity.columns_per_scale(columns).is_ok(), || Error::Contradiction {
                keys: "ternary.granularity, model.width, model.feed_forward, model.per_layer_embedding, \
                       delta.value_heads, delta.value_width",
                expected: "groups that divide the inputs of each projection",
                found: format!("{granularity:?}, {columns} inputs"),
            })?;
        }
        self.check_mixture()?;
        self.check_sync()?;
        self.check_mode()?;
        let rule = self.rule();
        // A learned rule is started from weights: any weight shows whether its number is in range.
        rule.initialised(Granularity::Tensor, 1, 1, Weights::F32(&[1.0])).map_err(|error| {
            Error::Contradiction {
                keys: "ternary.quantiser",
                expected: "a number in the range of its rule",
                found: format!("{rule} ({error})"),
            }
        })?;
        let is_ttq = matches!(rule, Rule::Ttq { .. });
        ensure(is_ttq || !self.ternary.threshold_learned || self.is_float(), || {
            Error::Contradiction {
                keys: "ternary.threshold_learned, ste, ternary.quantiser",
                expected: "ttq, the only rule with a threshold to learn",
                found: rule.to_string(),
            }
        })?;
        // From the largest weight of a whole tensor, nine tenths of the weights would become zero.
        let is_seq_of_tensor = rule == Rule::Seq && granularity == Granularity::Tensor;
        ensure(!is_seq_of_tensor, || Error::Contradiction {
            keys: "ternary.quantiser, ternary.granularity",
            expected: "granularity row, or a group, for seq",
            found: "tensor".into(),
        })?;
        let average = self.ternary.scale_average;
        ensure(!rule.is_learned() || average == 0.0, || Error::Contradiction {
            keys: "ternary.quantiser, ternary.scale_average",
            expected: "no running average of levels that are learned",
            found: format!("{rule}, {average}"),
        })?;
        let dead_bias = self.dead_bias();
        ensure((0.0..=1e6).contains(&dead_bias), || Error::Contradiction {
            keys: "ternary.dead_bias",
            expected: "a number from 0 to 1000000",
            found: dead_bias.to_string(),
        })?;
        let rate = self.optimiser.negative_scale_rate.unwrap_or_default();
        ensure((0.0..=1e6).contains(&rate), || Error::Contradiction {
            keys: "optimiser.negative_scale_rate",
            expected: "a number from 0 to 1000000",
            found: rate.to_string(),
        })?;
        self.pull()?;
        self.check_schedule()?;
        self.check_dqt()?;
        self.check_fogzo()?;
        let (rate, minimum) = (self.run.ohem, self.mining.minimum);
        ensure(rate >= minimum, || Error::Contradiction {
            keys: "ohem, mining.minimum",
            expected: "a share to learn from of at least the minimum",
            found: format!("{rate}, and a minimum of {minimum}"),
        })?;
        for (other, keys) in
            [(&self.run.valid, "valid, data"), (&self.run.tokenizer, "tokenizer, data")]
        {
            ensure(other.is_none() || self.run.data.is_some(), || Error::Contradiction {
                keys,
                expected: "a text to train on, with --data",
                found: "stories, which are told in bytes and hold out some of their own".into(),
            })?;
        }
        let Batch { windows, length, unit, accumulation, .. } = self.batch;
        let units = windows.div_ceil(unit);
        ensure(accumulation <= units, || Error::Contradiction {
            keys: "batch.accumulation, batch.windows, batch.unit",
            expected: "at most as many parts as a step has units",
            found: format!("{accumulation} of {units}"),
        })?;
        let is_taught = self.run.teacher.is_some();
        ensure(!is_taught || self.run.fogzo_from >= 1.0, || Error::Contradiction {
            keys: "teacher, fogzo_from",
            expected: "no FOGZO, which measures the loss on the text alone",
            found: format!("FOGZO from {}", self.run.fogzo_from),
        })?;
        ensure(windows.saturating_mul(length) <= LARGEST_BATCH, || Error::Contradiction {
            keys: "batch.windows, batch.length",
            expected: "at most 16777216 bytes in a step",
            found: format!("{windows} windows of {length}"),
        })?;
        let evaluated = self.evaluation.windows;
        ensure(evaluated.saturating_mul(length) <= LARGEST_EVALUATION, || Error::Contradiction {
            keys: "evaluation.windows, batch.length",
            expected: "at most 268435456 bytes in an evaluation",
            found: format!("{evaluated} windows of {length}"),
        })
    }

    /// What adapters train beside stays as it is, and its shape, its tokens and its codes are its own.
    fn check_lora(&self) -> Result<(), Error> {
        let Self { run, model, delta, mixture, ternary, lora, samples, mining, .. } = self;
        if lora.model.is_none() {
            let is_unused = *lora == Lora::default() && *samples == Samples::default();
            return ensure(is_unused, || Error::Contradiction {
                keys: "lora.model, lora, samples",
                expected: "a model that adapters are for, with ternary lora --model",
                found: "settings of adapters or samples without one".into(),
            });
        }
        ensure(run.data.is_some(), || Error::Contradiction {
            keys: "lora.model, data",
            expected: "a text or samples to learn, with --data",
            found: "none".into(),
        })?;
        let is_own = *model == Model::default()
            && *delta == Delta::default()
            && *mixture == Mixture::default();
        let is_plain = *ternary == Ternary::default() && run.ste == Mode::default();
        let is_plain = is_plain && !run.dqt && !run.float && run.float_steps.is_none();
        let is_whole = run.ohem >= 1.0 && mining.threshold == 0.0 && run.fogzo_from >= 1.0;
        let (own, default) = (&self.optimiser, Optimiser::default());
        let has_no_codes = own.dqt_rate == default.dqt_rate
            && own.scale_rate == default.scale_rate
            && own.negative_scale_rate == default.negative_scale_rate
            && own.threshold_rate == default.threshold_rate;
        for (holds, keys, expected) in [
            (is_own, "lora.model, model, delta, mixture", "no shape but that of the model"),
            (is_plain, "lora.model, ste, float, dqt, ternary", "no way to make weights ternary"),
            (run.tokenizer.is_none(), "lora.model, tokenizer", "the tokenizer of the model"),
            (run.from.is_none(), "lora.model, from", "no other model to start from"),
            (run.teacher.is_none(), "lora.model, teacher", "no teacher"),
            (
                has_no_codes,
                "lora.model, optimiser.dqt_rate, scale_rate, negative_scale_rate, threshold_rate",
                "no rates of codes and levels, which do not learn",
            ),
            (is_whole, "lora.model, ohem, mining, fogzo_from", "all examples, and no FOGZO"),
        ] {
            ensure(holds, || Error::Contradiction {
                keys,
                expected,
                found: "a run of adapters with other settings".into(),
            })?;
        }
        Ok(())
    }

    /// Shares that may be absent are shares where they are given, and falls come one after the other.
    fn check_schedule(&self) -> Result<(), Error> {
        let Schedule { weight_decay_until, first_fall, second_fall, .. } = self.schedule;
        for (keys, share) in [
            ("optimiser.final_share", self.optimiser.final_share),
            ("schedule.weight_decay_until", weight_decay_until),
        ] {
            ensure((0.0..=1.0).contains(&share.unwrap_or_default()), || Error::Contradiction {
                keys,
                expected: "a number from 0 to 1",
                found: share.unwrap_or_default().to_string(),
            })?;
        }
        ensure(first_fall <= second_fall, || Error::Contradiction {
            keys: "schedule.first_fall, schedule.second_fall",
            expected: "the first fall before the second",
            found: format!("{first_fall} and {second_fall}"),
        })
    }

    /// A scale that matrices share is one for all their weights, and fitted or learned anew at every step.
    fn check_sync(&self) -> Result<(), Error> {
        let (scale_sync, granularity) = (self.ternary.scale_sync, self.granularity());
        let is_shared = scale_sync != ScaleSync::PerMatrix;
        ensure(!is_shared || granularity == Granularity::Tensor, || Error::Contradiction {
            keys: "ternary.scale_sync, ternary.granularity",
            expected: "granularity tensor for scales that matrices share",
            found: format!("{scale_sync}, {granularity:?}"),
        })?;
        ensure(!is_shared || self.latent() != Shadow::None, || Error::Contradiction {
            keys: "ternary.scale_sync, dqt",
            expected: "per-matrix without latent weights, whose scales stay as they are",
            found: scale_sync.to_string(),
        })
    }

    /// Heads of values that share those of keys; what a row of values holds, 0 without delta nets.
    fn check_delta(&self) -> Result<usize, Error> {
        let Delta { attention_every, key_heads, value_heads, value_width, .. } = self.delta;
        if attention_every == 0 {
            return Ok(0);
        }
        ensure(value_heads.is_multiple_of(key_heads), || Error::Contradiction {
            keys: "delta.value_heads, delta.key_heads",
            expected: "a multiple of the key heads",
            found: format!("{value_heads} and {key_heads}"),
        })?;
        Ok(value_heads * value_width)
    }

    /// A row takes experts that there are, and only copies have noise.
    fn check_mixture(&self) -> Result<(), Error> {
        let Mixture { experts, used, noise, .. } = self.mixture;
        ensure(experts == 0 || used <= experts, || Error::Contradiction {
            keys: "mixture.used, mixture.experts",
            expected: "at most as many experts for a byte as there are",
            found: format!("{used} of {experts}"),
        })?;
        let has_copies = experts > 0 && self.run.from.is_some();
        ensure(noise == 0.0 || has_copies, || Error::Contradiction {
            keys: "mixture.noise, mixture.experts, from",
            expected: "experts that start as copies of a model's nets",
            found: format!("{experts} experts, and noise {noise}"),
        })
    }

    /// Without latent weights there is nothing for an estimator, a ramp, a learned rule, FOGZO or a pull to act
    /// on, and none that are zero but for the code.
    fn check_dqt(&self) -> Result<(), Error> {
        let Ternary { stochastic_rounding, boundary_noise, scale_average, .. } = self.ternary;
        let is_float = self.is_float();
        let is_plain = self.run.ste == Mode::Vanilla && self.ramp()? == Ramp::NONE;
        let is_steady = boundary_noise == 0.0 && scale_average == 0.0;
        for (holds, keys, expected) in [
            (!is_float, "dqt, float", "ternary weights"),
            (
                is_plain,
                "dqt, ste, float_steps, ternary.ramp",
                "no estimator and no ramp: ste vanilla",
            ),
            (!self.rule().is_learned(), "dqt, ternary.quantiser", "a rule that is not learned"),
            (is_steady, "dqt, ternary.boundary_noise, ternary.scale_average", "both 0"),
            (self.dead_bias() == 0.0, "dqt, ternary.dead_bias", "0"),
            (self.pull()?.is_none(), "dqt, ternary.pull", "0"),
            (stochastic_rounding, "dqt, ternary.stochastic_rounding", "rounding at random"),
            (self.run.fogzo_from >= 1.0, "dqt, fogzo_from", "no FOGZO, which moves latent weights"),
        ] {
            ensure(holds || self.latent() != Shadow::None, || Error::Contradiction {
                keys,
                expected,
                found: "training without latent weights".into(),
            })?;
        }
        Ok(())
    }

    /// FOGZO moves latent weights there and back, and nothing else may remember it.
    fn check_fogzo(&self) -> Result<(), Error> {
        if self.run.fogzo_from >= 1.0 {
            return Ok(());
        }
        ensure(!self.is_float(), || Error::Contradiction {
            keys: "fogzo_from, float",
            expected: "ternary weights, whose gradients FOGZO measures",
            found: "float weights".into(),
        })?;
        let average = self.ternary.scale_average;
        ensure(average == 0.0, || Error::Contradiction {
            keys: "fogzo_from, ternary.scale_average",
            expected: "no running average of scales, into which probes would enter",
            found: format!("an average of {average}"),
        })
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> Error) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
