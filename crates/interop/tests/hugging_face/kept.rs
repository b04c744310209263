//! Models that stay as they are, in less memory than their numbers.

use half::bf16;
use interop::Tensors;
use interop::hugging_face::{Weights, load, load_frozen};
use interop::lora_backward::{Adapter, AdapterMode, Adapters, Scaling};
use models::{Base, Batch, Decoder};
use nn::{Gradients, Module, Sequences, Tape, Values};
use serde_json::{Value, json};
use ternary_core::quantize::Absmean;
use ternary_core::{Granularity, Packing, TernaryMatrix};

use crate::directory::{
    Model, Tensor, dense, experts, fuse_delta_net, fuse_experts, hybrid, numbers,
};
use crate::watching::watched;

const SEQUENCES: Sequences = Sequences { count: 2, length: 5 };
const TOKENS: [u32; 10] = [1, 8, 4, 0, 7, 3, 10, 6, 2, 9];

fn write(model: &Model) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    model.write(directory.path());
    directory
}

fn bits(model: &Decoder<f32>) -> Vec<u32> {
    let scores = model.scores(&TOKENS, SEQUENCES, &mut Tape::inference()).unwrap();
    scores.into_iter().map(f32::to_bits).collect()
}

/// Every shape of a model.
fn all(dtype: &'static str) -> [Model; 6] {
    let (hybrid, experts) = (hybrid(dtype), experts(dtype));
    let (fused, together) = (fuse_delta_net(&hybrid), fuse_experts(&experts));
    [dense("llama", dtype), dense("qwen2", dtype), hybrid, fused, experts, together]
}

/// How a matrix of a name is to be kept.
fn expected(base: Base, name: &str) -> Base {
    let is_gate = name.contains("mlp.gate.")
        || name.contains("shared_expert_gate")
        || ["in_proj_a.", "in_proj_b.", "in_proj_ba."].iter().any(|gate| name.contains(gate));
    let is_of_tokens = name.contains("embed_tokens") || name.contains("lm_head");
    match base {
        _ if is_gate => Base::F32,
        Base::Ternary if is_of_tokens => Base::Bf16,
        base => base,
    }
}

fn is_matrix(name: &str) -> bool {
    !name.contains("norm") && !name.contains("conv1d") && name.ends_with(".weight")
}

#[test]
fn each_matrix_is_kept_by_what_it_is_for_with_the_numbers_of_its_file() {
    for dtype in ["BF16", "F32", "F16", "F64"] {
        for model in all(dtype) {
            let directory = write(&model);
            let plain = load::<f32>(directory.path(), Weights::Frozen).unwrap();
            let mut weights = std::collections::BTreeMap::new();
            plain.visit(&mut |tensor| {
                if let Values::Real(values) = tensor.values {
                    weights.insert(tensor.name.to_owned(), values.to_vec());
                }
            });
            for base in Base::ALL {
                let kept = load_frozen::<f32>(directory.path(), base).unwrap();
                assert_eq!(kept.places(), plain.places());
                assert_eq!(kept.parameters().numbers(), 0);
                let mut seen = 0;
                kept.visit(&mut |tensor| {
                    let values = &weights[tensor.name];
                    seen += 1;
                    let found = match tensor.values {
                        Values::Real(found) => {
                            assert_eq!(found, values, "{}", tensor.name);
                            Base::F32
                        }
                        Values::Bf16 { values: found, .. } => {
                            let rounded = values.iter().map(|&value| bf16::from_f32(value));
                            assert!(rounded.eq(found.iter().copied()), "{}", tensor.name);
                            Base::Bf16
                        }
                        Values::Ternary { matrix, latent: None, .. } => {
                            let (rows, cols) = (matrix.rows(), matrix.cols());
                            let rule = Absmean::new(Granularity::Tensor);
                            let packing = Packing::FiveTrits;
                            let same =
                                TernaryMatrix::quantize(rows, cols, &values[..], &rule, packing);
                            assert_eq!(*matrix, same.unwrap(), "{}", tensor.name);
                            Base::Ternary
                        }
                        other => panic!("{other:?}"),
                    };
                    if is_matrix(tensor.name) {
                        assert_eq!(found, expected(base, tensor.name), "{base}: {}", tensor.name);
                    } else if !tensor.name.ends_with(".bias") {
                        assert_eq!(found, Base::F32, "{}", tensor.name);
                    }
                });
                let biases = weights.keys().filter(|name| name.ends_with(".bias")).count();
                // Those of projections in bf16 or ternary are told with their weights.
                let apart = if base == Base::F32 { 0 } else { biases };
                assert_eq!(seen, weights.len() - apart);
            }
        }
    }
}

