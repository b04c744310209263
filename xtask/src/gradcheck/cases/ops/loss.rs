//! Cross-entropy: the loss it reports, and the smoothed one that its gradient belongs to; and distillation.

use nn::Compute;
use nn::ops::{
    IGNORED, count_targets, cross_entropy, cross_entropy_backward, cross_entropy_rows,
    distillation, distillation_backward,
};

use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::cases::op::{Forward, Op, gradient, single, sum};

/// Targets of which one does not count, and one occurs twice.
const TARGETS: [u32; 5] = [3, IGNORED, 0, 6, 3];

/// The cases of these ops.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases = Vec::new();
    for (name, smoothing) in [("cross_entropy", 0.0), ("cross_entropy, smoothed", 0.3)] {
        cases.push(gradient(name, "cross_entropy", [("logits", &[5, 7])], Mean { smoothing }));
        let (small, wide) = ([("logits", &[5, 7][..])], [("logits", &[5, 83][..])]);
        let rows = Rows { smoothing, weight: 0.7 };
        cases.push(gradient(&format!("{name}, by rows"), "cross_entropy", small, rows));
        // A row's exponentials, their sum and its logarithm, for logits in (−1, 1); a loss is then
        // below ln V + 2, and an entry of its gradient below 2.
        let roundings = 83 + 24;
        let (loss, d) = (sum(roundings, 7.0), [sum(roundings, 2.0)]);
        cases.push(single(
            &format!("{name}, f32"),
            "cross_entropy",
            wide,
            Mean { smoothing },
            loss,
            d,
        ));
        let name = format!("{name}, by rows, f32");
        cases.push(single(&name, "cross_entropy", wide, rows, sum(roundings, 28.0), d));
    }
    for temperature in [1.0, 2.5] {
        let (name, arrays) =
            (format!("distillation, τ = {temperature}"), [("logits", &[5, 7][..])]);
        cases.push(gradient(&name, "distillation", arrays, Distillation { temperature }));
    }
    cases
}

/// weight · Σ over rows of (1 − ε) · loss + ε · mean over all tokens of their losses, from the losses
/// that the op reports for each target.
fn smoothed<T: Compute>(logits: &[T], smoothing: f64, weight: f64) -> Outcome<f64> {
    let losses_of = |targets: &[u32]| -> Outcome<f64> {
        let mut losses = vec![0.0; targets.len()];
        cross_entropy_rows(logits, targets, T::ZERO, T::ONE, &mut losses, None)?;
        Ok(losses.iter().sum())
    };
    let vocabulary = (logits.len() / TARGETS.len()) as u32;
    let mut total = (1.0 - smoothing) * losses_of(&TARGETS)?;
    for token in 0..vocabulary {
        let all = TARGETS.map(|target| if target == IGNORED { IGNORED } else { token });
        total += smoothing / f64::from(vocabulary) * losses_of(&all)?;
    }
    Ok(weight * total)
}

#[derive(Clone, Copy)]
struct Mean {
    smoothing: f64,
}

impl Op<1> for Mean {
    fn forward<T: Compute>(&self, [logits]: [&[T]; 1]) -> Outcome<Forward<T>> {
        let mean = if self.smoothing == 0.0 {
            cross_entropy(logits, &TARGETS, &mut [0.0; TARGETS.len()])?.mean
        } else {
            smoothed(logits, self.smoothing, 1.0 / count_targets(&TARGETS) as f64)?
        };
        Ok(Forward { output: vec![T::from_f64(mean)], saved: Vec::new() })
    }

    fn backward<T: Compute>(
        &self,
        [logits]: [&[T]; 1],
        _: &Forward<T>,
        upstream: &[T],
        [d_logits]: [&mut [T]; 1],
    ) -> Outcome {
        let smoothing = T::from_f64(self.smoothing);
        Ok(cross_entropy_backward(logits, &TARGETS, smoothing, upstream[0], d_logits)?)
    }
}

/// The form that takes any part of the rows and gives losses and gradient in one pass.
#[derive(Clone, Copy)]
struct Rows {
    smoothing: f64,
    weight: f64,
}

impl Op<1> for Rows {
    fn forward<T: Compute>(&self, [logits]: [&[T]; 1]) -> Outcome<Forward<T>> {
        let total = smoothed(logits, self.smoothing, self.weight)?;
        Ok(Forward { output: vec![T::from_f64(total)], saved: Vec::new() })
    }

    fn backward<T: Compute>(
        &self,
        [logits]: [&[T]; 1],
        _: &Forward<T>,
        upstream: &[T],
        [d_logits]: [&mut [T]; 1],
    ) -> Outcome {
        let (smoothing, weight) = (T::from_f64(self.smoothing), T::from_f64(self.weight));
        let mut losses = [0.0; TARGETS.len()];
        let weight = weight * upstream[0];
        Ok(cross_entropy_rows(logits, &TARGETS, smoothing, weight, &mut losses, Some(d_logits))?)
    }
}

/// The student's part: the teacher's scores stay as they are.
#[derive(Clone, Copy)]
struct Distillation {
    temperature: f64,
}

impl Distillation {
    fn teacher<T: Compute>(count: usize) -> Vec<T> {
        (0..count).map(|index| T::from_f64((0.7 * index as f64).sin())).collect()
    }
}

impl Op<1> for Distillation {
    fn forward<T: Compute>(&self, [logits]: [&[T]; 1]) -> Outcome<Forward<T>> {
        let (mut losses, width) = ([0.0; TARGETS.len()], logits.len() / TARGETS.len());
        let (teacher, temperature) = (Self::teacher(logits.len()), T::from_f64(self.temperature));
        distillation(logits, &teacher, width, temperature, &mut losses)?;
        Ok(Forward { output: vec![T::from_f64(losses.iter().sum())], saved: Vec::new() })
    }

    fn backward<T: Compute>(
        &self,
        [logits]: [&[T]; 1],
        _: &Forward<T>,
        upstream: &[T],
        [d_logits]: [&mut [T]; 1],
    ) -> Outcome {
        let (teacher, width) = (Self::teacher(logits.len()), logits.len() / TARGETS.len());
        let temperature = T::from_f64(self.temperature);
        Ok(distillation_backward(logits, &teacher, width, temperature, upstream[0], d_logits)?)
    }
}
