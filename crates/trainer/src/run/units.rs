//! The gradient of a step, unit by unit.

use std::ops::{AddAssign, Range};
use std::sync::{Mutex, PoisonError};

use models::{Batch, Decoder, Learnt, Objective, Teacher};
use nn::ops::count_targets;
use nn::{Gradients, Sequences, Tape};

use super::examples::Examples;
use super::teacher::Teaching;
use crate::config;

/// How the windows of a step become one gradient.
///
/// They are cut into units of so many, in their order; the gradient of a unit is computed alone, and units are
/// added by a tree that depends on their number alone: the first 2ᵏ of n are added up, then the rest, with 2ᵏ the
/// largest power of two below n, and so on within each. So the bits do not depend on which units run at the same
/// time, nor on which thread.
///
/// What is a mean over the whole step is agreed before the first unit: the number of targets that count, and the
/// share that a unit's routers have, that of its windows.
#[derive(Debug)]
pub(super) struct Units {
    /// Windows of a unit.
    windows: usize,
    /// Parts that a step is run in, one after the other.
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
    /// Units that may run at the same time.
    together: usize,
}

impl Units {
    /// Units as a configuration asks for them.
    pub(super) fn new(batch: &config::Batch, teaching: Option<Teaching>) -> Self {
        let config::Batch { unit: windows, accumulation: parts, recompute: recomputes, .. } =
            *batch;
        Self { windows, parts, recomputes, teaching, spare: Mutex::default() }
    }

    /// The gradients of a step's examples, those of quantised weights still as dL/dq, and what it told.
    ///
    /// # Errors
    /// An error of the model; where several units have one, that of the first.
    pub(super) fn learn(
        &self,
        model: &Decoder<f32>,
        examples: &Examples,
    ) -> models::Result<(Gradients<f32>, Sums)> {
        let units = examples.sequences.count.div_ceil(self.windows).max(1);
        let counted = count_targets(&examples.targets);
        let together = units.div_ceil(self.parts);
        self.tree(0..units, Pass { model, examples, counted, together })
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

    fn tree(&self, units: Range<usize>, pass: Pass<'_>) -> models::Result<(Gradients<f32>, Sums)> {
        let count = units.len();
        if count == 1 {
            return self.unit(units.start, pass);
        }
        let middle = units.start + count.next_power_of_two() / 2;
        let (first, second) = (units.start..middle, middle..units.end);
        let (first, second) = if count <= pass.together {
            rayon::join(|| self.tree(first, pass), || self.tree(second, pass))
        } else {
            let first = self.tree(first, pass)?;
            (Ok(first), self.tree(second, pass))
        };
        let ((mut gradients, mut sums), (more, more_sums)) = (first?, second?);
        gradients.add(&more);
        sums += more_sums;
        self.give(more);
        Ok((gradients, sums))
    }

    fn unit(&self, unit: usize, pass: Pass<'_>) -> models::Result<(Gradients<f32>, Sums)> {
        let Pass { model, examples, counted, .. } = pass;
        let batch = examples.part(unit * self.windows, self.windows);
        let share = share(batch, examples);
        let (mut tape, mut gradients) = (self.tape(), self.gradients(model));
        tape.set_auxiliary_weight(share);
        let mut known = self.with_spare(|spare| spare.teachers.pop());
        let teacher = self.teaching.as_ref().map(|teaching| Teacher {
            model: teaching.model(),
            tape: known.get_or_insert_with(Tape::inference),
            share: teaching.share(),
            temperature: teaching.temperature(),
        });
        let learnt = model.learn(batch, Objective { counted, teacher }, &mut tape, &mut gradients);
        let router = tape.auxiliary_loss() * share;
        self.with_spare(|spare| {
            spare.tapes.push(tape);
            spare.teachers.extend(known);
        });
        let Learnt { loss, divergence } = match learnt {
            Ok(learnt) => learnt,
            Err(error) => {
                self.give(gradients);
                return Err(error);
            }
        };
        let count = loss.count;
        let [loss, divergence] =
            [loss.mean, divergence.unwrap_or_default()].map(|mean| mean * count as f64);
        Ok((gradients, Sums { loss, count, router, divergence }))
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

/// The share of a step's windows that a batch has.
fn share(batch: Batch<'_>, examples: &Examples) -> f64 {
    let Sequences { count, .. } = examples.sequences;
    batch.sequences.count as f64 / count.max(1) as f64
}
