//! Directories as transformers writes them become the decoders that they are.

use std::collections::BTreeMap;
use std::path::Path;

use crate::directory::{
    Model, Tensor, dense, experts, fuse_delta_net, fuse_experts, hybrid, numbers, write_index,
};
use crate::watching::watched;
use interop::Kind;
use interop::hugging_face::{Weights, load, load_changed};
use models::{Decoder, DecoderConfig, Initial, Start, WeightKind};
use nn::{Compute, Module, Sequences, Tape};
use serde_json::json;

fn scores<T: Compute>(model: &Decoder<T>) -> Vec<T> {
    let sequences = Sequences { count: 2, length: 5 };
    let tokens: Vec<u32> = (0..10).map(|i| i * 7 % 11).collect();
    model.scores(&tokens, sequences, &mut Tape::inference()).unwrap()
}

fn bits(model: &Decoder<f32>) -> Vec<u32> {
    scores(model).into_iter().map(f32::to_bits).collect()
}

fn write(model: &Model) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    model.write(directory.path());
    directory
}

fn read(model: &Model) -> Decoder<f32> {
    load(write(model).path(), Weights::Frozen).unwrap()
}

fn message(model: &Model) -> String {
    load::<f32>(write(model).path(), Weights::Frozen).unwrap_err().to_string()
}

/// A decoder of this shape with the numbers that [`numbers`] gives every tensor.
fn oracle(config: &DecoderConfig) -> Decoder<f32> {
    let mut values = |name: &str, shape: &[usize]| -> Result<_, models::Error> {
        let values = numbers(name, shape.iter().product());
        Ok(Some(values.into_iter().map(|value| value as f32).collect()))
    };
    let initial = Initial { seed: 1, kind: WeightKind::Dense };
    Decoder::build(config.clone(), &mut Start { initial, values: &mut values }).unwrap()
}

#[test]
fn every_tensor_becomes_the_weight_of_its_name_whatever_its_type() {
    for dtype in ["F64", "F32", "F16", "BF16"] {
        let dense = [dense("llama", dtype), dense("qwen3", dtype)];
        let hybrid = hybrid(dtype);
        let fused = fuse_delta_net(&hybrid);
        let (separate, same) = (bits(&read(&hybrid)), bits(&read(&fused)));
        assert_eq!(separate, same, "the same rows in another order");
        for model in dense.into_iter().chain([experts(dtype), hybrid]) {
            let read = read(&model);
            assert_eq!(bits(&read), bits(&oracle(read.config())), "{dtype} {}", model.config);
        }
    }
}

#[test]
fn biases_are_added_where_the_family_has_them() {
    let mut model = dense("qwen2", "F32");
    let with = bits(&read(&model));
    for (name, tensor) in &mut model.tensors {
        if name.ends_with(".bias") {
            tensor.bytes.fill(0);
        }
    }
    let without = bits(&read(&dense("llama", "F32")));
    assert_eq!(bits(&read(&model)), without);
    assert_ne!(with, without);

    // A key says so in other families; then also the output has one.
    let mut model = dense("qwen2", "F32");
    model.config["model_type"] = json!("llama");
    model.config["attention_bias"] = json!(true);
    let missing = "tensor \"model.layers.0.self_attn.o_proj.bias\" is missing";
    assert!(message(&model).ends_with(missing));
    for layer in 0..2 {
        model.add(&format!("model.layers.{layer}.self_attn.o_proj.bias"), &[12]);
    }
    assert_ne!(bits(&read(&model)), with);
    model.config["attention_bias"] = json!(false);
    let expected = "tensor \"model.layers.0.self_attn.q_proj.bias\": bias: expected none by the \
                    configuration, found [16]";
    assert!(message(&model).ends_with(expected), "{}", message(&model));
}

#[test]
fn the_same_model_may_lie_deeper_or_alone_or_in_several_files() {
    let model = experts("BF16");
    let expected = bits(&read(&model));
    for prefix in ["model.language_model.", ""] {
        let deeper = model.renamed(|name| match name.strip_prefix("model.") {
            Some(rest) => format!("{prefix}{rest}"),
            None => name.to_owned(),
        });
        assert_eq!(bits(&read(&deeper)), expected);
    }
    let text = hybrid("BF16");
    let mut sees = text.renamed(|name| name.replacen("model.", "model.language_model.", 1));
    let (text_config, model_type) = (text.config.clone(), "qwen3_5");
    sees.config = json!({"model_type": model_type, "text_config": text_config});
    sees.add("model.visual.patch_embed.proj.weight", &[2, 3]);
    assert_eq!(bits(&read(&sees)), bits(&read(&text)));
    for count in [1, 2, 5] {
        let directory = tempfile::tempdir().unwrap();
        model.write_shards(directory.path(), count);
        let read = load(directory.path(), Weights::Frozen).unwrap();
        assert_eq!(bits(&read), expected);
    }
}

