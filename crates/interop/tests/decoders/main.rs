//! Decoders in directories.

mod changed;

use std::fs;
use std::sync::Arc;

use interop::lora_backward::{Adapter, Adapters, Scaling};
use models::{Batch, Decoder, DecoderConfig, DeltaNets, Initial, Mixture, Shadow, WeightKind};
use nn::{
    Activations, BitLinearOptions, Gradients, LearnedLevels, LearnedRule, Module, Nonlinearity,
    Rounding, ScaleSync, Sequences, Tape, Update,
};
use ternary_core::quantize::{Absmean, Ttq, TtqParameters};
use ternary_core::{Granularity, Packing};

fn small() -> DecoderConfig {
    DecoderConfig {
        vocabulary: 19,
        width: 24,
        layers: 2,
        heads: 4,
        key_heads: 2,
        head_width: 6,
        rotary_width: 6,
        feed_forward: 36,
        positions: 32,
        ..DecoderConfig::tiny()
    }
}

const MIXTURE: Mixture = Mixture {
    experts: 3,
    used: 2,
    width: 36,
    shared: Some(36),
    dense_layers: Vec::new(),
    balance: 0.1,
    z: 0.0,
};

/// A layer of a delta net and one of gated attention.
fn hybrid(is_fused: bool) -> DecoderConfig {
    let delta = DeltaNets {
        key_heads: 2,
        value_heads: 4,
        key_width: 5,
        value_width: 6,
        kernel: 3,
        is_fused,
        attention_layers: vec![1],
    };
    DecoderConfig {
        rotary_width: 4,
        gated_attention: true,
        head_norms: true,
        shifted_norms: true,
        sub_norms: is_fused,
        delta: Some(delta),
        ..small()
    }
}

fn ternary(options: BitLinearOptions, embedding: bool, head: bool) -> WeightKind {
    WeightKind::Ternary {
        options,
        shadow: Shadow::F32,
        embedding,
        head,
        sync: ScaleSync::PerMatrix,
    }
}

fn model(config: DecoderConfig, kind: WeightKind) -> Decoder<f32> {
    Decoder::build(config, &mut Initial { seed: 5, kind }).unwrap()
}

fn score_bits(model: &Decoder<f32>) -> Vec<u32> {
    let sequences = Sequences { count: 2, length: 7 };
    let tokens: Vec<u32> = (0..14).map(|i| i * 5 % 19).collect();
    let scores = model.scores(&tokens, sequences, &mut Tape::inference()).unwrap();
    scores.iter().map(|score| score.to_bits()).collect()
}

#[test]
fn a_model_that_was_saved_and_loaded_gives_the_same_bits() {
    let group = Granularity::group(6).unwrap();
    let apart = TtqParameters { threshold: 0.05, negative: 0.25, positive: 0.125 };
    let kinds = [
        WeightKind::Dense,
        ternary(BitLinearOptions::default(), false, false),
        ternary(BitLinearOptions::default(), true, true),
        ternary(
            BitLinearOptions {
                quantizer: Arc::new(Absmean::new(group)),
                packing: Packing::FiveTrits,
                activations: Activations::Real,
                ..BitLinearOptions::default()
            },
            true,
            false,
        ),
        ternary(
            BitLinearOptions {
                quantizer: Arc::new(Ttq::new(Granularity::Tensor, vec![apart]).unwrap()),
                ..BitLinearOptions::default()
            },
            false,
            true,
        ),
        ternary(
            BitLinearOptions {
                learned: Some(LearnedLevels {
                    rule: LearnedRule::Ttq { threshold: 0.05, is_threshold_learned: true },
                    granularity: Granularity::Tensor,
                }),
                ..BitLinearOptions::default()
            },
            false,
            true,
        ),
        WeightKind::Ternary {
            options: BitLinearOptions::default(),
            shadow: Shadow::Bf16,
            embedding: true,
            head: true,
            sync: ScaleSync::PerBlock,
        },
        // Weights that are zero are a bias, but not that of a table.
        ternary(BitLinearOptions { dead_bias: 0.25, ..BitLinearOptions::default() }, true, true),
    ];
    let shapes = [
        small(),
        DecoderConfig { tied_head: false, nonlinearity: Nonlinearity::ReluSquared, ..small() },
        DecoderConfig { sub_norms: false, nonlinearity: Nonlinearity::Gelu, ..small() },
        DecoderConfig { mixture: Some(MIXTURE), ..small() },
        DecoderConfig { mixture: Some(MIXTURE), per_layer: 12, ..small() },
        DecoderConfig { per_layer: 6, sub_norms: false, ..small() },
        hybrid(false),
        DecoderConfig {
            tied_head: false,
            mixture: Some(Mixture {
                width: 30,
                shared: Some(12),
                dense_layers: vec![0],
                ..MIXTURE
            }),
            ..hybrid(true)
        },
    ];
    let directory = tempfile::tempdir().unwrap();
    for kind in kinds {
        for shape in &shapes {
            let saved = model(shape.clone(), kind.clone());
            interop::save(&saved, directory.path()).unwrap();
            let loaded = interop::load(directory.path()).unwrap();
            assert_eq!(loaded.config(), shape);
            assert_eq!(score_bits(&loaded), score_bits(&saved), "{kind:?} {shape:?}");
            let files = || {
                ["config.json", "model.safetensors", "manifest.json"]
                    .map(|name| fs::read(directory.path().join(name)).unwrap())
            };
            let before = files();
            interop::save(&loaded, directory.path()).unwrap();
            assert!(files() == before, "a second saving writes the same files");
        }
    }
}

