//! Directories that somebody made to do harm: each is an error that names the file, or what was asked for,
//! and memory stays within a bound made from the size of the files.

use std::fs;
use std::path::Path;

use crate::directory::{
    Model, Tensor, dense, experts, file, hybrid, numbers, shard_name, write_index,
};
use crate::watching::watched;
use interop::hugging_face::{Weights, load};
use interop::{Error, Kind};
use models::Decoder;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What a model of no size may ask for at a time: a table of positions in blocks, and of layers.
const CONSTANT: usize = 8 << 20;

/// Reads a directory, asserting that no single request for memory is beyond what its files explain: a key of
/// a document may take a node of a tree, and a vector may have doubled.
fn read(directory: &Path) -> Result<Decoder<f32>, Error> {
    let (result, memory) = watched(|| load(directory, Weights::Frozen));
    let largest = memory.largest;
    let lengths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
    let bytes: u64 = lengths.map(|metadata| metadata.len()).sum();
    let limit = CONSTANT + 64 * bytes as usize;
    assert!(largest <= limit, "{largest} bytes for files of {bytes}");
    result
}

fn message(directory: &Path) -> String {
    read(directory).unwrap_err().to_string()
}

fn written(model: &Model) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    model.write(directory.path());
    directory
}

#[test]
fn an_index_that_lies_is_refused() {
    let model = dense("llama", "BF16");
    let name = "model.norm.weight";
    type Change = fn(&mut Value, &Path);
    let cases: [(Change, &str); 12] = [
        (
            |index, _| index["weight_map"]["model.norm.weight"] = json!(shard_name(1, 2)),
            "model-00001-of-00002.safetensors: tensor \"model.norm.weight\": file by \
             model.safetensors.index.json: expected model-00001-of-00002.safetensors, found \
             model-00002-of-00002.safetensors",
        ),
        (
            |index, _| {
                index["weight_map"].as_object_mut().unwrap().remove("model.norm.weight");
            },
            "expected model-00001-of-00002.safetensors, found no file",
        ),
        (
            |index, _| index["weight_map"]["more"] = json!(shard_name(0, 2)),
            "model-00001-of-00002.safetensors: tensor \"more\" is missing",
        ),
        (
            |index, _| index["weight_map"]["more"] = json!("model-3.safetensors"),
            "model-3.safetensors: cannot map the file: ",
        ),
        (
            |index, _| index["weight_map"]["more"] = json!("../model.safetensors"),
            "model.safetensors.index.json: tensor \"more\": file: expected a name in this directory, \
             found \"../model.safetensors\"",
        ),
        (|index, _| index["weight_map"]["more"] = json!("/etc/passwd"), "expected a name in this"),
        (|index, _| index["weight_map"]["more"] = json!(""), "expected a name in this directory"),
        (|index, _| index["weight_map"]["more"] = json!(1), "index: invalid type: integer `1`"),
        (|index, _| *index = json!({"metadata": {}}), "index: missing field `weight_map`"),
        (|index, _| *index = json!({"weight_map": {}}), "\"model.embed_tokens.weight\" is missing"),
        (
            |_, directory| fs::remove_file(directory.join(shard_name(1, 2))).unwrap(),
            "model-00002-of-00002.safetensors: cannot map the file: ",
        ),
        (
            |_, directory| {
                fs::copy(directory.join(shard_name(0, 2)), directory.join("model.safetensors"))
                    .unwrap();
            },
            "index.json: weights: expected one of model.safetensors and model.safetensors.index.json, \
             found both",
        ),
    ];
    for (change, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        let mut index = model.write_shards(directory.path(), 2);
        assert_eq!(index["weight_map"][name], json!(shard_name(0, 2)));
        change(&mut index, directory.path());
        write_index(directory.path(), &index);
        let found = message(directory.path());
        assert!(found.contains(expected), "{expected}\n{found}");
    }
    // A name twice, in the index and in two of its files.
    let directory = tempfile::tempdir().unwrap();
    let index = model.write_shards(directory.path(), 2).to_string();
    let twice = index.replacen("{\"lm_head", "{\"model.norm.weight\":\"a\",\"lm_head", 1);
    assert_ne!(twice, index);
    let path = directory.path().join("model.safetensors.index.json");
    fs::write(&path, twice).unwrap();
    let expected = "index.json: tensor \"model.norm.weight\" is there twice";
    assert!(message(directory.path()).ends_with(expected));
    fs::write(&path, index).unwrap();
    fs::write(directory.path().join(shard_name(0, 2)), file(&model.tensors)).unwrap();
    assert!(message(directory.path()).contains("file by model.safetensors.index.json: expected"));
}

