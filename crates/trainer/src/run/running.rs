//! A run between its first step and its last.

use std::path::PathBuf;

use nn::Memory;

use super::base::{BaseModel, save};
use super::clock::Clock;
use super::evaluation::evaluate;
use super::folder::RunFolder;
use super::interrupt::Interrupt;
use super::memory::peak_memory;
use super::metrics::{Metrics, Record, Start, StepRecord};
use super::progress::{Progress, StepNews};
use super::ready::{Given, Ready};
use super::resume::settings_of;
use super::sample::Sample;
use super::step::{Skipped, Step, Taken, Training};
use super::summary::{Best, Summary};
use super::totals::Totals;
use super::train::for_another_folder;
use super::watchers::{Evaluated, Watchers};
use crate::checkpoint::{Checkpoints, Snapshot};
use crate::config::Configuration;
use crate::data::Corpus;
use crate::error::{Error, Result};
use crate::events::Events;
use crate::guards::Spike;
use crate::measure::HeldOutLoss;
use crate::report;

/// How many times longer than writing its page a run goes on before it does so again: the page of a long run is made
/// of many records.
const REPORT_SHARE: f64 = 50.0;

/// The parts of a checkpoint that this owns.
const WATCHERS: &str = "watchers";
const TOTALS: &str = "totals";

/// A run that has begun, with all it needs to go on and to be kept.
pub(super) struct Running<'a> {
    configuration: &'a Configuration,
    progress: &'a Progress,
    interrupt: &'a Interrupt,
    clock: Clock,
    training: Training<'a>,
    corpus: &'a Corpus,
    /// The `tokenizer.json`, which goes with the model.
    tokenizer: Option<Vec<u8>>,
    teacher: Option<String>,
    base: Option<BaseModel>,
    start: Start,
    folder: &'a RunFolder,
    metrics: Metrics,
    events: Events,
    checkpoints: Checkpoints<'a>,
    totals: Totals,
    watchers: Watchers,
    /// Seconds of the run before which its page is not written again.
    next_report: f64,
}

impl<'a> Running<'a> {
    /// Trains from the first step to the end, and leaves the model and the summary.
    ///
    /// # Errors
    /// As [`train`](super::train).
    pub(super) fn begin(
        given: Given<'a>,
        ready: Ready<'a>,
        folder: &'a RunFolder,
        records: (Metrics, Events),
    ) -> Result<Summary> {
        let mut run = Self::new(given, ready, folder, records);
        run.introduce();
        run.tell(&Record::Start(run.start))?;
        run.finish(0)
    }

    /// The same from a checkpoint that the model has been restored from.
    ///
    /// # Errors
    /// As [`train`](super::train).
    pub(super) fn go_on(
        given: Given<'a>,
        ready: Ready<'a>,
        folder: &'a RunFolder,
        snapshot: &Snapshot,
        cut_records: impl FnOnce() -> Result<(Metrics, Events)>,
    ) -> Result<Summary> {
        let (totals, mut watchers): (_, Watchers) =
            (snapshot.part(TOTALS)?, snapshot.part(WATCHERS)?);
        watchers.forget_time();
        let clock = given.clock.after(snapshot.seconds);
        let run = Self::new(given, ready, folder, cut_records()?);
        let run = Self { totals, watchers, clock, ..run };
        run.introduce();
        let steps = run.configuration.run.steps;
        run.progress.line(format_args!("going on after step {} of {steps}", snapshot.step));
        run.finish(snapshot.step)
    }

    fn new(
        given: Given<'a>,
        ready: Ready<'a>,
        folder: &'a RunFolder,
        (metrics, events): (Metrics, Events),
    ) -> Self {
        let Given { configuration, progress, interrupt, clock, .. } = given;
        let Ready { corpus, training, start, tokenizer, teacher, base } = ready;
        Self {
            configuration,
            progress,
            interrupt,
            clock,
            training,
            corpus,
            tokenizer,
            teacher,
            base,
            start,
            folder,
            metrics,
            events,
            checkpoints: given.checkpoints(folder),
            totals: Totals::default(),
            watchers: Watchers::new(configuration),
            next_report: 0.0,
        }
    }

