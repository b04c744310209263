//! The gradient of a step, unit by unit.

use std::ops::AddAssign;
use std::sync::{Mutex, PoisonError};

use models::{Batch, Decoder, Learnt, Objective, Teacher};
use nn::ops::count_targets;
use nn::{Dropout, Gradients, Tape};
use rayon::prelude::*;

use super::examples::{Examples, Part};
use super::teacher::Teaching;
use crate::config;

/// How the windows of a step become one gradient.
///
/// They are cut into units of so many, in their order, and unit u belongs to lane u mod L. A lane has gradients of its
/// own, to which its units add, one after the other in their order; at the end lanes are added by a tree. Unit and lane
/// depend on the configuration alone, so the bits depend neither on which lanes run at the same time, nor on which
/// thread, nor on the parts that a step is run in; and gradients exist L times, however many units there are.
///
/// What is a mean over the whole step is agreed before the first unit: the number of targets that count, and the
/// share that a unit's routers have, that of its rows.
#[derive(Debug)]
pub(super) struct Units {
    /// Windows of a unit.
    windows: usize,
    /// L, lanes that units are dealt to.
    lanes: usize,
    /// Parts that the lanes are run in, one after the other.
    parts: usize,
    recomputes: bool,
    teaching: Option<Teaching>,
    spare: Mutex<Spare>,
}

/// Buffers that no unit uses at present.
#[derive(Debug, Default)]
struct Spare {
    tapes: Vec<Tape<f32>>,
    teachers: Vec<Tape<f32>>,
    gradients: Vec<Gradients<f32>>,
}

/// What the units of a step told, added up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Sums {
    /// Losses of the targets that count, in nats.
    pub(super) loss: f64,
    /// How many they are.
    pub(super) count: usize,
    /// The losses of the routers, each with its share.
    pub(super) router: f64,
    /// Divergences from a teacher.
    pub(super) divergence: f64,
}

impl Sums {
    /// The mean loss.
    pub(super) fn mean(&self) -> f64 {
        self.of_each(self.loss)
    }

    /// The mean divergence from a teacher.
    pub(super) fn mean_divergence(&self) -> f64 {
        self.of_each(self.divergence)
    }

    fn of_each(&self, sum: f64) -> f64 {
        if self.count == 0 { 0.0 } else { sum / self.count as f64 }
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, more: Self) {
        self.loss += more.loss;
        self.count += more.count;
        self.router += more.router;
        self.divergence += more.divergence;
    }
}

/// A step on its way through the units.
#[derive(Clone, Copy)]
struct Pass<'a> {
    model: &'a Decoder<f32>,
    examples: &'a Examples,
    /// Targets that count in the whole step.
    counted: usize,
    /// What decides which inputs adapters drop, from the first row of the step on.
    dropout: Option<Dropout>,
}

/// Units that follow each other, and what they added up to.
struct Lane {
    gradients: Gradients<f32>,
    sums: Sums,
}

impl Units {
    /// Units as a configuration asks for them.
    pub(super) fn new(batch: &config::Batch, teaching: Option<Teaching>) -> Self {
        let config::Batch { unit: windows, lanes, accumulation: parts, .. } = *batch;
        let recomputes = batch.recompute;
        Self { windows, lanes, parts, recomputes, teaching, spare: Mutex::default() }
    }

    /// The gradients of a step's examples, those of quantised weights still as dL/dq, and what it told. Adapters drop
    /// inputs by `dropout`, from the first row of the step on.
    ///
    /// # Errors
    /// An error of the model; where several units have one, that of the first.
    pub(super) fn learn(
        &self,
        model: &Decoder<f32>,
        examples: &Examples,
        dropout: Option<Dropout>,
    ) -> models::Result<(Gradients<f32>, Sums)> {
        let units = examples.windows.len().div_ceil(self.windows).max(1);
        let pass = Pass { model, examples, counted: count_targets(&examples.targets), dropout };
        let begin = |_| Lane { gradients: self.gradients(model), sums: Sums::default() };
        let mut lanes: Vec<Lane> = (0..self.lanes.min(units)).map(begin).collect();
        let count = lanes.len();
        // Lanes wait for each other only where not all may run at the same time.
        let together = if self.parts == 1 { units } else { count.div_ceil(self.parts) };
        for first in (0..units).step_by(together) {
            let part = first..units.min(first + together);
            let run = |(index, lane): (usize, &mut Lane)| {
                let mut own = part.clone().filter(|unit| unit % count == index);
                own.try_for_each(|unit| self.unit(unit, pass, lane).map_err(|error| (unit, error)))
            };
            let ran: Vec<Result<(), _>> =
                lanes.par_iter_mut().enumerate().with_max_len(1).map(run).collect();
            let failed = ran.into_iter().filter_map(Result::err).min_by_key(|(unit, _)| *unit);
            if let Some((_, error)) = failed {
                lanes.into_iter().for_each(|lane| self.give(lane.gradients));
                return Err(error);
            }
        }
        add_up(&mut lanes);
        let Lane { gradients, sums } = lanes.swap_remove(0);
        lanes.into_iter().for_each(|lane| self.give(lane.gradients));
        Ok((gradients, sums))
    }

