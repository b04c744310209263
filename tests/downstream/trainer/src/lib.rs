//! A stranger who uses `trainer` and nothing else: a program of their own that trains with their
//! settings, and an optimiser for weights of their own.

use trainer::Result;
use trainer::config::Layers;
use trainer::optimiser::{AdamW, AdamWOptions, Moment, Optimiser};
use trainer::run::{Interrupt, Progress, Summary, train};

/// Trains the default model for a number of steps, in a folder.
///
/// # Errors
/// As [`train`].
pub fn train_for(steps: u32, folder: &str) -> Result<Summary> {
    let mut layers = Layers::default();
    layers.add_flags([("steps", steps.to_string()), ("out", folder.to_owned())].map(own_key))?;
    let configuration = layers.resolve()?;
    train(&configuration, &Progress::new(steps, steps), &Interrupt::default())
}

fn own_key((key, value): (&str, String)) -> (String, String) {
    (key.to_owned(), value)
}

/// Minimises Σ(w − target)² with AdamW, from zero.
pub fn fit(targets: &[f32], steps: u32) -> Vec<f32> {
    let options = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };
    let mut adamw = AdamW::new(options, [("weights", &[targets.len()][..])]);
    let mut weights = vec![0.0; targets.len()];
    for _ in 0..steps {
        let gradients: Vec<f32> = weights.iter().zip(targets).map(|(w, t)| 2.0 * (w - t)).collect();
        let moment = Moment {
            tensor: 0,
            learning_rate: 0.05,
            weight_decay: 0.0,
            gradient: &gradients,
            gradient_factor: 1.0,
            weights: &|see| see(&weights),
        };
        adamw.begin(moment).apply(0, &mut weights);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_optimiser_finds_the_targets() {
        let targets = [1.0, -2.0, 0.5];
        let weights = fit(&targets, 400);
        assert!(weights.iter().zip(&targets).all(|(w, t)| (w - t).abs() < 0.05), "{weights:?}");
    }

    #[test]
    fn settings_that_make_no_sense_are_an_error() {
        assert!(train_for(0, "nowhere").is_err());
    }
}