    /// Tells what is about to be trained, and on what.
    fn introduce(&self) {
        let Running { start, corpus, folder, progress, .. } = self;
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
            progress.line(format_args!("what wrote it has {floor:.4} nats/{unit}: the floor"));
        }
        if let Some(baseline) = start.baseline {
            progress.line(format_args!(
                "a model that sees the three bytes before has {baseline:.4} nats/{unit}"
            ));
        }
    }

    /// Trains from `step` steps to the end, and leaves the model and the summary.
    fn finish(mut self, step: u32) -> Result<Summary> {
        let steps = self.all_steps(step)?;
        if steps < self.configuration.run.steps {
            let decided = self.training.finish();
            decided.map_err(|source| Error::Step { step: steps, source })?;
        }
        // Codes that were hard, and decided without noise, are what they were.
        let is_steady = self.configuration.ternary.boundary_noise == 0.0;
        let is_same = |last: &Evaluated| last.step == steps && last.is_hard && is_steady;
        let held_out = match self.watchers.last().filter(is_same) {
            Some(last) => last.loss,
            None => self.evaluate(steps, true)?,
        };
        let model = self.keep(false)?;
        let summary = self.summary(steps, held_out, model);
        if let Err(error) = report::write_ended(self.folder.path(), &summary) {
            self.progress.line(format_args!("the page of the run is not written: {error}"));
        }
        summary.write(self.folder.path())?;
        Ok(summary)
    }

    /// Writes what has been trained so far; where it is.
    fn keep(&self, is_best: bool) -> Result<PathBuf> {
        let (model, tokenizer) = (self.training.model(), self.tokenizer.as_deref());
        save(self.base.as_ref(), model, tokenizer, self.folder, is_best)
    }

    /// Trains until the last step, or until a watcher ends it; how many steps there were.
    fn all_steps(&mut self, mut step: u32) -> Result<u32> {
        let Configuration { run, evaluation, .. } = self.configuration;
        let listening = self.interrupt.listen();
        while step < run.steps && self.watchers.stopped().is_none() {
            let taken = self.training.step(step);
            step += 1;
            match taken.map_err(|error| self.with_checkpoint(error))? {
                Step::Taken(taken) => self.tell_step(step, taken)?,
                Step::Skipped(skipped) => self.tell_skipped(step, skipped)?,
            }
            if step.is_multiple_of(evaluation.every) && step < run.steps {
                self.try_evaluate(step)?;
            }
            self.watchers.time(self.configuration, self.seconds());
            let is_asked = listening.is_asked();
            if is_asked || self.configuration.has_checkpoint(step) {
                self.save(step)?;
            }
            if is_asked {
                let command = if self.base.is_some() { "lora" } else { "train" };
                let path = self.folder.path().to_owned();
                return Err(Error::Interrupted { command, path, step });
            }
        }
        Ok(step)
    }

    /// Saves a checkpoint after `step` steps.
    fn save(&self, step: u32) -> Result<()> {
        // What a checkpoint says was told must last at least as long as it does.
        self.metrics.sync()?;
        self.events.sync()?;
        let mut snapshot = Snapshot {
            step,
            configuration: settings_of(&for_another_folder(self.configuration)?),
            data: self.corpus.identity().to_owned(),
            teacher: self.teacher.clone(),
            base: self.base.as_ref().map(|base| base.identity().to_owned()),
            seconds: self.seconds(),
            ..Snapshot::default()
        };
        snapshot.lengths.insert(Record::FILE.to_owned(), self.metrics.length()?);
        snapshot.lengths.insert(Events::KIND.to_owned(), self.events.length()?);
        snapshot.insert(WATCHERS, &self.watchers)?;
        snapshot.insert(TOTALS, &self.totals)?;
        self.training.keep(&mut snapshot)?;
        self.checkpoints.save(&snapshot, &|visit| self.training.visit_arrays(visit))?;
        Ok(())
    }

    /// Names the last checkpoint that is whole in the error of a run that lost its weights.
    fn with_checkpoint(&self, error: Error) -> Error {
        let Error::Weights { step, tensor, what, value, .. } = error else { return error };
        let newest = self.checkpoints.newest(&mut |_| {});
        let checkpoint = newest.ok().flatten().map(|checkpoint| checkpoint.path);
        Error::Weights { step, tensor, what, value, checkpoint }
    }

    fn seconds(&self) -> f64 {
        self.clock.seconds()
    }

    fn tell(&mut self, record: &Record) -> Result<()> {
        self.metrics.write(record)?;
        self.events.record(record)
    }

    fn tell_step(&mut self, step: u32, taken: Taken) -> Result<()> {
        self.totals.add(&taken);
        let Taken { loss, learning_rate, gradient_norm, time, .. } = taken;
        let spike = self.watchers.step(self.configuration, step, &taken);
        let tokens = taken.tokens as f64;
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
        let tokens_per_second = self.totals.rate();
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

    /// Evaluates between two steps: a loss that is not finite is told, and counts as a bad step does.
    fn try_evaluate(&mut self, step: u32) -> Result<()> {
        match self.evaluate(step, false) {
            Ok(_) => Ok(()),
            Err(Error::Step { source, .. }) => match Skipped::from(&source) {
                Some(skipped) => self.tell_skipped(step, skipped),
                None => Err(Error::Step { step, source }),
            },
            Err(error) => Err(error),
        }
    }

    fn evaluate(&mut self, step: u32, is_last: bool) -> Result<HeldOutLoss> {
        let failed = |error| match error {
            Error::Model(source) => Error::Step { step, source },
            other => other,
        };
        let loss = evaluate(self.training.model(), self.corpus.held_out(), &mut |_| {});
        let loss = loss.map_err(failed)?;
        let bits_per_byte = self.start.measure.bits_per_byte(loss.nats);
        let seconds = self.seconds();
        self.tell(&Record::Evaluation { step, loss, bits_per_byte, seconds })?;
        let layers = self.training.layers();
        let sparsity = layers.as_ref().map(|layers| layers.sparsity);
        let is_hard = is_last || self.training.is_hard(step);
        let evaluated = Evaluated { step, loss, is_hard };
        let is_best = self.watchers.evaluation(self.configuration, evaluated, sparsity);
        if is_best && self.configuration.evaluation.keep_best {
            self.keep(true)?;
        }
        if let Some(layers) = layers {
            self.tell(&Record::Layers { step, layers, seconds })?;
        }
        let seed = self.configuration.run.seed;
        match Sample::draw(self.training.model(), self.corpus, seed) {
            Ok(Some(Sample { prompt, text })) => {
                self.tell(&Record::Sample { step, prompt, text, seconds })?;
            }
            Ok(None) => {}
            Err(error) => self.progress.line(format_args!("there is no sample: {error}")),
        }
        let above =
            self.start.floor.map(|floor| format!(", {:.4} above the floor", loss.nats - floor));
        self.progress.line(format_args!(
            "held-out loss after step {step}: {}{}",
            loss.measured(self.start.measure),
            above.unwrap_or_default(),
        ));
        self.report();
        Ok(loss)
    }

    /// Writes the page of the run so far, unless that takes more than a small share of the time. A run does not end
    /// for want of a page.
    fn report(&mut self) {
        let begun = self.seconds();
        if begun >= self.next_report {
            if let Err(error) = report::write(self.folder.path()) {
                self.progress.line(format_args!("the page of the run is not written: {error}"));
            }
            let taken = self.seconds() - begun;
            self.next_report = begun + REPORT_SHARE * taken;
        }
    }

    fn summary(&self, steps: u32, held_out: HeldOutLoss, model: PathBuf) -> Summary {
        let is_short = steps < self.configuration.run.steps;
        let stopped = self.watchers.stopped().filter(|_| is_short);
        Summary {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stopped: stopped.unwrap_or(Summary::FINISHED).to_owned(),
            steps,
            start: self.start,
            held_out,
            best: self.watchers.best().unwrap_or(Best { step: steps, nats: held_out.nats }),
            seconds: self.seconds(),
            tokens_per_second: self.totals.rate(),
            peak_memory: peak_memory(),
            mining_seconds: self.totals.mining_seconds,
            fogzo_seconds: self.totals.fogzo_seconds,
            vitals: self.training.vitals(),
            model,
        }
    }
}
