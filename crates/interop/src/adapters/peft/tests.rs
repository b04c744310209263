use lora_backward::{Adapter, Scaling};

use super::*;
use crate::adapters::Prefix;
use crate::adapters::factors::{Factor, part};
use crate::safetensors::{Dtype, Part, write as write_arrays};

const QKV: &str = "model.layers.0.linear_attn.in_proj_qkv";
const Q: &str = "model.layers.1.self_attn.q_proj";
const K: &str = "model.layers.1.self_attn.k_proj";

/// An adapter the numbers of which are all different.
fn adapter<T: Real>(shape: [usize; 2], rank: usize, scaling: Scaling) -> Adapter<T> {
    let [outputs, inputs] = shape;
    let numbers = |count: usize, from: f64| -> Vec<T> {
        (0..count).map(|index| T::from_f64((index as f64 + from) / 7.0)).collect()
    };
    let factors = [numbers(rank * inputs, 0.5), numbers(outputs * rank, -3.0)];
    Adapter::new("test", shape, rank, factors, scaling).unwrap()
}

fn adapters<T: Real>(modules: &[(&str, usize, f64)], rank_stabilised: bool) -> Adapters<T> {
    let mut adapters = Adapters::default();
    for &(module, rank, alpha) in modules {
        let scaling = Scaling { alpha, rank_stabilised };
        adapters.insert(module, adapter([7, 5], rank, scaling)).unwrap();
    }
    adapters
}

fn options(prefix: Prefix) -> Options {
    Options { prefix, base: Some("base".into()) }
}

/// A configuration as PEFT writes it, with some keys changed.
fn config(changes: &[(&str, &str)]) -> Vec<u8> {
    let text = r#"{"alpha_pattern": {}, "bias": "none", "corda_config": null, "fan_in_fan_out": false,
        "init_lora_weights": true, "layer_replication": null, "layers_pattern": null,
        "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 8, "lora_bias": false,
        "lora_dropout": 0.0, "megatron_core": "megatron.core", "modules_to_save": null,
        "peft_type": "LORA", "peft_version": "0.21.2", "qalora_group_size": 16, "r": 2,
        "rank_pattern": {}, "target_modules": ["q_proj", "k_proj", "in_proj_qkv"],
        "use_dora": false, "use_rslora": false, "of_the_future": {"a": [1]}}"#;
    let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
    for (key, text) in changes {
        value[key] = serde_json::from_str(text).unwrap();
    }
    serde_json::to_vec(&value).unwrap()
}

/// A file of arrays by their names after `base_model.model.`, all of them ½.
fn weights(arrays: &[(&str, Dtype, [usize; 2])]) -> Vec<u8> {
    let of = |&(name, dtype, shape): &(&str, Dtype, [usize; 2])| {
        let numbers = vec![0.5_f64; shape[0] * shape[1]];
        let half = match dtype {
            Dtype::Bf16 => half::bf16::from_f64(0.5).to_le_bytes().to_vec(),
            Dtype::F16 => half::f16::from_f64(0.5).to_le_bytes().to_vec(),
            Dtype::F32 => 0.5_f32.to_le_bytes().to_vec(),
            _ => 0.5_f64.to_le_bytes().to_vec(),
        };
        let bytes = half.repeat(numbers.len());
        let name = format!("base_model.model.{name}");
        Part { name, dtype, shape: shape.to_vec(), bytes: Box::new(move || bytes.clone().into()) }
    };
    let mut file = Vec::new();
    write_arrays(&mut file, &Default::default(), arrays.iter().map(of).collect()).unwrap();
    file
}

/// Files with one module.
fn files(changes: &[(&str, &str)]) -> Files {
    let (a, b) = (format!("{Q}.lora_A.weight"), format!("{Q}.lora_B.weight"));
    let weights = weights(&[(&a, Dtype::F32, [2, 5]), (&b, Dtype::F32, [7, 2])]);
    Files { config: config(changes), weights }
}

fn error(files: &Files) -> String {
    from_bytes::<f32>(files).unwrap_err().to_string()
}

#[test]
fn adapters_come_back_in_the_same_bits_under_both_prefixes() {
    fn check<T: Real>(rank_stabilised: bool) {
        let mut adapters = adapters::<T>(
            &[(QKV, 2, 8.0), (Q, 2, 8.0), (K, 3, 0.3), ("lm_head", 1, 8.0)],
            rank_stabilised,
        );
        adapters.dropout = 0.05;
        for prefix in [Prefix::Plain, Prefix::Nested] {
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), &adapters, &options(prefix)).unwrap();
            let read = read::<T>(directory.path()).unwrap();
            assert_eq!(read, adapters);
            assert_eq!(read.get(K).unwrap().factor(), adapters.get(K).unwrap().factor());
        }
    }
    check::<f32>(true);
    check::<f64>(false);
}

