//! Decoders in directories.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use interop::{Tensor, Tensors};
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

/// Changes the tensors of a saved model that has no manifest.
fn edit_tensors(directory: &Path, edit: impl FnOnce(&mut Tensors)) {
    let path = directory.join("model.safetensors");
    let mut tensors = Tensors::from_bytes(&fs::read(&path).unwrap()).unwrap();
    edit(&mut tensors);
    let mut file = Vec::new();
    tensors.write(&mut file).unwrap();
    fs::write(path, file).unwrap();
}

#[test]
fn a_bias_of_another_size_and_one_of_no_projection_are_named() {
    let up = "model.layers.1.mlp.up_proj.bias";
    for (name, shape, expected) in [
        (
            up,
            &[35][..],
            "tensor \"model.layers.1.mlp.up_proj.bias\": shape: expected [36], found [35]",
        ),
        (up, &[36, 1], "shape: expected [36], found [36, 1]"),
        (up, &[], "shape: expected [36], found []"),
        ("model.embed_tokens.bias", &[19], "tensor \"model.embed_tokens.bias\" belongs to nothing"),
        ("model.norm.bias", &[24], "tensor \"model.norm.bias\" belongs to nothing"),
        ("lm_head.bias", &[19], "tensor \"lm_head.bias\" belongs to nothing"),
        ("model.layers.2.mlp.up_proj.bias", &[36], "up_proj.bias\" belongs to nothing"),
    ] {
        for kind in [WeightKind::Dense, ternary(BitLinearOptions::default(), true, true)] {
            let directory = unguarded(kind);
            edit_tensors(directory.path(), |tensors| {
                let values = vec![0.5; shape.iter().product()];
                tensors.insert_real(name, shape, values).unwrap();
            });
            let found = message(directory.path());
            assert!(found.contains(expected), "{expected}\n{found}");
        }
    }
    let directory = unguarded(ternary(BitLinearOptions::default(), false, false));
    edit_tensors(directory.path(), |tensors| {
        let matrix = tensors.get("model.layers.0.mlp.up_proj.weight").unwrap();
        let Tensor::Ternary(matrix) = matrix.clone() else { panic!("real weights") };
        tensors.insert_ternary(up, matrix).unwrap();
    });
    let found = message(directory.path());
    assert!(found.contains("shape: expected [36], found ternary [36, 24]"), "{found}");
}

#[test]
fn a_bias_of_a_file_is_added_and_written_again() {
    for kind in [WeightKind::Dense, ternary(BitLinearOptions::default(), false, false)] {
        let directory = unguarded(kind);
        let before = score_bits(&interop::load(directory.path()).unwrap());
        edit_tensors(directory.path(), |tensors| {
            let values = (0..24).map(|i| i as f32 / 16.0 - 0.5).collect();
            tensors.insert_real("model.layers.0.self_attn.o_proj.bias", &[24], values).unwrap();
        });
        let loaded = interop::load(directory.path()).unwrap();
        assert_ne!(score_bits(&loaded), before);
        let file = fs::read(directory.path().join("model.safetensors")).unwrap();
        interop::save(&loaded, directory.path()).unwrap();
        assert!(fs::read(directory.path().join("model.safetensors")).unwrap() == file);
    }
}

fn message(directory: &Path) -> String {
    interop::load(directory).unwrap_err().to_string()
}

/// A saved model without its manifest, so that its files can be changed.
fn unguarded(kind: WeightKind) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    interop::save(&model(small(), kind), directory.path()).unwrap();
    fs::remove_file(directory.path().join("manifest.json")).unwrap();
    directory
}