#[test]
fn in_bf16_a_model_of_such_numbers_computes_the_same_bits() {
    for dtype in ["BF16", "F32"] {
        // The numbers of these files have few enough bits for any type.
        for model in all(dtype) {
            let directory = write(&model);
            let plain = load(directory.path(), Weights::Frozen).unwrap();
            let half = load_frozen(directory.path(), Base::Bf16).unwrap();
            assert_eq!(bits(&half), bits(&plain), "{}", model.config);
            let (less, more) = (half.memory().total(), plain.memory().total());
            assert!(less < more, "{less} of {more}");
            let ternary = load_frozen(directory.path(), Base::Ternary).unwrap();
            assert_ne!(bits(&ternary), bits(&plain));
        }
    }
}

#[test]
fn a_model_that_was_kept_in_less_is_saved_and_read_with_the_same_bits() {
    for model in all("BF16") {
        let directory = write(&model);
        for base in Base::ALL {
            let kept = interop::open_as(directory.path(), base).unwrap();
            let packed = tempfile::tempdir().unwrap();
            interop::save(&kept, packed.path()).unwrap();
            // Whatever it was saved as it is read as, and what is ternary stays so.
            for again in Base::ALL {
                let read = interop::open_as(packed.path(), again).unwrap();
                let is_same = base == Base::Ternary || again != Base::Ternary;
                assert_eq!(bits(&read) == bits(&kept), is_same, "{base} as {again}");
            }
            let file = std::fs::read(packed.path().join("model.safetensors")).unwrap();
            let tensors = Tensors::from_bytes(&file).unwrap();
            let head = tensors.get("lm_head.weight").unwrap();
            assert_eq!(matches!(head, interop::Tensor::Bf16 { .. }), base != Base::F32);
        }
    }
}

#[test]
fn floats_of_our_own_are_quantised_as_those_of_others_are() {
    for model in all("BF16") {
        let directory = write(&model);
        let plain = interop::open(directory.path()).unwrap();
        let packed = tempfile::tempdir().unwrap();
        interop::save(&plain, packed.path()).unwrap();
        for base in Base::ALL {
            let expected = interop::open_as(directory.path(), base).unwrap();
            let found = interop::open_as(packed.path(), base).unwrap();
            assert_eq!(bits(&found), bits(&expected), "{base}");
            assert_eq!(found.memory().packed, expected.memory().packed);
        }
    }
}

/// Adapters of every place, routers aside.
fn adapters(model: &Decoder<f32>) -> Adapters<f32> {
    let scaling = Scaling { alpha: 4.0, rank_stabilised: false };
    let mut adapters = Adapters::default();
    for place in model.places().iter().filter(|place| place.kind != "router") {
        let shape = [place.outputs, place.inputs];
        let mut adapter = Adapter::kaiming(&place.name, shape, 2, scaling, 1).unwrap();
        adapter
            .b
            .iter_mut()
            .enumerate()
            .for_each(|(i, b)| *b = ((i * 37 % 19) as f32 - 9.0) * 1e-2);
        adapters.insert(&place.name, adapter).unwrap();
    }
    adapters
}

#[test]
fn adapters_learn_beside_each_kind_and_are_merged_into_it() {
    for model in all("BF16") {
        let directory = write(&model);
        for base in Base::ALL {
            let mut kept = interop::open_as(directory.path(), base).unwrap();
            let own = adapters(&kept);
            let before = bits(&kept);
            kept.attach(&own).unwrap();
            let adapted = bits(&kept);
            assert_ne!(adapted, before, "{base}");
            let mut gradients = Gradients::zeros(kept.parameters());
            let batch = Batch { sequences: SEQUENCES, tokens: &TOKENS, targets: &TOKENS };
            kept.loss_and_gradients(batch, &mut Tape::recording(), &mut gradients).unwrap();
            let numbers: usize = own.iter().map(|(_, own)| own.a.len() + own.b.len()).sum();
            assert_eq!(gradients.values().len(), numbers);
            assert!(gradients.norm() > 0.0);
            kept.set_adapters(AdapterMode::Disabled).unwrap();
            assert_eq!(bits(&kept), before, "{base}");
            kept.set_adapters(AdapterMode::Merged).unwrap();
            let merged = bits(&kept);
            kept.set_adapters(AdapterMode::Enabled).unwrap();
            let saved = tempfile::tempdir().unwrap();
            interop::save_merged(&kept, saved.path(), &[]).unwrap();
            assert_eq!(bits(&interop::open(saved.path()).unwrap()), merged, "{base}");
            assert_eq!(kept.detach().unwrap(), own);
            assert_eq!(bits(&kept), before, "{base}");
        }
    }
}

