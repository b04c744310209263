//! The loss of a decoder, and where its gradient begins.

use nn::ops::{
    IGNORED, Loss, count_targets, cross_entropy_rows, distillation, distillation_backward,
};
use nn::ternary_core::Real;
use nn::{Compute, Gradients, Input, Tape};

use crate::decoder::{Batch, Decoder, check};
use crate::error::Result;

/// Rows whose scores exist at a time.
const SCORED_ROWS: usize = 512;

/// What a batch is learnt for, where that is more than its own mean loss:
///
/// ```text
/// 1/n · Σ over the positions that count of (1 − a) · loss + a · divergence from the teacher
/// ```
///
/// with n = `counted` and a = [`Teacher::share`].
#[derive(Debug)]
pub struct Objective<'a, T: Real> {
    /// Positions that count in all of which this batch is a part. Gradients of the parts then add up to that of
    /// the whole.
    pub counted: usize,
    /// A model to learn from beside the targets.
    pub teacher: Option<Teacher<'a, T>>,
}

/// A model whose scores are learnt from ([`distillation`]).
#[derive(Debug)]
pub struct Teacher<'a, T: Real> {
    /// The model, of the same vocabulary.
    pub model: &'a Decoder<T>,
    /// A tape for its forwards.
    pub tape: &'a mut Tape<T>,
    /// a, the share of the divergence; the targets have the rest.
    pub share: f64,
    /// τ, by which both models' scores are divided.
    pub temperature: f64,
}

/// What a batch told while it was learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learnt {
    /// The loss of the batch itself, whatever the objective was.
    pub loss: Loss,
    /// The mean divergence from the teacher over the positions that count, where there was one.
    pub divergence: Option<f64>,
}

/// Where the gradients of scores go on to: all gradients, those of the rows, and how they are weighed.
struct Backward<'a, T: Real> {
    gradients: &'a mut Gradients<T>,
    d_hidden: &'a mut [T],
    counted: usize,
    taught: Option<Taught<'a, T>>,
}

/// The rows of a teacher that belong to those of the student.
struct Taught<'a, T: Real> {
    model: &'a Decoder<T>,
    tape: &'a mut Tape<T>,
    hidden: &'a [T],
    share: f64,
    temperature: f64,
    divergence: &'a mut f64,
}

impl<T: Compute> Decoder<T> {
    /// The loss of a batch: the mean of −ln p(target) over the counted positions.
    ///
    /// # Errors
    /// As [`Decoder::scores`], and for a target that the vocabulary does not have.
    pub fn loss(&self, batch: Batch<'_>, tape: &mut Tape<T>) -> Result<Loss> {
        let losses = self.losses(batch, tape)?;
        let (count, sum) = (count_targets(batch.targets), sum_by_blocks(&losses));
        Ok(Loss { mean: if count == 0 { 0.0 } else { sum / count as f64 }, count })
    }

    /// The loss −ln p(target) of every position of a batch; 0 for those that are ignored.
    ///
    /// # Errors
    /// As [`Decoder::loss`].
    pub fn losses(&self, batch: Batch<'_>, tape: &mut Tape<T>) -> Result<Vec<f64>> {
        self.check_targets(batch)?;
        let hidden = self.hidden(batch.context(), tape)?;
        let mut losses = vec![0.0; batch.targets.len()];
        let rows = hidden.chunks((SCORED_ROWS * self.config().width).max(1));
        let blocks = batch.targets.chunks(SCORED_ROWS).zip(losses.chunks_mut(SCORED_ROWS));
        for (block, (hidden, (targets, losses))) in rows.zip(blocks).enumerate() {
            self.score_rows(block, hidden, targets, losses, tape, None)?;
        }
        tape.give(hidden);
        Ok(losses)
    }