#[test]
fn what_is_written_is_what_peft_has_names_types_and_keys_for() {
    let adapters = adapters::<f64>(&[(QKV, 2, 8.0), (Q, 2, 8.0), (K, 3, 0.5)], true);
    let files = to_bytes(&adapters, &options(Prefix::Nested)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&files.weights).unwrap();
    let name = "base_model.model.model.language_model.layers.1.self_attn.k_proj.lora_A.weight";
    let tensor = tensors.tensor(name).unwrap();
    assert_eq!((tensor.shape(), tensor.dtype()), (&[3, 5][..], safetensors::Dtype::F64));
    assert_eq!(tensors.len(), 6);
    let (_, header) = safetensors::SafeTensors::read_metadata(&files.weights).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    let config: serde_json::Value = serde_json::from_slice(&files.config).unwrap();
    let expected = serde_json::json!({
        "alpha_pattern": {"k_proj": 0.5},
        "base_model_name_or_path": "base",
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": 8,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": 2,
        "rank_pattern": {"k_proj": 3},
        "target_modules": [
            "model.language_model.layers.0.linear_attn.in_proj_qkv",
            "model.language_model.layers.1.self_attn.k_proj",
            "model.language_model.layers.1.self_attn.q_proj"
        ],
        "task_type": "CAUSAL_LM",
        "use_rslora": true
    });
    assert_eq!(config, expected);
}

#[test]
fn a_rank_that_only_some_modules_of_an_ending_have_is_written_by_whole_names() {
    let other = "model.layers.0.self_attn.q_proj";
    let adapters = adapters::<f32>(&[(Q, 3, 8.0), (other, 2, 8.0), (K, 2, 8.0)], false);
    let files = to_bytes(&adapters, &Options::default()).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&files.config).unwrap();
    assert_eq!(config["rank_pattern"], serde_json::json!({Q: 3}));
    assert_eq!(from_bytes::<f32>(&files).unwrap(), adapters);
}

