//! From a configuration to a trained model.

use std::io;
use std::time::{Duration, Instant};

use nn::{Memory, Module};

use super::evaluation::evaluate;
use super::folder::RunFolder;
use super::loss::HeldOutLoss;
use super::metrics::{Metrics, Record};
use super::model::build;
use super::progress::{Progress, StepNews};
use super::step::{Step, Training};
use super::summary::Summary;
use crate::config::Configuration;
use crate::data::{Corpus, CorpusRequest};
use crate::error::{Error, Result};

/// Trains a model and leaves it in the folder of the run.
///
/// Nothing is written before the configuration, the text and the model have proved sound.
///
/// # Errors
/// A text that is missing or too short, a folder that is not empty, numbers that are no longer finite,
/// and files that cannot be written.
pub fn train(configuration: &Configuration, progress: &Progress) -> Result<Summary> {
    let start = Instant::now();
    let corpus = Corpus::open(&CorpusRequest::of(configuration), &mut |line| progress.line(line))?;
    let model = build(configuration)?;
    let written = for_another_folder(configuration)?.to_toml();
    let folder =
        RunFolder::choose(configuration.run.out.as_deref(), configuration.run.preset.name())?;
    let metrics = folder.begin(&written)?;
    let unit = corpus.unit();
    progress.line(format_args!(
        "{} parameters, {} {unit}s to train on and {} held out; the run is in {}",
        model.parameters().numbers(),
        corpus.training_tokens().map_or("endless".into(), |tokens| tokens.to_string()),
        corpus.held_out_tokens(),
        folder.path().display(),
    ));
    let Memory { packed, latent, other } = model.memory();
    progress.line(format_args!(
        "the weights take {} bytes: {packed} packed, {latent} latent, {other} other",
        packed + latent + other,
    ));
    if let Some(floor) = corpus.floor() {
        progress.line(format_args!("no model can be below {floor:.4} nats/byte"));
    }
    if let Some(baseline) = corpus.baseline() {
        progress
            .line(format_args!("a model of the three bytes before has {baseline:.4} nats/byte"));
    }
    let read_example = Box::new(|index, window: &mut Vec<u32>| corpus.example(index, window));
    let mut run = Running {
        configuration,
        progress,
        start,
        training: Training::new(configuration, model, read_example)?,
        corpus: &corpus,
        metrics,
        time: Duration::ZERO,
        mining_seconds: None,
        fogzo_seconds: None,
    };
    let held_out = run.all_steps()?;
    let model = folder.model();
    interop::save(run.training.model(), &model)?;
    Ok(Summary {
        held_out,
        steps: configuration.run.steps,
        seconds: start.elapsed().as_secs_f64(),
        tokens_per_second: run.tokens_per_second(configuration.run.steps),
        mining_seconds: run.mining_seconds,
        fogzo_seconds: run.fogzo_seconds,
        vitals: run.training.vitals(),
        model,
    })
}

/// The configuration as it can be used from anywhere: with the whole paths of the text and of the model to start from.
///
/// # Errors
/// [`Error::File`] for a path that no TOML can hold: left out, it would mean the stories.
fn for_another_folder(configuration: &Configuration) -> Result<Configuration> {
    let mut configuration = configuration.clone();
    let run = &mut configuration.run;
    for path in
        [&mut run.data, &mut run.valid, &mut run.tokenizer, &mut run.from].into_iter().flatten()
    {
        let whole = std::path::absolute(&path).map_err(Error::file("find", path))?;
        if whole.to_str().is_none() {
            let not_unicode = io::Error::new(io::ErrorKind::InvalidInput, "it is not Unicode");
            return Err(Error::file("write into config.toml the path", &whole)(not_unicode));
        }
        *path = whole;
    }
    Ok(configuration)
}

/// A run between its first step and its last.
struct Running<'a> {
    configuration: &'a Configuration,
    progress: &'a Progress,
    start: Instant,
    training: Training<'a>,
    corpus: &'a Corpus,
    metrics: Metrics,
    /// What all steps took together, without evaluations.
    time: Duration,
    /// What mining took of it, if there was any.
    mining_seconds: Option<f64>,
    /// What FOGZO's probes took of it, if there were any.
    fogzo_seconds: Option<f64>,
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
        self.metrics.write(&Record::Step {
            step,
            loss,
            learning_rate,
            gradient_norm,
            router_loss,
            flips,
            tokens_per_second: self.training.tokens_per_step() as f64 / time.as_secs_f64(),
            seconds: self.start.elapsed().as_secs_f64(),
            mined,
            probed,
        })?;
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
        let (mut tokens, mut windows) = (Vec::new(), Vec::new());
        for window in self.corpus.held_out() {
            windows.push(tokens.len()..tokens.len() + window.len());
            tokens.extend(window);
        }
        let loss = evaluate(self.training.model(), &tokens, &windows, &mut |_| {})
            .map_err(|source| Error::Step { step, source })?;
        let seconds = self.start.elapsed().as_secs_f64();
        self.metrics.write(&Record::Evaluation { step, loss, seconds })?;
        if let Some(layers) = self.training.layers() {
            self.metrics.write(&Record::Layers { step, layers, seconds })?;
        }
        self.progress.line(format_args!("held-out loss after step {step}: {loss}"));
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