fn edit_config(directory: &Path, from: &str, to: &str) {
    let path = directory.join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn experts_that_do_not_fit_the_configuration_are_named() {
    let router = "tensor \"model.layers.0.mlp.gate.weight\"";
    for (from, to, expected) in [
        (
            "\"num_experts\": 3",
            "\"num_experts\": 2147483647",
            format!("{router}: shape: expected [2147483647, 24], found [3, 24]"),
        ),
        ("\"num_experts\": 3", "\"num_experts\": 2", format!("{router}: shape: expected [2, 24]")),
        (
            ",\n  \"shared_expert_intermediate_size\": 36",
            "",
            "model.layers.0.mlp.shared_expert".to_owned(),
        ),
        (
            "\"num_experts\"",
            "\"hidden_size_per_layer_input\": 0, \"num_experts\"",
            "config.json: configuration: invalid value: integer `0`".to_owned(),
        ),
        (
            "\"num_experts\"",
            "\"hidden_size_per_layer_input\": 8, \"num_experts\"",
            "model.layers.0.per_layer_input_norm.weight\" is missing".to_owned(),
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let config = DecoderConfig { mixture: Some(MIXTURE), ..small() };
        let kind = ternary(BitLinearOptions::default(), false, true);
        interop::save(&model(config, kind), directory.path()).unwrap();
        fs::remove_file(directory.path().join("manifest.json")).unwrap();
        edit_config(directory.path(), from, to);
        let found = message(directory.path());
        assert!(found.contains(&expected), "{expected}: {found}");
    }
}

#[test]
fn weights_that_do_not_fit_the_configuration_are_named() {
    let q_proj = "tensor \"model.layers.0.self_attn.q_proj.weight\"";
    for (from, to, expected) in [
        (
            "\"vocab_size\": 19",
            "\"vocab_size\": 20",
            "model.safetensors: tensor \"model.embed_tokens.weight\": shape: expected [20, 24], found \
             [19, 24]"
                .to_owned(),
        ),
        (
            "\"head_dim\": 6",
            "\"head_dim\": 8",
            format!("model.safetensors: {q_proj}: shape: expected ternary [32, 24], found ternary \
                     [24, 24]"),
        ),
        (
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 1",
            "model.safetensors: tensor \"model.layers.1.input_layernorm.weight\" belongs to nothing"
                .to_owned(),
        ),
        (
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 2000000000",
            "model.safetensors: tensor \"model.layers.2.input_layernorm.weight\" is missing"
                .to_owned(),
        ),
        (
            "\"tie_word_embeddings\": true",
            "\"tie_word_embeddings\": false",
            "model.safetensors: tensor \"lm_head.weight\" is missing".to_owned(),
        ),
        (
            "\"max_position_embeddings\": 32",
            "\"max_position_embeddings\": 2147483647",
            "config.json: max_position_embeddings: expected 1 to 16777216, found 2147483647"
                .to_owned(),
        ),
        (
            ",\n  \"quantization_config\": {\n    \"quant_method\": \"ternary\",\n    \
             \"activations\": \"int8\"\n  }",
            "",
            format!("{q_proj}: kind: expected real, found ternary and no quantization_config"),
        ),
    ] {
        let directory = unguarded(ternary(BitLinearOptions::default(), false, false));
        edit_config(directory.path(), from, to);
        let found = message(directory.path());
        assert!(found.contains(&expected), "{expected}\n{found}");
    }
}

#[test]
fn a_directory_that_is_not_there_and_one_without_a_model_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let error = message(&directory.path().join("nowhere"));
    assert!(error.contains("nowhere/config.json: cannot read the file: "), "{error}");
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(interop::load(&file).is_err());
    assert!(interop::save(&model(small(), WeightKind::Dense), &file).is_err());
}

#[test]
fn a_changed_byte_is_found_by_the_manifest() {
    let directory = tempfile::tempdir().unwrap();
    interop::save(&model(small(), WeightKind::Dense), directory.path()).unwrap();
    let path = directory.path().join("model.safetensors");
    let mut file = fs::read(&path).unwrap();
    *file.last_mut().unwrap() ^= 1;
    fs::write(&path, file).unwrap();
    let error = message(directory.path());
    assert!(error.contains("model.safetensors: SHA-256 by the manifest: expected "), "{error}");
}