#[test]
fn a_file_of_peft_is_read_in_every_type_of_numbers() {
    for dtype in [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::Bf16] {
        for named in ["", ".default"] {
            let names = [Q, QKV]
                .map(|module| ["A", "B"].map(|f| format!("{module}.lora_{f}{named}.weight")));
            let [[qa, qb], [ga, gb]] = &names;
            let weights = weights(&[
                (qa, dtype, [2, 5]),
                (qb, dtype, [7, 2]),
                (ga, dtype, [1, 5]),
                (gb, dtype, [7, 1]),
            ]);
            let config = config(&[
                ("rank_pattern", r#"{"in_proj_qkv": 1, "q_p.*": 2}"#),
                ("alpha_pattern", r#"{"layers.1.self_attn.q_proj": 3.5}"#),
                ("lora_dropout", "0.25"),
            ]);
            let adapters = from_bytes::<f32>(&Files { config, weights }).unwrap();
            let (q, gdn) = (adapters.get(Q).unwrap(), adapters.get(QKV).unwrap());
            assert_eq!((q.rank, q.inputs, q.outputs, q.factor()), (2, 5, 7, 1.75));
            assert_eq!((gdn.rank, gdn.factor()), (1, 8.0));
            assert!(q.a.iter().chain(&gdn.b).all(|&number| number == 0.5));
            assert_eq!(adapters.dropout, 0.25);
        }
    }
}

#[test]
fn the_pattern_that_stands_first_in_the_file_counts() {
    let with = |patterns: &str| {
        let mut files = files(&[]);
        let text = String::from_utf8(files.config).unwrap();
        files.config = text.replace("\"rank_pattern\":{}", patterns).into_bytes();
        from_bytes::<f32>(&files)
    };
    assert!(with(r#""rank_pattern":{"q_proj":2,".*":9}"#).is_ok());
    let error = with(r#""rank_pattern":{".*":9,"q_proj":2}"#).unwrap_err().to_string();
    assert!(error.ends_with("rank: expected 9, as adapter_config.json says, found 2"), "{error}");
}

#[test]
fn patterns_take_work_for_the_names_in_the_file_only() {
    let middle = "a".repeat(4000);
    let module = |index: usize| format!("model.{middle}.{index}.q_proj");
    let mut names = Vec::new();
    for index in 0..100 {
        names.push(format!("{}.lora_A.weight", module(index)));
        names.push(format!("{}.lora_B.weight", module(index)));
    }
    let arrays: Vec<_> = names.iter().map(|name| (&**name, Dtype::F32, [2, 2])).collect();
    let weights = weights(&arrays);
    let read = |patterns: &str| {
        let config = config(&[("rank_pattern", patterns)]);
        from_bytes::<f32>(&Files { config, weights: weights.clone() })
    };
    // Of all steps there are, three quarters for each name of every module.
    let pattern = r#"{"[q]_proj(?:abcdefgh){3200}": 3}"#;
    assert_eq!(read(pattern).unwrap().len(), 100);
    let twice = r#"{"[q]_proj(?:abcdefgh){3200}": 3, "[k]_proj(?:abcdefgh){3200}": 3}"#;
    let error = read(twice).unwrap_err().to_string();
    assert!(error.starts_with("rank_pattern: expected expressions and names that"), "{error}");
}

#[test]
fn targets_are_lists_expressions_or_all_linear_modules_in_chosen_layers() {
    for changes in [
        &[("target_modules", "[\"model.layers.1.self_attn.q_proj\"]")][..],
        &[("target_modules", r#""model\\.layers\\.[0-9]+\\..*_proj""#)],
        // The name of the module in the other kind of model.
        &[("target_modules", r#""model\\.language_model\\..*\\.(q|v)_proj""#)],
        &[("target_modules", "\"All-Linear\"")],
        &[("layers_to_transform", "1")],
        &[("layers_to_transform", "[0, 1]"), ("layers_pattern", "\"layers\"")],
        &[("layers_to_transform", "[]"), ("layers_pattern", "[]")],
        &[("exclude_modules", "[\"o_proj\"]")],
        &[("exclude_modules", "\"\"")],
        &[("init_lora_weights", "\"gaussian\""), ("modules_to_save", "[]")],
        // What an adapter began with says nothing once it was made a plain one.
        &[("corda_config", "{\"cov_path\": \"x\"}")],
    ] {
        from_bytes::<f32>(&files(changes)).unwrap_or_else(|error| panic!("{changes:?}: {error}"));
    }
    let passed_over = "target_modules: expected every module of the tensors, as PEFT passes over others, found \
                       \"model.layers.1.self_attn.q_proj\", one ";
    for (changes, end) in [
        (&[("target_modules", "[\"proj\"]")][..], "that does not match it"),
        (&[("target_modules", "\"q_proj\"")], "that does not match it"),
        (&[("layers_to_transform", "[0, 2]")], "of another layer than layers_to_transform"),
        (&[("exclude_modules", "\".*\"")], "that exclude_modules leaves out"),
        (&[("exclude_modules", "[\"q_proj\"]")], "that exclude_modules leaves out"),
    ] {
        assert_eq!(error(&files(changes)), format!("{passed_over}{end}"));
    }
}

#[test]
fn what_would_make_the_adapter_another_one_is_refused_by_its_key() {
    for (key, value) in [
        ("peft_type", "\"LOHA\""),
        ("peft_type", "null"),
        ("use_dora", "true"),
        ("use_qalora", "true"),
        ("alora_invocation_tokens", "[1, 2]"),
        ("layer_replication", "[[0, 2]]"),
        ("fan_in_fan_out", "true"),
        ("lora_bias", "true"),
        ("bias", "\"lora_only\""),
        ("modules_to_save", "[\"lm_head\"]"),
        ("target_parameters", "[\"mlp.experts.gate_up_proj\"]"),
        ("trainable_token_indices", "[3]"),
        ("megatron_config", "{\"a\": 1}"),
        ("arrow_config", "{\"a\": 1}"),
        ("use_bdlora", "{\"a\": 1}"),
        ("kasa_config", "{}"),
        ("monteclora_config", "{\"a\": 1}"),
        ("init_lora_weights", "\"pissa_niter_4\""),
        ("init_lora_weights", "\"loftq\""),
        ("target_modules", "null"),
        ("target_modules", "3"),
        ("target_modules", "[3]"),
        ("target_modules", r#""(?=a)q_proj""#),
        ("exclude_modules", "7"),
        ("layers_to_transform", "-1"),
        ("layers_to_transform", "[1.5]"),
        ("layers_pattern", "\"layers\""),
        ("lora_dropout", "1.0"),
        ("lora_alpha", "\"8\""),
        ("r", "-2"),
        ("rank_pattern", "{\"q_proj\": 1.5}"),
        ("alpha_pattern", "{\"q_proj\": null}"),
        ("alpha_pattern", "{\"(\": 1}"),
    ] {
        let error = error(&files(&[(key, value)]));
        assert!(error.contains(key), "{key}: {value}: {error}");
    }
    let both = error(&files(&[("target_modules", "\".*\""), ("layers_to_transform", "[1]")]));
    assert!(
        both.starts_with("layers_to_transform: expected nothing, as target_modules is no list")
    );
    let twice = Files { config: br#"{"r": 1, "r": 2}"#.to_vec(), ..files(&[]) };
    assert!(error(&twice).starts_with("configuration: key \"r\" is there twice"));
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let (a, b) = (format!("{Q}.lora_A.weight"), format!("{Q}.lora_B.weight"));
    let f32 = |name, shape| (name, Dtype::F32, shape);
    let (a, b) = (a.as_str(), b.as_str());
    for (arrays, message) in [
        (
            &[f32(a, [2, 5])][..],
            "lora_A.weight\": partner: expected the B of the same module, found none",
        ),
        (
            &[f32(b, [7, 2])],
            "lora_B.weight\": partner: expected the A of the same module, found none",
        ),
        (
            &[f32(a, [3, 5]), f32(b, [7, 3])],
            "rank: expected 2, as adapter_config.json says, found 3",
        ),
        (
            &[f32(a, [2, 5]), f32(b, [2, 7])],
            "lora_B.weight\": rank: expected 2, as adapter_config.json says, found 7",
        ),
        (&[f32(a, [2, 1]), f32(b, [1, 2])], "rank: expected 1 to 1, "),
        (
            &[f32(a, [2, 5]), (b, Dtype::I64, [7, 2])],
            "type: expected F64, F32, F16 or BF16, found I64",
        ),
        (&[], "tensors: expected factors of one module at least, found none"),
    ] {
        let error = error(&Files { config: config(&[]), weights: weights(arrays) });
        assert!(error.contains(message), "{error}");
    }
    let error = error(&Files { config: config(&[("r", "0")]), ..files(&[]) });
    assert!(error.ends_with("rank: expected 0, as adapter_config.json says, found 2"), "{error}");
    let values = [f32::NAN; 10];
    let part = part(format!("base_model.model.{a}"), [2, 5], &values, Layout::Same, Dtype::F32);
    let b = super::names::name(Prefix::Plain, Q, Factor::B);
    let other = super::super::factors::part(b, [7, 2], &[0.5_f32; 14], Layout::Same, Dtype::F32);
    let mut weights = Vec::new();
    write_arrays(&mut weights, &Default::default(), vec![part, other]).unwrap();
    let error = from_bytes::<f32>(&Files { config: config(&[]), weights }).unwrap_err().to_string();
    assert!(error.contains("lora_A.weight") && error.contains("NaN"), "{error}");
}

#[test]
fn adapters_that_cannot_be_read_back_are_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("adapter");
    let refused = |adapters: &Adapters<f32>| {
        let error = write(&path, adapters, &Options::default()).unwrap_err();
        assert!(!path.exists());
        error.to_string()
    };
    assert_eq!(
        refused(&Adapters::default()),
        "cannot be written: adapters: expected one at least, found none"
    );
    let mut mixed = adapters(&[(Q, 2, 8.0)], true);
    let plain = Scaling { alpha: 8.0, rank_stabilised: false };
    mixed.insert(K, adapter([7, 5], 2, plain)).unwrap();
    assert!(refused(&mixed).contains("all rank-stabilised or none"));
    let mut bad = adapter([7, 5], 2, plain);
    bad.b[3] = f32::INFINITY;
    let mut infinite = Adapters::default();
    infinite.insert(Q, bad).unwrap();
    assert!(refused(&infinite).contains("lora_B: expected finite numbers, found inf at index 3"));
    let mut dropped = adapters(&[(Q, 2, 8.0)], true);
    dropped.dropout = 1.0;
    assert!(refused(&dropped).contains("dropout: expected a share from 0 to below 1, found 1"));
    // Names that an expression reads otherwise.
    for name in
        ["model.visual.a", "model.language_model.a", "model.a.lora_A.b", "model.modules_to_save"]
    {
        assert!(refused(&adapters(&[(name, 2, 8.0)], true)).starts_with("cannot be written: "));
    }
    assert!(
        refused(&adapters(&[("a(", 2, 8.0), ("b", 1, 8.0), ("c", 1, 8.0)], true))
            .contains("rank_pattern")
    );
}

#[test]
fn a_pickle_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("adapter_config.json"), config(&[])).unwrap();
    std::fs::write(directory.path().join("adapter_model.bin"), b"\x80").unwrap();
    let error = read::<f32>(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("adapter_model.bin: weights: expected adapter_model.safetensors"),
        "{error}"
    );
}
