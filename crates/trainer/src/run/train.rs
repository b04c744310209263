//! From a configuration to a trained model.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use nn::{Memory, Module};

use super::evaluation::evaluate;
use super::folder::RunFolder;
use super::memory::peak_memory;
use super::metrics::{Metrics, Record, Start, StepRecord};
use super::model::build;
use super::progress::{Progress, StepNews};
use super::sample::Sample;
use super::step::{Skipped, Step, Taken, Training};
use super::summary::{Best, Summary};
use super::teacher::Teaching;
use super::totals::Totals;
use super::watchers::Watchers;
use crate::config::Configuration;
use crate::data::{Corpus, CorpusRequest};
use crate::error::{Error, Result};
use crate::events::Events;
use crate::guards::Spike;
use crate::measure::HeldOutLoss;
use crate::plan::check_memory;
use crate::report;

/// How many times longer than writing its page a run goes on before it does so again: the page of a long run is made
/// of many records.
const REPORT_SHARE: f64 = 50.0;

/// Trains a model and leaves it in the folder of the run.
///
/// Nothing is written before the configuration, the text and the model have proved sound.
///
/// # Errors
/// A text that is missing or too short, more memory than there is, a folder that is not empty, numbers that are no longer finite,
/// and files that cannot be written.
pub fn train(configuration: &Configuration, progress: &Progress) -> Result<Summary> {
    let clock = Instant::now();
    let corpus = Corpus::open(&CorpusRequest::of(configuration), &mut |line| progress.line(line))?;
    check_memory(configuration, corpus.vocabulary())?;
    let model = build(configuration, corpus.vocabulary())?;
    let teaching = Teaching::open(configuration, corpus.vocabulary())?;
    let written = for_another_folder(configuration)?.to_toml();
    let folder = RunFolder::choose(&configuration.run)?;
    let metrics = folder.begin(&written)?;
    let events = Events::create(folder.path())?;
    let Memory { packed, latent, other } = model.memory();
    let start = Start {
        steps: configuration.run.steps,
        parameters: model.parameters().numbers(),
        measure: corpus.measure(),
        floor: corpus.floor(),
        baseline: corpus.baseline(),
        packed,
        latent,
        other,
    };
    introduce(&start, &corpus, &folder, progress);
    let read_example = Box::new(|index, window: &mut Vec<u32>| corpus.example(index, window));
    let mut run = Running {
        configuration,
        progress,
        clock,
        training: Training::new(configuration, model, read_example, teaching)?,
        corpus: &corpus,
        start,
        metrics,
        events,
        totals: Totals::default(),
        watchers: Watchers::new(configuration),
        folder: &folder,
        next_report: 0.0,
    };
    run.tell(&Record::Start(start))?;
    let (steps, held_out) = run.all_steps()?;
    let model = folder.model();
    interop::save(run.training.model(), &model)?;
    let summary = run.summary(steps, held_out, model);
    report::write_ended(folder.path(), &summary)?;
    summary.write(folder.path())?;
    Ok(summary)
}

/// Tells what is about to be trained, and on what.
fn introduce(start: &Start, corpus: &Corpus, folder: &RunFolder, progress: &Progress) {
    let unit = start.measure.unit.name();
    progress.line(format_args!(
        "{} parameters, {} {unit}s to train on and {} held out; the run is in {}",
        start.parameters,
        corpus.training_tokens().map_or("endless".into(), |tokens| tokens.to_string()),
        corpus.held_out_tokens(),
        folder.path().display(),
    ));
    let Memory { packed, latent, other } = start.memory();
    progress.line(format_args!(
        "the weights take {} bytes: {packed} packed, {latent} latent, {other} other",
        start.memory().total(),
    ));
    if let Some(floor) = start.floor {
        progress.line(format_args!("no model can be below {floor:.4} nats/{unit}"));
    }
    if let Some(baseline) = start.baseline {
        progress.line(format_args!(
            "a model that sees the three bytes before has {baseline:.4} nats/{unit}"
        ));
    }
}

