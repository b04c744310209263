//! From a configuration to a trained model.

use std::io;
use std::time::{Duration, Instant};

use nn::{Memory, Module};

use super::evaluation::evaluate;
use super::folder::RunFolder;
use super::loss::{HeldOutLoss, Measure};
use super::memory::peak_memory;
use super::metrics::{Metrics, Record, Start, StepRecord};
use super::model::build;
use super::progress::{Progress, StepNews};
use super::step::{Step, Training};
use super::summary::{Best, Summary};
use crate::config::Configuration;
use crate::data::{Text, TrainingWindows, evaluation_windows, read, stories};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::report;

/// Bytes of stories that are made when there is no text: more than the default run reads.
const STORIES: usize = 2 << 20;

/// The seed of the stories. It is not that of the run, so that runs which differ in their seed are
/// measured on the same text.
const STORIES_SEED: u64 = 0;

/// Trains a model and leaves it in the folder of the run.
///
/// Nothing is written before the configuration, the text and the model have proved sound.
///
/// # Errors
/// A text that is missing or too short, a folder that is not empty, numbers that are no longer finite,
/// and files that cannot be written.
pub fn train(configuration: &Configuration, progress: &Progress) -> Result<Summary> {
    let start = Instant::now();
    let text = text(configuration)?;
    let length = configuration.batch.length;
    let training = text.training();
    let windows = TrainingWindows::new(configuration.run.seed, training.len(), length)
        .ok_or(Error::TextTooShort { expected: length + 1, found: training.len(), length })?;
    let model = build(configuration)?;
    let written = for_another_folder(configuration)?.to_toml();
    let folder =
        RunFolder::choose(configuration.run.out.as_deref(), configuration.run.preset.name())?;
    let metrics = folder.begin(&written)?;
    let events = Events::create(folder.path())?;
    progress.line(format_args!(
        "{} parameters, {} bytes to train on and {} held out; the run is in {}",
        model.parameters().numbers(),
        training.len(),
        text.held_out().len(),
        folder.path().display(),
    ));
    let Memory { packed, latent, other } = model.memory();
    progress.line(format_args!(
        "the weights take {} bytes: {packed} packed, {latent} latent, {other} other",
        packed + latent + other,
    ));
    let about = Start {
        steps: configuration.run.steps,
        parameters: model.parameters().numbers(),
        measure: Measure::BYTES,
        floor: None,
        baseline: None,
        packed,
        latent,
        other,
    };
    let mut run = Running {
        configuration,
        progress,
        start,
        training: Training::new(configuration, model, training, windows)?,
        held_out: text.held_out(),
        metrics,
        events,
        time: Duration::ZERO,
        mining_seconds: None,
        fogzo_seconds: None,
        best: None,
    };
    run.tell(&Record::Start(about))?;
    let held_out = run.all_steps()?;
    let model = folder.model();
    interop::save(run.training.model(), &model)?;
    let steps = configuration.run.steps;
    let summary = Summary {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        stopped: Summary::FINISHED.to_owned(),
        steps,
        start: about,
        held_out,
        best: run.best.unwrap_or(Best { step: steps, nats: held_out.nats }),
        seconds: start.elapsed().as_secs_f64(),
        tokens_per_second: run.tokens_per_second(steps),
        peak_memory: peak_memory(),
        mining_seconds: run.mining_seconds,
        fogzo_seconds: run.fogzo_seconds,
        vitals: run.training.vitals(),
        model,
    };
    summary.write(folder.path())?;
    report::write(folder.path())?;
    Ok(summary)
}

/// The configuration as it can be used from anywhere: with the whole paths of the text and of the model to start from.
///
/// # Errors
/// [`Error::File`] for a path that no TOML can hold: left out, it would mean the stories.
fn for_another_folder(configuration: &Configuration) -> Result<Configuration> {
    let mut configuration = configuration.clone();
    let run = &mut configuration.run;
    for path in [&mut run.data, &mut run.from].into_iter().flatten() {
        let whole = std::path::absolute(&path).map_err(Error::file("find", path))?;
        if whole.to_str().is_none() {
            let not_unicode = io::Error::new(io::ErrorKind::InvalidInput, "it is not Unicode");
            return Err(Error::file("write into config.toml the path", &whole)(not_unicode));
        }
        *path = whole;
    }
    Ok(configuration)
}