#[test]
fn files_cut_off_anywhere_are_refused_and_so_is_what_is_no_file() {
    let model = dense("llama", "BF16");
    let directory = written(&model);
    assert!(read(directory.path()).is_ok());
    for (name, step) in [("model.safetensors", 13), ("config.json", 1)] {
        let path = directory.path().join(name);
        let bytes = fs::read(&path).unwrap();
        for length in (0..bytes.len()).step_by(step) {
            fs::write(&path, &bytes[..length]).unwrap();
            let found = message(directory.path());
            assert!(found.contains(name), "{length} bytes: {found}");
        }
        fs::remove_file(&path).unwrap();
        assert!(message(directory.path()).contains("No such file"));
        fs::create_dir(&path).unwrap();
        let found = message(directory.path());
        assert!(
            found.ends_with(&format!(
                "{name}: cannot {} the file: it is no regular file",
                if name == "config.json" { "read" } else { "map" }
            )),
            "{found}"
        );
        fs::remove_dir(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    assert!(read(directory.path()).is_ok());
}

#[test]
fn tensors_of_other_types_shapes_and_numbers_are_named() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let of = |dtype, values: &[f64]| Tensor::new(dtype, &[10, 12], values);
    let good = numbers(name, 120);
    let with = |index: usize, value: f64| {
        let mut values = good.clone();
        values[index] = value;
        values
    };
    let raw = |dtype, bytes| Tensor { dtype, shape: vec![10, 12], bytes };
    for (tensor, expected) in [
        (of("F32", &with(7, f64::NAN)), "numbers: expected finite numbers, found NaN at index 7"),
        (of("F16", &with(0, 1e9)), "numbers: expected finite numbers, found inf at index 0"),
        (of("BF16", &with(119, f64::NEG_INFINITY)), "found -inf at index 119"),
        (of("F64", &with(3, 1e300)), "numbers: expected finite numbers, found inf at index 3"),
        (raw("I8", vec![0; 120]), "type: expected F64, F32, F16 or BF16, found I8"),
        (raw("F8_E4M3", vec![0; 120]), "type: expected F64, F32, F16 or BF16, found F8_E4M3"),
        (raw("I64", vec![0; 960]), "type: expected F64, F32, F16 or BF16, found I64"),
        (raw("F4", vec![0; 60]), "type: expected one of whole bytes, found F4"),
        (raw("F32", vec![0; 476]), "bytes of its shape: expected 480, found "),
        (Tensor::new("F32", &[12, 10], &good), "shape: expected [10, 12], found [12, 10]"),
        (Tensor::new("F32", &[120], &good), "shape: expected [10, 12], found [120]"),
    ] {
        let mut model = dense("llama", "F32");
        model.tensors.insert(name.to_owned(), tensor);
        let found = message(written(&model).path());
        let expected = format!("model.safetensors: tensor {name:?}: {expected}");
        let (start, end) = expected.split_once(": found").unwrap_or((&expected, ""));
        assert!(found.contains(start) || found.contains(end), "{expected}\n{found}");
        assert!(found.contains(name), "{found}");
    }
}

#[test]
fn configurations_that_contradict_the_tensors_are_refused_however_large_their_numbers() {
    let cases = [
        ("vocab_size", json!(12), "\"model.embed_tokens.weight\": shape: expected [12, 12], found"),
        ("vocab_size", json!(2147483647), "shape: expected [2147483647, 12], found [11, 12]"),
        ("hidden_size", json!(2147483647), "shape: expected [11, 2147483647], found [11, 12]"),
        ("num_hidden_layers", json!(1), "tensors: expected none that belong to nothing, found"),
        ("num_hidden_layers", json!(65536), "\"model.layers.2.input_layernorm.weight\" is missing"),
        ("num_hidden_layers", json!(65537), "num_hidden_layers: expected at most 65536, found"),
        (
            "num_hidden_layers",
            json!(u64::MAX),
            "expected at most 65536, found 18446744073709551615",
        ),
        ("head_dim", json!(65536), "q_proj.weight\": shape: expected [524288, 12], found [64, 12]"),
        ("head_dim", json!(2147483640), "head_dim: expected at most 65536, found 2147483640"),
        ("num_attention_heads", json!(8), "q_proj.weight\": shape: expected [128, 12], found [64"),
        ("num_key_value_heads", json!(4), "k_proj.weight\": shape: expected [32, 12], found [16"),
        ("num_experts", json!(2147483647), "num_experts: expected up to 262144 in all layers"),
        ("num_experts", json!(100000), "gate.weight\": shape: expected [100000, 12]"),
        ("num_experts", json!(2), "gate.weight\": shape: expected [2, 12], found [3, 12]"),
        ("num_experts_per_tok", json!(4), "num_experts_per_tok: expected 1 to the number of"),
        ("moe_intermediate_size", json!(7), "shape: expected [7, 12], found [6, 12]"),
        ("shared_expert_intermediate_size", json!(0), "expected none that belong to nothing"),
        ("max_position_embeddings", json!(16777216), ""),
        ("max_position_embeddings", json!(16777217), "max_position_embeddings: expected 1 to"),
        ("tie_word_embeddings", json!(true), "\"lm_head.weight\": numbers: expected those of the"),
        ("model_type", json!("llama"), "q_proj.weight\": shape: expected [32, 12], found [64, 12]"),
        ("mlp_only_layers", json!([0]), "model.layers.0.mlp.gate_proj.weight\" is missing"),
        ("mlp_only_layers", json!(vec![0; 10_000]), "mlp.gate_proj.weight\" is missing"),
        ("full_attention_interval", json!(u64::MAX), "in_proj_qkvz.weight\" is missing"),
        ("linear_num_value_heads", json!(u64::MAX), ""),
        ("rms_norm_eps", json!(-1.0), "rms_norm_eps: expected 0 to 1, found -1"),
        ("rope_theta", json!(1e308), ""),
    ];
    for (key, value, expected) in cases {
        let mut model = experts("F32");
        model.config[key] = value.clone();
        let directory = written(&model);
        let found = read(directory.path());
        let found = found.map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(found.is_empty(), expected.is_empty(), "{key} {value}: {found}");
        assert!(found.contains(expected), "{key} {value}: {expected}\n{found}");
    }
    for (key, value, expected) in [
        ("linear_num_key_heads", json!(3), "linear_num_value_heads: expected a multiple of the"),
        (
            "linear_num_value_heads",
            json!(8),
            "in_proj_qkv.weight\": shape: expected [52, 12], found",
        ),
        ("linear_key_head_dim", json!(u64::MAX), "linear_key_head_dim: expected 1 to 32767, found"),
        ("linear_conv_kernel_dim", json!(32767), "conv1d.weight\": shape: expected [32, 1, 32767]"),
        (
            "linear_conv_kernel_dim",
            json!(0),
            "linear_conv_kernel_dim: expected 1 to 32767, found 0",
        ),
        ("layer_types", json!(["full_attention", "full_attention"]), "q_proj.weight\" is missing"),
        ("model_type", json!("qwen3_next"), "key \"num_experts\" is missing"),
    ] {
        let mut model = hybrid("F32");
        model.config[key] = value.clone();
        let found = message(written(&model).path());
        assert!(found.contains(expected), "{key} {value}: {expected}\n{found}");
    }
    for text in ["[".repeat(1 << 20), "{\"a\":".repeat(1 << 18), "1".repeat(1 << 20)] {
        let directory = written(&experts("F32"));
        fs::write(directory.path().join("config.json"), text).unwrap();
        let found = message(directory.path());
        assert!(found.contains("config.json: configuration: "), "{found}");
        assert!(Kind::of(directory.path()).is_err());
    }
}

/// A change of the bytes of a file.
#[derive(Debug, Clone)]
enum Edit {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize, usize),
    Repeat(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    // Numbers, quotes and brackets make other documents, any byte makes other lengths and numbers.
    let byte =
        prop_oneof![prop::sample::select(b"0123456789-.eE\"[]{},: ntf".to_vec()), any::<u8>()];
    let position = 0..1_usize << 20;
    prop_oneof![
        (position.clone(), byte.clone()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (position.clone(), byte).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        (position.clone(), 1..40_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        (position, 1..200_usize).prop_map(|(at, count)| Edit::Repeat(at, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    let place = |at: usize| at % bytes.len().max(1);
    match *edit {
        Edit::Set(at, byte) => {
            let at = place(at);
            bytes.splice(at..(at + 1).min(bytes.len()), [byte]);
        }
        Edit::Insert(at, byte) => bytes.insert(place(at).min(bytes.len()), byte),
        Edit::Remove(at, count) => {
            let at = place(at);
            bytes.drain(at..(at + count).min(bytes.len()));
        }
        Edit::Repeat(at, count) => {
            let at = place(at);
            let part = bytes[at..(at + count).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn changed_files_are_models_or_errors(
        sharded: bool,
        which in 0..3_usize,
        in_header: bool,
        edits in prop::collection::vec(edit(), 1..4),
    ) {
        let model = if sharded { hybrid("F16") } else { experts("BF16") };
        let directory = tempfile::tempdir().unwrap();
        let names = if sharded {
            model.write_shards(directory.path(), 2);
            ["config.json".to_owned(), shard_name(1, 2), "model.safetensors.index.json".to_owned()]
        } else {
            model.write(directory.path());
            let weights = "model.safetensors".to_owned();
            ["config.json".to_owned(), weights.clone(), weights]
        };
        let path = directory.path().join(&names[which]);
        let mut bytes = fs::read(&path).unwrap();
        let header = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
        for edit in &edits {
            let edit = match edit {
                // Most of a file of weights is numbers: what describes them is the harder part.
                Edit::Set(at, byte) if in_header && which == 1 => {
                    Edit::Set(at % (8 + header as usize), *byte)
                }
                other => other.clone(),
            };
            apply(&mut bytes, &edit);
        }
        fs::write(&path, bytes).unwrap();
        if let Err(error) = read(directory.path()) {
            let prefix = directory.path().to_str().unwrap();
            prop_assert!(error.to_string().starts_with(prefix), "{error}");
        }
    }
}
