//! What runs in a process of its own: one row, a few times.

use models::{Batch, Decoder};
use nn::{Module, Sequences, Tape};
use ternary_core::noise::Noise;

use super::model::{adapted, shape};
use super::plan::{Part, Task};
use crate::bench::Result;
use crate::bench::child::{Figures, Sent, print, time, weight_bytes};
use crate::descent::Descent;
use crate::fixtures::oracle::adamw::Settings;

/// Calls that only warm up.
const WARM_UP: usize = 1;
const TOKENS_SEED: u64 = 2;

/// Runs a row and prints its figures as one line of JSON.
pub(super) fn run(task: Task, calls: usize) -> Result {
    print(task.threads, || measured(task, calls))
}

fn measured(task: Task, calls: usize) -> Sent<Figures> {
    let Task { part, base, tokens: length, vocabulary, .. } = task;
    let mut model = adapted(shape(vocabulary), base)?;
    let bytes = projection_bytes(&model);
    let tokens = drawn(length + 1, vocabulary);
    let sequences = Sequences { count: 1, length };
    let batch = Batch { sequences, tokens: &tokens[..length], targets: &tokens[1..] };
    let times = match part {
        Part::Step => {
            let mut descent = Descent::new(&model, &settings())?;
            time(WARM_UP, calls, || descent.step(&mut model, batch).map(drop))?
        }
        Part::Forward => {
            let mut tape = Tape::inference();
            time(WARM_UP, calls, || Ok(model.loss(batch, &mut tape).map(drop)?))?
        }
    };
    Ok(times.figures(1, length, bytes as u64))
}

/// Those of PEFT's users; peers have the same.
fn settings() -> Settings {
    Settings {
        lr: 2e-4,
        betas: [0.9, 0.999],
        eps: 1e-8,
        weight_decay: 0.0,
        steps: 0,
        amsgrad: false,
        batch_of_step: String::new(),
    }
}

fn drawn(count: usize, vocabulary: usize) -> Vec<u32> {
    let mut shares = vec![0.0_f64; count];
    Noise::new(TOKENS_SEED, 0, 0).fill_uniform_f64(0, &mut shares);
    shares.iter().map(|share| (share * vocabulary as f64) as u32).collect()
}

/// Bytes of the frozen projections in the layers.
fn projection_bytes(model: &Decoder<f32>) -> usize {
    let names: Vec<String> =
        model.places().iter().map(|place| format!("{}.weight", place.name)).collect();
    let mut bytes = 0;
    model.visit(&mut |tensor| {
        if names.iter().any(|name| name == tensor.name) {
            bytes += weight_bytes(&tensor.values);
        }
    });
    bytes
}

#[cfg(test)]
mod tests {
    use models::{Base, DecoderConfig};

    use super::*;

    #[test]
    fn every_base_has_the_projections_it_says_and_takes_a_step() {
        let config = || DecoderConfig { layers: 4, ..DecoderConfig::hybrid() };
        let bytes = Base::ALL.map(|base| {
            let mut model = adapted(config(), base).unwrap();
            let tokens = drawn(9, 256);
            let sequences = Sequences { count: 1, length: 8 };
            let batch = Batch { sequences, tokens: &tokens[..8], targets: &tokens[1..] };
            let mut descent = Descent::new(&model, &settings()).unwrap();
            let losses = [0; 2].map(|_| descent.step(&mut model, batch).unwrap());
            assert!(losses[1] < losses[0], "{base}: {losses:?}");
            projection_bytes(&model)
        });
        // Gates of delta nets, a number or two for each head, stay as they are.
        let gates = 3 * 2 * 4 * 128 * size_of::<f32>();
        assert_eq!(bytes[0] - gates, 2 * (bytes[1] - gates));
        assert!(bytes[2] - gates < (bytes[1] - gates) / 8, "{bytes:?}");
    }
}
