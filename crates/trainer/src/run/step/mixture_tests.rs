//! Mixtures with per-layer embeddings and shared levels, under everything else that training can do.

use super::*;
use crate::config::Layers;
use crate::data::VOCABULARY;
use crate::data::{TrainingWindows, stories};
use crate::run::model::build;
use nn::Values;

const SMALL: [&str; 12] = [
    "model.width=32",
    "model.layers=1",
    "model.feed_forward=32",
    "model.per_layer_embedding=16",
    "mixture.experts=4",
    "mixture.used=2",
    "mixture.shared=true",
    "batch.windows=2",
    "batch.length=32",
    "optimiser.learning_rate=0.01",
    "optimiser.warm_up=0",
    "steps=24",
];

fn configuration(settings: &[&str]) -> Configuration {
    let mut layers = Layers::default();
    layers.add_assignments(SMALL).unwrap();
    layers.add_assignments(settings.iter().copied()).unwrap();
    layers.resolve().unwrap()
}

/// The losses of a run, and the bits of all that it left: numbers, and ternary matrices.
fn run(settings: &[&str], threads: usize) -> (Vec<f64>, Vec<u32>) {
    let configuration = configuration(settings);
    let text = stories(0, 5000);
    let windows = TrainingWindows::new(configuration.run.seed, text.len(), 32).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let model = build(&configuration, VOCABULARY).unwrap();
        let read = |index, example: &mut Example| {
            let text: Vec<u32> =
                text[windows.window(index)].iter().copied().map(u32::from).collect();
            example.set_text(&text);
            Ok(())
        };
        let mut training = Training::new(&configuration, model, Box::new(read), None).unwrap();
        let losses = (0..24).map(|step| training.step(step).unwrap().taken().loss).collect();
        let mut bits = Vec::new();
        training.model().visit(&mut |tensor| match tensor.values {
            Values::Real(values) | Values::Single(values) | Values::Training(values) => {
                bits.extend(values.iter().map(|value| value.to_bits()));
            }
            Values::Bf16 { .. } => panic!("what trains is not kept so"),
            Values::Ternary { matrix, .. } => {
                let trits = matrix.to_trits();
                assert!(trits.iter().any(|&trit| trit != 0), "{settings:?}: {}", tensor.name);
                bits.extend(matrix.to_f32().iter().map(|value| value.to_bits()));
            }
        });
        (losses, bits)
    })
}

#[test]
fn levels_that_are_shared_train_with_every_kind_of_weights_on_any_number_of_threads() {
    for sync in ["ternary.scale_sync=per-expert", "ternary.scale_sync=per-block"] {
        for more in [
            &[][..],
            &["ternary.quantiser=ttq", "ternary.threshold_learned=true", "ohem=0.7"],
            &["ternary.quantiser=lsq", "ternary.latent=bf16", "fogzo_from=0.5"],
            &["ste=hestia", "model.nonlinearity=gelu"],
            &["ste=staged", "ternary.packing=five-trits"],
            &["ste=tequila", "ohem=0.6", "mining.by=examples"],
            &["ste=cage", "ternary.pull_from=0", "mixture.experts=30", "mixture.used=1"],
            &["ternary.ramp=1", "ternary.boundary_noise=0.3", "ternary.embedding=true"],
            &["ternary.scale_average=0.9", "ternary.activations=real"],
        ] {
            let settings = [&[sync], more].concat();
            let (losses, bits) = run(&settings, 1);
            let mean = |losses: &[f64]| losses.iter().sum::<f64>() / 4.0;
            let (first, last) = (mean(&losses[..4]), mean(&losses[20..]));
            assert!(last < first - 0.2, "{settings:?}: {first} to {last}");
            assert!(run(&settings, 3) == (losses, bits), "{settings:?}");
        }
    }
}