#[test]
fn the_one_file_may_have_an_index_of_its_own() {
    let model = dense("llama", "BF16");
    let directory = write(&model);
    let names = model.tensors.keys().map(|name| (name.clone(), json!("model.safetensors")));
    let map: serde_json::Map<_, _> = names.collect();
    write_index(directory.path(), &json!({"weight_map": map}));
    let decoder = load(directory.path(), Weights::Frozen).unwrap();
    assert_eq!(bits(&decoder), bits(&read(&model)));
}

#[test]
fn parts_that_no_text_goes_through_are_left_out_and_nothing_else() {
    let mut model = dense("llama", "F32");
    let expected = bits(&read(&model));
    for name in ["model.visual.a", "visual.b", "mtp.fc.weight", "model.rotary_emb.inv_freq"] {
        model.add(name, &[3]);
    }
    // Of a type that holds no weights, and with numbers that are not finite.
    let labels = Tensor { dtype: "I64", shape: vec![1], bytes: vec![255; 8] };
    model.tensors.insert("mtp.positions".to_owned(), labels);
    model.tensors.insert("mtp.nan".to_owned(), Tensor::new("F32", &[1], &[f64::NAN]));
    assert_eq!(bits(&read(&model)), expected);
    model.add("model.layers.0.mlp.router.weight", &[2]);
    let left = "tensor \"model.layers.0.mlp.router.weight\" belongs to nothing";
    assert!(message(&model).ends_with(left), "{}", message(&model));
    for index in 0..6 {
        model.add(&format!("model.layers.0.extra.{index}"), &[1]);
    }
    let expected =
        "tensors: expected none that belong to nothing, found \"model.layers.0.extra.0\", ";
    assert!(message(&model).contains(expected), "{}", message(&model));
    assert!(message(&model).ends_with(" and 2 more"));
}

#[test]
fn a_tied_head_may_be_in_the_file_as_well_but_no_other_one() {
    let mut model = dense("llama", "F32");
    model.config["tie_word_embeddings"] = json!(true);
    let other = model.tensors.remove("lm_head.weight").unwrap();
    let tied = read(&model);
    assert!(tied.config().tied_head);
    let same = model.tensors["model.embed_tokens.weight"].clone();
    model.tensors.insert("lm_head.weight".to_owned(), same);
    assert_eq!(bits(&read(&model)), bits(&tied));
    model.tensors.insert("lm_head.weight".to_owned(), other);
    let expected = "tensor \"lm_head.weight\": numbers: expected those of the embedding, as \
                    tie_word_embeddings says, found others";
    assert!(message(&model).ends_with(expected), "{}", message(&model));
    model.tensors.remove("lm_head.weight");
    model.config["tie_word_embeddings"] = json!(false);
    assert!(message(&model).ends_with("tensor \"lm_head.weight\" is missing"));
}

#[test]
fn experts_may_be_apart_or_all_in_one_tensor() {
    let model = experts("F16");
    let mut fused = fuse_experts(&model);
    assert_eq!(bits(&read(&fused)), bits(&read(&model)));
    let name = "model.layers.1.mlp.experts.down_proj";
    fused.tensors.get_mut(name).unwrap().shape = vec![3, 6, 12];
    let expected = format!("tensor {name:?}: shape: expected [3, 12, 6], found [3, 6, 12]");
    assert!(message(&fused).ends_with(&expected), "{}", message(&fused));
    // Both at once: the fused ones belong to nothing.
    let mut both = model.clone();
    both.tensors.extend(fuse_experts(&model).tensors);
    let expected = "found \"model.layers.0.mlp.experts.down_proj\", ";
    assert!(message(&both).contains(expected), "{}", message(&both));
}

#[test]
fn weights_train_or_stay_as_they_are() {
    let model = dense("qwen2", "F32");
    let directory = write(&model);
    let frozen = load::<f32>(directory.path(), Weights::Frozen).unwrap();
    assert_eq!(frozen.parameters().numbers(), 0);
    let trained = load::<f32>(directory.path(), Weights::Trained).unwrap();
    let count = model.tensors.values().map(|tensor| tensor.bytes.len() / 4);
    assert_eq!(trained.parameters().numbers(), count.sum::<usize>());
    assert_eq!(bits(&frozen), bits(&trained));
}