#[test]
fn numbers_that_bf16_cannot_hold_are_named() {
    let name = "model.layers.1.mlp.up_proj.weight";
    let with = |dtype, value: f64| {
        let mut model = dense("llama", dtype);
        let mut values = numbers(name, 120);
        values[17] = value;
        model.tensors.insert(name.to_owned(), Tensor::new(dtype, &[10, 12], &values));
        write(&model)
    };
    let message = |directory: &tempfile::TempDir, base| {
        load_frozen::<f32>(directory.path(), base).unwrap_err().to_string()
    };
    let largest = with("F32", f64::from(f32::MAX));
    let expected = "model.layers.1.mlp.up_proj: weights in bf16: expected finite numbers";
    assert!(message(&largest, Base::Bf16).contains(expected), "{}", message(&largest, Base::Bf16));
    for dtype in ["F64", "F32", "F16", "BF16"] {
        let bad = with(dtype, f64::NAN);
        for base in Base::ALL {
            let found = message(&bad, base);
            let expected = format!("tensor {name:?}: numbers: expected finite numbers, found NaN");
            assert!(found.contains("model.safetensors"), "{found}");
            assert!(found.contains(&expected) && found.contains("17"), "{found}");
        }
    }
}

/// A model of many layers, none of whose tensors is a large part of it.
fn deep(dtype: &'static str) -> Model {
    const LAYERS: usize = 24;
    let config: Value = json!({
        "model_type": "llama", "vocab_size": 11, "hidden_size": 80,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 4,
        "head_dim": 20, "intermediate_size": 320, "max_position_embeddings": 16,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": false
    });
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![11, 80]),
        ("model.norm.weight".to_owned(), vec![80]),
        ("lm_head.weight".to_owned(), vec![11, 80]),
    ];
    for layer in 0..LAYERS {
        let mut add = |name: &str, shape: &[usize]| {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape.to_vec()));
        };
        add("input_layernorm", &[80]);
        add("post_attention_layernorm", &[80]);
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}"), &[80, 80]);
        }
        add("mlp.gate_proj", &[320, 80]);
        add("mlp.up_proj", &[320, 80]);
        add("mlp.down_proj", &[80, 320]);
    }
    Model::new(config, dtype, &shapes)
}

#[test]
fn never_more_than_the_largest_tensor_is_held_beside_what_is_kept() {
    const NUMBERS: usize = 24 * (4 * 80 * 80 + 3 * 320 * 80);
    const LARGEST: isize = 320 * 80;
    for (dtype, bytes) in [("BF16", 2), ("F32", 4)] {
        let directory = write(&deep(dtype));
        let packed = tempfile::tempdir().unwrap();
        interop::save(&interop::open(directory.path()).unwrap(), packed.path()).unwrap();
        for base in [Base::Bf16, Base::Ternary] {
            // Of our own directories all numbers are f32.
            for (path, bytes) in [(directory.path(), bytes), (packed.path(), 4)] {
                // The working memory of a thread is there afterwards too.
                interop::open_as(path, base).unwrap();
                let (model, memory) = watched(|| interop::open_as(path, base).unwrap());
                // Names, norms and headers.
                let other = 200_000;
                assert!(
                    memory.passing < bytes * LARGEST + other,
                    "{dtype} as {base}: {} bytes passing",
                    memory.passing
                );
                let kept = model.memory();
                match base {
                    Base::Ternary => {
                        assert!(8 * kept.packed <= 2 * NUMBERS, "{} of {NUMBERS}", kept.packed);
                        assert!(kept.total() < NUMBERS / 5 + other as usize);
                    }
                    _ => {
                        assert!((2 * NUMBERS..2 * NUMBERS + other as usize).contains(&kept.total()))
                    }
                }
            }
        }
    }
}
