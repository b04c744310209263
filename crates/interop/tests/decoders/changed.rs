//! Directories that somebody changed after a model was saved there.

use std::fs;
use std::path::Path;

use interop::{Tensor, Tensors};
use models::{DecoderConfig, WeightKind};
use nn::BitLinearOptions;

use crate::{MIXTURE, model, score_bits, small, ternary};

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
            "num_experts: expected up to 262144 in all layers, found 4294967294".to_owned(),
        ),
        (
            "\"num_experts\": 3",
            "\"num_experts\": 100000",
            format!("{router}: shape: expected [100000, 24], found [3, 24]"),
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