#[test]
fn beside_the_weights_reading_takes_no_memory_of_their_size() {
    let mut model = dense("llama", "BF16");
    model.config["vocab_size"] = json!(50_000);
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        let tensor = Tensor::new("BF16", &[50_000, 12], &numbers(name, 600_000));
        model.tensors.insert(name.to_owned(), tensor);
    }
    let directory = write(&model);
    let read = || load::<f32>(directory.path(), Weights::Frozen).unwrap();
    let (decoder, memory) = watched(read);
    let passing = memory.passing;
    assert_eq!(decoder.config().vocabulary, 50_000);
    assert!(passing < 100_000, "{passing} bytes beside the weights, tables of 2400000");
}

#[test]
fn in_f64_the_numbers_of_the_files_are_exact() {
    let mut model = dense("llama", "F64");
    let third = vec![1.0 / 3.0; 12];
    model.tensors.insert("model.norm.weight".to_owned(), Tensor::new("F64", &[12], &third));
    let directory = write(&model);
    let wide = load::<f64>(directory.path(), Weights::Frozen).unwrap();
    let mut norm = None;
    wide.visit(&mut |tensor| {
        if tensor.name == "model.norm.weight" {
            let nn::Values::Real(values) = tensor.values else { panic!("a norm is real") };
            norm = Some(values.to_vec());
        }
    });
    assert_eq!(norm, Some(third));
    let narrow = load::<f32>(directory.path(), Weights::Frozen).unwrap();
    for (wide, narrow) in scores(&wide).into_iter().zip(scores(&narrow)) {
        assert!((wide - f64::from(narrow)).abs() < 1e-4, "{wide} {narrow}");
    }
}

#[test]
fn every_tensor_can_be_changed_on_the_way_by_its_name_here() {
    let model = fuse_experts(&experts("F32")).renamed(|name| match name.strip_prefix("model.") {
        Some(rest) => format!("model.language_model.{rest}"),
        None => name.to_owned(),
    });
    let mut seen = BTreeMap::new();
    let mut change = |name: &str, shape: &[usize], values: &mut [f32]| {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        assert!(seen.insert(name.to_owned(), shape.to_vec()).is_none(), "{name}");
        if name == "model.layers.1.mlp.experts.2.up_proj.weight" {
            values.fill(0.0);
        }
    };
    let directory = write(&model);
    let changed = load_changed(directory.path(), Weights::Frozen, &mut change).unwrap();
    let shapes = experts("F32").tensors.into_iter().map(|(name, tensor)| (name, tensor.shape));
    assert_eq!(seen, shapes.collect::<BTreeMap<_, _>>());
    assert_ne!(bits(&changed), bits(&read(&model)));
    let mut zero = experts("F32");
    let name = "model.layers.1.mlp.experts.2.up_proj.weight";
    zero.tensors.get_mut(name).unwrap().bytes.fill(0);
    assert_eq!(bits(&changed), bits(&read(&zero)));
}

#[test]
fn a_directory_of_either_kind_is_opened_by_its_configuration() {
    let directory = write(&dense("llama", "F32"));
    let model = interop::open(directory.path()).unwrap();
    assert_eq!(Kind::of(directory.path()).unwrap(), Kind::HuggingFace);
    // A manifest of other software is nothing to us.
    std::fs::write(directory.path().join("manifest.json"), "[]").unwrap();
    assert_eq!(bits(&interop::open(directory.path()).unwrap()), bits(&model));

    let packed = tempfile::tempdir().unwrap();
    interop::save(&model, packed.path()).unwrap();
    assert_eq!(Kind::of(packed.path()).unwrap(), Kind::Packed);
    assert_eq!(bits(&interop::open(packed.path()).unwrap()), bits(&model));

    for (config, expected) in [
        ("{}", "config.json: key \"model_type\" is missing"),
        ("[]", "config.json: configuration: expected an object, found a list"),
        ("{\"model_type\": \"gpt2\"}", "config.json: model_type: expected one of llama, qwen2, "),
        ("{\"model_type\": 1}", "config.json: model_type: expected a text, found 1"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), config).unwrap();
        let found = interop::open(directory.path()).unwrap_err().to_string();
        assert!(found.contains(expected), "{expected}\n{found}");
    }
    let nowhere = interop::open(Path::new("nowhere")).unwrap_err().to_string();
    assert!(nowhere.starts_with("nowhere/config.json: cannot read the file: "), "{nowhere}");
}