fn text(configuration: &Configuration) -> Result<Text> {
    let bytes = match &configuration.run.data {
        Some(path) => read(path)?,
        None => stories(STORIES_SEED, STORIES),
    };
    Text::split(bytes, configuration.evaluation.held_out, configuration.batch.length)
}

/// A run between its first step and its last.
struct Running<'a> {
    configuration: &'a Configuration,
    progress: &'a Progress,
    start: Instant,
    training: Training<'a>,
    held_out: &'a [u8],
    metrics: Metrics,
    events: Events,
    /// What all steps took together, without evaluations.
    time: Duration,
    /// What mining took of it, if there was any.
    mining_seconds: Option<f64>,
    /// What FOGZO's probes took of it, if there were any.
    fogzo_seconds: Option<f64>,
    best: Option<Best>,
}

impl Running<'_> {
    /// Trains, evaluates now and then, and returns the loss after the last step.
    fn all_steps(&mut self) -> Result<HeldOutLoss> {
        let steps = self.configuration.run.steps;
        for step in 0..steps {
            let outcome = self
                .training
                .step(step)
                .map_err(|source| Error::Step { step: step + 1, source })?;
            self.tell_step(step + 1, outcome)?;
            if (step + 1).is_multiple_of(self.configuration.evaluation.every) && step + 1 < steps {
                self.evaluate(step + 1)?;
            }
        }
        self.evaluate(steps)
    }

    fn tell(&mut self, record: &Record) -> Result<()> {
        self.metrics.write(record)?;
        self.events.record(record)
    }

    fn tell_step(&mut self, step: u32, outcome: Step) -> Result<()> {
        let Step { loss, learning_rate, gradient_norm, router_loss, flips, time, mined, probed } =
            outcome;
        self.time += time;
        if let Some(mined) = mined {
            *self.mining_seconds.get_or_insert(0.0) += mined.mining_seconds;
        }
        if let Some(probed) = probed {
            *self.fogzo_seconds.get_or_insert(0.0) += probed.fogzo_seconds;
        }
        self.tell(&Record::Step(StepRecord {
            step,
            loss,
            learning_rate,
            weight_decay: self.configuration.optimiser.weight_decay,
            gradient_norm,
            router_loss,
            flips,
            tokens_per_second: self.training.tokens_per_step() as f64 / time.as_secs_f64(),
            seconds: self.start.elapsed().as_secs_f64(),
            mined,
            probed,
            peak_memory: peak_memory(),
        }))?;
        let tokens_per_second = self.tokens_per_second(step);
        let news = StepNews { step, loss, learning_rate, gradient_norm, tokens_per_second };
        self.progress.step(&news);
        Ok(())
    }

    /// Bytes predicted in a second of the first `steps` steps.
    fn tokens_per_second(&self, steps: u32) -> f64 {
        f64::from(steps) * self.training.tokens_per_step() as f64 / self.time.as_secs_f64()
    }

    fn evaluate(&mut self, step: u32) -> Result<HeldOutLoss> {
        let Configuration { batch, evaluation, .. } = self.configuration;
        let windows = evaluation_windows(self.held_out.len(), batch.length, evaluation.windows);
        let loss = evaluate(self.training.model(), self.held_out, &windows, &mut |_| {})
            .map_err(|source| Error::Step { step, source })?;
        let seconds = self.start.elapsed().as_secs_f64();
        if self.best.is_none_or(|best| loss.nats < best.nats) {
            self.best = Some(Best { step, nats: loss.nats });
        }
        let bits_per_byte = Measure::BYTES.bits_per_byte(loss.nats);
        self.tell(&Record::Evaluation { step, loss, bits_per_byte, seconds })?;
        if let Some(layers) = self.training.layers() {
            self.tell(&Record::Layers { step, layers, seconds })?;
        }
        self.progress.line(format_args!(
            "held-out loss after step {step}: {}",
            loss.measured(Measure::BYTES)
        ));
        Ok(loss)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_text_whose_path_cannot_be_written_down_is_an_error_and_not_left_out() {
        let mut configuration = Configuration::default();
        configuration.run.data = Some(OsStr::from_bytes(b"/folder/\xff/text").into());
        let error = for_another_folder(&configuration).unwrap_err().to_string();
        assert!(error.contains("config.toml") && error.contains("not Unicode"), "{error}");
    }
}