/// A few steps of gradient descent on one batch, codes decided after each.
fn train(model: &mut Decoder<f32>) {
    let sequences = Sequences { count: 2, length: 7 };
    let tokens: Vec<u32> = (0..14).map(|i| i * 3 % 19).collect();
    let targets: Vec<u32> = (0..14).map(|i| (i * 3 + 1) % 19).collect();
    let batch = Batch { sequences, tokens: &tokens, targets: &targets };
    let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(model.parameters()));
    for step in 1..=3 {
        gradients.clear();
        model.loss_and_gradients(batch, &mut tape, &mut gradients).unwrap();
        model.finish_gradients(&mut gradients).unwrap();
        model.visit_mut(&mut |id, mut values| {
            let gradient = gradients.get(id);
            values.update(Rounding::Nearest, |start, weights| {
                for (w, g) in weights.iter_mut().zip(&gradient[start..]) {
                    *w -= 0.05 * g;
                }
            });
        });
        model.requantize(Update::hard(0, step)).unwrap();
    }
}

#[test]
fn levels_that_were_learned_are_those_of_the_saved_model() {
    for rule in [
        LearnedRule::Lsq,
        LearnedRule::Ttq { threshold: 0.05, is_threshold_learned: false },
        LearnedRule::Ttq { threshold: 0.05, is_threshold_learned: true },
    ] {
        let learned = Some(LearnedLevels { rule, granularity: Granularity::Tensor });
        let options = BitLinearOptions { learned, ..BitLinearOptions::default() };
        for sync in ScaleSync::ALL {
            let (shadow, embedding, head) = (Shadow::F32, true, true);
            let options = options.clone();
            let kind = WeightKind::Ternary { options, shadow, embedding, head, sync };
            let shape = DecoderConfig { mixture: Some(MIXTURE), per_layer: 6, ..small() };
            assert_kept_by_training(model(shape, kind));
        }
    }
}

/// Trains a little, saves, and loads again.
fn assert_kept_by_training(mut trained: Decoder<f32>) {
    let before = score_bits(&trained);
    train(&mut trained);
    assert_ne!(score_bits(&trained), before);
    let directory = tempfile::tempdir().unwrap();
    interop::save(&trained, directory.path()).unwrap();
    let loaded = interop::load(directory.path()).unwrap();
    assert_eq!(score_bits(&loaded), score_bits(&trained));
}

#[test]
fn a_model_with_adapters_is_not_written_and_what_was_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = Initial { seed: 1, kind: WeightKind::Dense };
    let mut model = Decoder::<f32>::build(small(), &mut source).unwrap();
    let path = folder.path().join("model");
    interop::save(&model, &path).unwrap();
    let before = fs::read(path.join("model.safetensors")).unwrap();
    let mut adapters = Adapters::default();
    let place = &model.places()[0];
    let scaling = Scaling { alpha: 4.0, rank_stabilised: false };
    let shape = [place.outputs, place.inputs];
    let adapter = Adapter::kaiming(&place.name, shape, 2, scaling, 1).unwrap();
    adapters.insert(&place.name, adapter).unwrap();
    model.attach(&adapters).unwrap();
    for is_merged in [false, true] {
        if is_merged {
            model.merge().unwrap();
        }
        let error = interop::save(&model, &path).unwrap_err().to_string();
        assert!(error.contains("detach"), "{error}");
        assert_eq!(fs::read(path.join("model.safetensors")).unwrap(), before);
    }
    model.detach().unwrap();
    interop::save(&model, &path).unwrap();
    assert_eq!(fs::read(path.join("model.safetensors")).unwrap(), before);
}