    /// The loss of a batch, and its gradient added to `gradients`. For quantised weights that is dL/dq
    /// until [`Module::finish_gradients`](nn::Module::finish_gradients).
    ///
    /// The gradient is that of the returned loss plus the losses of routers, which
    /// [`Tape::auxiliary_loss`] tells afterwards.
    ///
    /// # Errors
    /// As [`Decoder::loss`], and for a tape that does not record.
    pub fn loss_and_gradients(
        &self,
        batch: Batch<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Loss> {
        let objective = Objective { counted: count_targets(batch.targets), teacher: None };
        Ok(self.learn(batch, objective, tape, gradients)?.loss)
    }

    /// [`Decoder::loss_and_gradients`] for another objective. The losses of routers have the weight that the
    /// tape gives them.
    ///
    /// # Errors
    /// As [`Decoder::loss_and_gradients`], and for a teacher of another vocabulary.
    pub fn learn(
        &self,
        batch: Batch<'_>,
        objective: Objective<'_, T>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Learnt> {
        self.check_targets(batch)?;
        if !tape.is_recording() {
            let (layer, found) = ("decoder".to_owned(), "nothing");
            return Err(nn::Error::Tape { layer, expected: "a forward", found }.into());
        }
        let Objective { counted, mut teacher } = objective;
        let mut taught = match &mut teacher {
            None => Vec::new(),
            Some(Teacher { model, tape, .. }) => {
                check(
                    "vocabulary of the teacher",
                    self.config().vocabulary,
                    model.config().vocabulary,
                )?;
                model.hidden(batch.context(), tape)?
            }
        };
        let hidden = self.hidden(batch.context(), tape)?;
        let mut d_hidden = tape.zeros(hidden.len());
        let (mut sum, mut divergence) = (0.0, 0.0);
        let width = self.config().width;
        for (block, targets) in batch.targets.chunks(SCORED_ROWS).enumerate() {
            let rows = |width: usize| {
                block * SCORED_ROWS * width..(block * SCORED_ROWS + targets.len()) * width
            };
            let mut losses = [0.0; SCORED_ROWS];
            let losses = &mut losses[..targets.len()];
            let taught = teacher.as_mut().map(|teacher| Taught {
                model: teacher.model,
                tape: &mut *teacher.tape,
                hidden: &taught[rows(teacher.model.config().width)],
                share: teacher.share,
                temperature: teacher.temperature,
                divergence: &mut divergence,
            });
            let d_hidden = &mut d_hidden[rows(width)];
            let backward = Backward { gradients: &mut *gradients, d_hidden, counted, taught };
            let hidden = &hidden[rows(width)];
            self.score_rows(block, hidden, targets, losses, tape, Some(backward))?;
            sum += losses.iter().sum::<f64>();
        }
        tape.give(hidden);
        let count = count_targets(batch.targets);
        let mean = |sum: f64| if count == 0 { 0.0 } else { sum / count as f64 };
        let divergence = teacher.map(|teacher| {
            teacher.tape.give(std::mem::take(&mut taught));
            mean(divergence)
        });
        self.backward(d_hidden, batch.context(), tape, gradients)?;
        Ok(Learnt { loss: Loss { mean: mean(sum), count }, divergence })
    }

    /// Checks all targets before any of them has moved a gradient.
    fn check_targets(&self, batch: Batch<'_>) -> Result<()> {
        check("targets", batch.tokens.len(), batch.targets.len())?;
        let vocabulary = self.config().vocabulary;
        let is_wrong = |&target: &u32| target != IGNORED && target as usize >= vocabulary;
        let Some(position) = batch.targets.iter().position(is_wrong) else { return Ok(()) };
        let (layer, token) = ("targets".to_owned(), batch.targets[position]);
        Err(nn::Error::Token { layer, position, vocabulary, token }.into())
    }

    /// Writes the losses of a block of rows and, where it is asked for, goes back to those rows at once.
    fn score_rows(
        &self,
        block: usize,
        hidden: &[T],
        targets: &[u32],
        losses: &mut [f64],
        tape: &mut Tape<T>,
        backward: Option<Backward<'_, T>>,
    ) -> Result<()> {
        let mut rows = tape.take(hidden.len());
        rows.copy_from_slice(hidden);
        let mut input = Input::new("head", rows, self.config().width)?;
        let mut scores = tape.take(targets.len() * self.config().vocabulary);
        let first = block * SCORED_ROWS;
        tape.number_rows((first..first + targets.len()).map(|row| row as u32));
        self.head().forward(&mut input, &mut scores, tape)?;
        tape.number_rows_in_order();
        match backward {
            None => cross_entropy_rows(&scores, targets, T::ZERO, T::ONE, losses, None)?,
            Some(Backward { gradients, d_hidden, counted, taught }) => {
                let mut d_scores = tape.zeros(scores.len());
                let share = taught.as_ref().map_or(0.0, |taught| taught.share);
                let weight = T::from_f64(1.0 - share) / T::from_usize(counted.max(1));
                let d = Some(&mut d_scores[..]);
                cross_entropy_rows(&scores, targets, T::ZERO, weight, losses, d)?;
                if let Some(taught) = taught {
                    let weight = T::from_f64(share) / T::from_usize(counted.max(1));
                    taught.teach(&scores, targets, weight, &mut d_scores)?;
                }
                self.head().backward(&input, &d_scores, Some(d_hidden), tape, gradients)?;
                tape.give(d_scores);
            }
        }
        tape.give(scores);
        tape.recycle(input);
        Ok(())
    }
}

impl<T: Compute> Taught<'_, T> {
    /// Adds the divergence of the student's scores from the teacher's, and its gradient.
    fn teach(self, scores: &[T], targets: &[u32], weight: T, d_scores: &mut [T]) -> Result<()> {
        let width = self.model.config().vocabulary;
        let mut rows = self.tape.take(self.hidden.len());
        rows.copy_from_slice(self.hidden);
        let known = self.model.scores_of_rows(rows, self.tape)?;
        let temperature = T::from_f64(self.temperature);
        let mut divergences = [0.0; SCORED_ROWS];
        let divergences = &mut divergences[..targets.len()];
        distillation(scores, &known, width, temperature, divergences)?;
        let counts = |target: u32| target != IGNORED;
        // Rows that do not count lie between others: the gradient is taken run by run.
        let mut start = 0;
        for run in targets.chunk_by(|&a, &b| counts(a) == counts(b)) {
            let rows = start..start + run.len();
            start = rows.end;
            if !counts(run[0]) {
                continue;
            }
            *self.divergence += divergences[rows.clone()].iter().sum::<f64>();
            let numbers = rows.start * width..rows.end * width;
            let (x, t, d) = (&scores[numbers.clone()], &known[numbers.clone()], numbers);
            distillation_backward(x, t, width, temperature, weight, &mut d_scores[d])?;
        }
        self.tape.give(known);
        Ok(())
    }
}

/// The sum that a pass by blocks of rows comes to.
fn sum_by_blocks(losses: &[f64]) -> f64 {
    losses.chunks(SCORED_ROWS).map(|block| block.iter().sum::<f64>()).sum()
}
