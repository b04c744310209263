//! Which inputs are dropped: each row, projection, step and seed has a mask of its own.
//!
//! A backward that reuses a mask is noticed by its gradients; a forward that does has the gradients of what it
//! computes, so its masks are compared with each other.

use lora_backward::{Adapter, Lora, Scaling};
use nn::{Dense, Dropout, Input, Parameters, Projection, Tape};

use super::refused;
use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::comparison::{Comparison, Pair};

const ROWS: usize = 3;
const INPUTS: usize = 256;
const SHARE: f64 = 0.5;
/// Deviations that a count of kept inputs may have from its mean.
const DEVIATIONS: f64 = 5.0;

pub(super) fn case() -> Box<dyn Case> {
    Box::new(Comparison::new("Lora, masks apart from each other", &["Lora"], compute))
}

fn compute() -> Outcome<Vec<Pair>> {
    let mut outputs = Vec::new();
    for name in ["up", "down"] {
        for (seed, step) in [(3, 4), (3, 5), (6, 4)] {
            outputs.extend(dropped(name, Dropout { seed, step, first_row: 5 })?);
        }
    }
    let factor = 1.0 / (1.0 - SHARE);
    let scaled = outputs.iter().map(|&y| if y > 0.0 { factor } else { 0.0 }).collect();
    let masks: Vec<Vec<bool>> =
        outputs.chunks(INPUTS).map(|row| row.iter().map(|&y| y > 0.0).collect()).collect();
    let (mut kept, mut kept_by_both) = (Vec::new(), Vec::new());
    for (index, mask) in masks.iter().enumerate() {
        kept.push(share(mask.iter().copied()));
        for other in &masks[..index] {
            kept_by_both.push(share(mask.iter().zip(other).map(|(&own, &other)| own && other)));
        }
    }
    let allowed = vec![1e-12; outputs.len()];
    let array = "kept inputs".to_owned();
    Ok(vec![
        Pair { array, found: outputs, expected: scaled, allowed },
        independent("share that is kept", kept, 1.0 - SHARE),
        independent("share that two masks keep", kept_by_both, (1.0 - SHARE).powi(2)),
    ])
}

/// Shares of inputs of which each is one with probability `p`.
fn independent(array: &str, found: Vec<f64>, p: f64) -> Pair {
    let deviation = (p * (1.0 - p) / INPUTS as f64).sqrt();
    let (expected, allowed) = (vec![p; found.len()], vec![DEVIATIONS * deviation; found.len()]);
    Pair { array: array.to_owned(), found, expected, allowed }
}

fn share(inputs: impl Iterator<Item = bool>) -> f64 {
    inputs.filter(|&is_one| is_one).count() as f64 / INPUTS as f64
}

/// Rows of ones through an adapter that hands on what it is given, beside weights of zeros: what was dropped is zero.
fn dropped(name: &str, dropout: Dropout) -> nn::Result<Vec<f64>> {
    let mut parameters = Parameters::new();
    let zeros = vec![0.0_f64; INPUTS * INPUTS];
    let base = Dense::from_weight(name, INPUTS, zeros.clone(), &mut parameters)?;
    let mut identity = zeros;
    identity.iter_mut().step_by(INPUTS + 1).for_each(|value| *value = 1.0);
    let factors = [identity.clone(), identity];
    let scaling = Scaling { alpha: INPUTS as f64, rank_stabilised: false };
    let adapter = Adapter::new(name, [INPUTS; 2], INPUTS, factors, scaling).map_err(refused)?;
    let lora = Lora::new(Box::new(base), adapter, SHARE, &mut parameters).map_err(refused)?;

    let mut tape = Tape::inference();
    tape.set_dropout(Some(dropout));
    let mut input = Input::new("case", vec![1.0; ROWS * INPUTS], INPUTS)?;
    let mut y = vec![0.0; ROWS * INPUTS];
    lora.forward(&mut input, &mut y, &mut tape)?;
    Ok(y)
}