    /// Whether a teacher has a part in it.
    pub(super) fn has_teacher(&self) -> bool {
        self.teaching.is_some()
    }

    /// Takes gradients back that are not needed any more.
    pub(super) fn give(&self, gradients: Gradients<f32>) {
        if !gradients.values().is_empty() {
            self.with_spare(|spare| spare.gradients.push(gradients));
        }
    }

    /// What a step is minimised for, without its gradient: the mean loss and the losses of the routers.
    ///
    /// # Errors
    /// An error of the model.
    pub(super) fn objective(
        &self,
        model: &Decoder<f32>,
        examples: &Examples,
    ) -> models::Result<f64> {
        // Only a forward that records has the losses of routers; one that is to run again pauses.
        let mut tape = if self.recomputes { Tape::recording() } else { self.tape() };
        let mut sums = Sums::default();
        let mut score = || -> models::Result<()> {
            for batch in examples.parts(self.windows) {
                let loss = model.loss(batch, &mut tape)?;
                let router = tape.auxiliary_loss() * share(batch, examples);
                let (loss, count) = (loss.mean * loss.count as f64, loss.count);
                sums += Sums { loss, count, router, divergence: 0.0 };
            }
            Ok(())
        };
        let scored = score();
        if !self.recomputes {
            tape.clear();
            self.with_spare(|spare| spare.tapes.push(tape));
        }
        scored.map(|()| sums.mean() + sums.router)
    }

    /// Adds the gradient of a unit to its lane, and what it told.
    fn unit(&self, unit: usize, pass: Pass<'_>, lane: &mut Lane) -> models::Result<()> {
        let mut parts = pass.examples.batches(unit * self.windows, self.windows);
        parts.try_for_each(|part| self.part(part, pass, lane))
    }

    /// The same of a part of it that runs at once.
    fn part(&self, part: Part<'_>, pass: Pass<'_>, lane: &mut Lane) -> models::Result<()> {
        let Pass { model, examples, counted, dropout } = pass;
        let Part { first_row, batch } = part;
        let share = share(batch, examples);
        let mut tape = self.tape();
        tape.set_auxiliary_weight(share);
        tape.set_dropout(dropout.map(|dropout| Dropout { first_row: first_row as u64, ..dropout }));
        let mut known = self.with_spare(|spare| spare.teachers.pop());
        let teacher = self.teaching.as_ref().map(|teaching| Teacher {
            model: teaching.model(),
            tape: known.get_or_insert_with(Tape::inference),
            share: teaching.share(),
            temperature: teaching.temperature(),
        });
        let learnt =
            model.learn(batch, Objective { counted, teacher }, &mut tape, &mut lane.gradients);
        let router = tape.auxiliary_loss() * share;
        tape.set_dropout(None);
        self.with_spare(|spare| {
            spare.tapes.push(tape);
            spare.teachers.extend(known);
        });
        let Learnt { loss, divergence } = learnt?;
        let count = loss.count;
        let [loss, divergence] =
            [loss.mean, divergence.unwrap_or_default()].map(|mean| mean * count as f64);
        lane.sums += Sums { loss, count, router, divergence };
        Ok(())
    }

    fn tape(&self) -> Tape<f32> {
        self.with_spare(|spare| spare.tapes.pop()).unwrap_or_else(|| {
            if self.recomputes { Tape::recording().recomputing() } else { Tape::recording() }
        })
    }

    fn gradients(&self, model: &Decoder<f32>) -> Gradients<f32> {
        match self.with_spare(|spare| spare.gradients.pop()) {
            Some(mut gradients) => {
                gradients.clear();
                gradients
            }
            None => Gradients::zeros(model.parameters()),
        }
    }

    fn with_spare<R>(&self, use_it: impl FnOnce(&mut Spare) -> R) -> R {
        // Buffers are whole even where a thread that held them panicked.
        use_it(&mut self.spare.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds all lanes to the first: the first 2ᵏ of n are added up, then the rest, with 2ᵏ the largest power of two below
/// n, and so on within each.
fn add_up(lanes: &mut [Lane]) {
    if lanes.len() < 2 {
        return;
    }
    let (first, second) = lanes.split_at_mut(lanes.len().next_power_of_two() / 2);
    add_up(first);
    add_up(second);
    first[0].gradients.add(&second[0].gradients);
    first[0].sums += second[0].sums;
}

/// The share of a step's rows that a batch has.
fn share(batch: Batch<'_>, examples: &Examples) -> f64 {
    batch.sequences.rows() as f64 / examples.rows().max(1) as f64
}