/// The configuration as it can be used from anywhere: with the whole paths of what it reads.
///
/// # Errors
/// [`Error::File`] for a path that no TOML can hold: left out, it would mean the stories.
fn for_another_folder(configuration: &Configuration) -> Result<Configuration> {
    let mut configuration = configuration.clone();
    let run = &mut configuration.run;
    let paths =
        [&mut run.data, &mut run.valid, &mut run.tokenizer, &mut run.from, &mut run.teacher];
    for path in paths.into_iter().flatten() {
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
    clock: Instant,
    training: Training<'a>,
    corpus: &'a Corpus,
    start: Start,
    metrics: Metrics,
    events: Events,
    totals: Totals,
    watchers: Watchers,
    folder: &'a RunFolder,
    /// Seconds of the run before which its page is not written again.
    next_report: f64,
}

impl Running<'_> {
    /// Trains until the last step, or until a watcher ends it; how many steps there were, and the loss after them.
    fn all_steps(&mut self) -> Result<(u32, HeldOutLoss)> {
        let Configuration { run, evaluation, .. } = self.configuration;
        let mut step = 0;
        while step < run.steps && self.watchers.stopped().is_none() {
            let taken = self.training.step(step);
            step += 1;
            match taken.map_err(|source| Error::Step { step, source })? {
                Step::Taken(taken) => self.tell_step(step, taken)?,
                Step::Skipped(skipped) => self.tell_skipped(step, skipped)?,
            }
            if step.is_multiple_of(evaluation.every) && step < run.steps {
                self.evaluate(step)?;
            }
            self.watchers.time(self.configuration, self.seconds());
        }
        if step < run.steps {
            self.training.finish().map_err(|source| Error::Step { step, source })?;
        }
        Ok((step, self.evaluate(step)?))
    }

    fn seconds(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    fn tell(&mut self, record: &Record) -> Result<()> {
        self.metrics.write(record)?;
        self.events.record(record)
    }

    fn tell_step(&mut self, step: u32, taken: Taken) -> Result<()> {
        self.totals.add(&taken);
        let Taken { loss, learning_rate, gradient_norm, time, .. } = taken;
        let spike = self.watchers.step(self.configuration, step, &taken);
        let tokens = self.training.tokens_per_step() as f64;
        self.tell(&Record::Step(StepRecord {
            step,
            loss,
            learning_rate,
            weight_decay: taken.weight_decay,
            gradient_norm,
            router_loss: taken.router_loss,
            divergence: taken.divergence,
            flips: taken.flips,
            tokens_per_second: tokens / time.as_secs_f64(),
            seconds: self.seconds(),
            mined: taken.mined,
            probed: taken.probed,
            peak_memory: peak_memory(),
        }))?;
        let tokens_per_second = self.totals.rate(tokens);
        let news = StepNews { step, loss, learning_rate, gradient_norm, tokens_per_second };
        self.progress.step(&news);
        if let Some(Spike { loss, usual }) = spike {
            let seconds = self.seconds();
            self.tell(&Record::Spike { step, loss, usual, seconds })?;
            self.progress
                .line(format_args!("step {step}: the loss is {loss:.4}, usually {usual:.4}"));
        }
        Ok(())
    }

    fn tell_skipped(&mut self, step: u32, skipped: Skipped) -> Result<()> {
        let Skipped { tensor, what, value } = skipped;
        self.progress.line(format_args!(
            "step {step} changed nothing: {what} of {tensor}: found {value}; going on with the next"
        ));
        let value = value.to_string();
        let seconds = self.seconds();
        let what = what.to_owned();
        self.tell(&Record::Skipped { step, tensor, what, value, seconds })?;
        self.watchers.skipped().map_err(|source| Error::Diverged { step, source })
    }

    fn evaluate(&mut self, step: u32) -> Result<HeldOutLoss> {
        let failed = |source| Error::Step { step, source };
        let loss = evaluate(self.training.model(), self.corpus.held_out(), &mut |_| {});
        let loss = loss.map_err(failed)?;
        let bits_per_byte = self.start.measure.bits_per_byte(loss.nats);
        let seconds = self.seconds();
        self.tell(&Record::Evaluation { step, loss, bits_per_byte, seconds })?;
        let layers = self.training.layers();
        let sparsity = layers.as_ref().map(|layers| layers.sparsity);
        let is_best = self.watchers.evaluation(self.configuration, step, loss, sparsity);
        if is_best && self.configuration.evaluation.keep_best && self.training.is_hard(step) {
            interop::save(self.training.model(), &self.folder.best())?;
        }
        if let Some(layers) = layers {
            self.tell(&Record::Layers { step, layers, seconds })?;
        }
        let seed = self.configuration.run.seed;
        if let Some(sample) = Sample::draw(self.training.model(), self.corpus, seed)? {
            let Sample { prompt, text } = sample;
            self.tell(&Record::Sample { step, prompt, text, seconds })?;
        }
        let above =
            self.start.floor.map(|floor| format!(", {:.4} above the floor", loss.nats - floor));
        self.progress.line(format_args!(
            "held-out loss after step {step}: {}{}",
            loss.measured(self.start.measure),
            above.unwrap_or_default(),
        ));
        self.report()?;
        Ok(loss)
    }

    /// Writes the page of the run so far, unless that takes more than a small share of the time.
    fn report(&mut self) -> Result<()> {
        let begun = self.seconds();
        if begun >= self.next_report {
            report::write(self.folder.path())?;
            let taken = self.seconds() - begun;
            self.next_report = begun + REPORT_SHARE * taken;
        }
        Ok(())
    }

    fn summary(&self, steps: u32, held_out: HeldOutLoss, model: PathBuf) -> Summary {
        Summary {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stopped: self.watchers.stopped().unwrap_or(Summary::FINISHED).to_owned(),
            steps,
            start: self.start,
            held_out,
            best: self.watchers.best().unwrap_or(Best { step: steps, nats: held_out.nats }),
            seconds: self.seconds(),
            tokens_per_second: self.totals.rate(self.training.tokens_per_step() as f64),
            peak_memory: peak_memory(),
            mining_seconds: self.totals.mining_seconds,
            fogzo_seconds: self.totals.fogzo_seconds,
            vitals: self.training.vitals(),
            model,
        }
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
