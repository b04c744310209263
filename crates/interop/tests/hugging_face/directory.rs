//! Model directories as transformers writes them, made for a test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use serde_json::{Value, json};

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) dtype: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// A model: its `config.json` and its tensors.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) config: Value,
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

/// The numbers of the tensor of a name, each of which has few enough bits for every type.
pub(crate) fn numbers(name: &str, count: usize) -> Vec<f64> {
    let seed = name.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
    let number = |index: u64| (seed % 8191 + index * 37) % 61;
    (0..count as u64).map(|index| (number(index) as f64 - 30.0) / 64.0).collect()
}

impl Tensor {
    /// Numbers as a type of a file.
    pub(crate) fn new(dtype: &'static str, shape: &[usize], values: &[f64]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        let bytes = values.iter().flat_map(|&value| match dtype {
            "F64" => value.to_le_bytes().to_vec(),
            "F32" => (value as f32).to_le_bytes().to_vec(),
            "F16" => f16::from_f64(value).to_le_bytes().to_vec(),
            "BF16" => bf16::from_f64(value).to_le_bytes().to_vec(),
            other => panic!("{other}"),
        });
        Self { dtype, shape: shape.to_vec(), bytes: bytes.collect() }
    }
}

impl Model {
    /// A model of these shapes, with numbers of a type.
    pub(crate) fn new(config: Value, dtype: &'static str, shapes: &[(String, Vec<usize>)]) -> Self {
        let tensor = |(name, shape): &(String, Vec<usize>)| {
            let values = numbers(name, shape.iter().product());
            (name.clone(), Tensor::new(dtype, shape, &values))
        };
        Self { config, tensors: shapes.iter().map(tensor).collect() }
    }

    /// Adds a tensor.
    pub(crate) fn add(&mut self, name: &str, shape: &[usize]) {
        let values = numbers(name, shape.iter().product());
        self.tensors.insert(name.to_owned(), Tensor::new("F32", shape, &values));
    }

    /// The same tensors under other names.
    pub(crate) fn renamed(&self, rename: impl Fn(&str) -> String) -> Self {
        let tensors = self.tensors.iter().map(|(name, tensor)| (rename(name), tensor.clone()));
        Self { config: self.config.clone(), tensors: tensors.collect() }
    }

    /// Writes `config.json` and one file.
    pub(crate) fn write(&self, directory: &Path) {
        self.write_config(directory);
        fs::write(directory.join("model.safetensors"), file(&self.tensors)).unwrap();
    }

    pub(crate) fn write_config(&self, directory: &Path) {
        fs::write(directory.join("config.json"), self.config.to_string()).unwrap();
    }

    /// Writes `config.json`, so many files with the tensors in turn, and the index, which is returned.
    pub(crate) fn write_shards(&self, directory: &Path, count: usize) -> Value {
        self.write_config(directory);
        let mut shards = vec![BTreeMap::new(); count];
        let mut map = BTreeMap::new();
        for (index, (name, tensor)) in self.tensors.iter().enumerate() {
            shards[index % count].insert(name.clone(), tensor.clone());
            map.insert(name.clone(), shard_name(index % count, count));
        }
        for (index, tensors) in shards.iter().enumerate() {
            fs::write(directory.join(shard_name(index, count)), file(tensors)).unwrap();
        }
        let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
        write_index(directory, &index);
        index
    }
}

pub(crate) fn write_index(directory: &Path, index: &Value) {
    fs::write(directory.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

pub(crate) fn shard_name(index: usize, count: usize) -> String {
    format!("model-{:05}-of-{count:05}.safetensors", index + 1)
}

/// The bytes of a safetensors file.
pub(crate) fn file(tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        let offsets = [data.len(), data.len() + tensor.bytes.len()];
        let entry = json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets});
        header.insert(name.clone(), entry);
        data.extend(&tensor.bytes);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

/// What every model has but its layers, with a head of its own.
fn outside(vocabulary: usize, width: usize) -> Vec<(String, Vec<usize>)> {
    vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocabulary, width]),
        ("model.norm.weight".to_owned(), vec![width]),
        ("lm_head.weight".to_owned(), vec![vocabulary, width]),
    ]
}

/// A dense decoder of two layers; `model_type` is `llama`, `qwen2` or `qwen3`.
pub(crate) fn dense(model_type: &str, dtype: &'static str) -> Model {
    let config = json!({
        "model_type": model_type, "vocab_size": 11, "hidden_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
        "intermediate_size": 10, "max_position_embeddings": 16, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "tie_word_embeddings": false
    });
    let mut shapes = outside(11, 12);
    for layer in 0..2 {
        let mut add = |name: &str, shape: &[usize]| {
            shapes.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
        };
        add("input_layernorm.weight", &[12]);
        add("post_attention_layernorm.weight", &[12]);
        for (name, outputs) in [("q_proj", 16), ("k_proj", 8), ("v_proj", 8)] {
            add(&format!("self_attn.{name}.weight"), &[outputs, 12]);
            if model_type == "qwen2" {
                add(&format!("self_attn.{name}.bias"), &[outputs]);
            }
        }
        add("self_attn.o_proj.weight", &[12, 16]);
        if model_type == "qwen3" {
            add("self_attn.q_norm.weight", &[4]);
            add("self_attn.k_norm.weight", &[4]);
        }
        add("mlp.gate_proj.weight", &[10, 12]);
        add("mlp.up_proj.weight", &[10, 12]);
        add("mlp.down_proj.weight", &[12, 10]);
    }
    Model::new(config, dtype, &shapes)
}

/// A hybrid whose layers are all of attention, two of them, with mixtures of three experts.
pub(crate) fn experts(dtype: &'static str) -> Model {
    let config = json!({
        "model_type": "qwen3_next", "vocab_size": 11, "hidden_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "intermediate_size": 10, "max_position_embeddings": 16, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "tie_word_embeddings": false, "full_attention_interval": 1,
        "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 6,
        "shared_expert_intermediate_size": 5, "norm_topk_prob": true
    });
    let mut shapes = outside(11, 12);
    for layer in 0..2 {
        let mut add = |name: &str, shape: &[usize]| {
            shapes.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
        };
        add("input_layernorm.weight", &[12]);
        add("post_attention_layernorm.weight", &[12]);
        add("self_attn.q_proj.weight", &[64, 12]);
        add("self_attn.k_proj.weight", &[16, 12]);
        add("self_attn.v_proj.weight", &[16, 12]);
        add("self_attn.o_proj.weight", &[12, 32]);
        add("self_attn.q_norm.weight", &[8]);
        add("self_attn.k_norm.weight", &[8]);
        add("mlp.gate.weight", &[3, 12]);
        add("mlp.shared_expert_gate.weight", &[1, 12]);
        let experts = ["experts.0", "experts.1", "experts.2", "shared_expert"];
        for (expert, inner) in experts.into_iter().zip([6, 6, 6, 5]) {
            add(&format!("mlp.{expert}.gate_proj.weight"), &[inner, 12]);
            add(&format!("mlp.{expert}.up_proj.weight"), &[inner, 12]);
            add(&format!("mlp.{expert}.down_proj.weight"), &[12, inner]);
        }
    }
    Model::new(config, dtype, &shapes)
}

/// The experts' matrices as transformers keeps them in memory: all of a layer in two tensors.
pub(crate) fn fuse_experts(model: &Model) -> Model {
    let mut fused = model.clone();
    for layer in 0..2 {
        let name = |expert: usize, part: &str| {
            format!("model.layers.{layer}.mlp.experts.{expert}.{part}.weight")
        };
        let mut take = |expert, part| fused.tensors.remove(&name(expert, part)).unwrap();
        let (mut ups, mut downs) = (Vec::new(), Vec::new());
        let mut dtype = "";
        for expert in 0..3 {
            for part in ["gate_proj", "up_proj"] {
                ups.extend(take(expert, part).bytes);
            }
            let down = take(expert, "down_proj");
            dtype = down.dtype;
            downs.extend(down.bytes);
        }
        let experts = format!("model.layers.{layer}.mlp.experts");
        let ups = Tensor { dtype, shape: vec![3, 12, 12], bytes: ups };
        let downs = Tensor { dtype, shape: vec![3, 12, 6], bytes: downs };
        fused.tensors.insert(format!("{experts}.gate_up_proj"), ups);
        fused.tensors.insert(format!("{experts}.down_proj"), downs);
    }
    fused
}

/// A hybrid of a delta net and a layer of attention, with nets; `qwen3_5_text` has four input projections.
pub(crate) fn hybrid(dtype: &'static str) -> Model {
    let config = json!({
        "model_type": "qwen3_5_text", "vocab_size": 11, "hidden_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
        "intermediate_size": 10, "max_position_embeddings": 16, "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e7},
        "tie_word_embeddings": false, "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 3,
        "linear_value_head_dim": 5, "linear_conv_kernel_dim": 3
    });
    let mut shapes = outside(11, 12);
    for layer in 0..2 {
        let mut add = |name: &str, shape: &[usize]| {
            shapes.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
        };
        add("input_layernorm.weight", &[12]);
        add("post_attention_layernorm.weight", &[12]);
        if layer == 0 {
            for (name, rows) in [("qkv", 32), ("z", 20), ("b", 4), ("a", 4)] {
                add(&format!("linear_attn.in_proj_{name}.weight"), &[rows, 12]);
            }
            add("linear_attn.conv1d.weight", &[32, 1, 3]);
            add("linear_attn.A_log", &[4]);
            add("linear_attn.dt_bias", &[4]);
            add("linear_attn.norm.weight", &[5]);
            add("linear_attn.out_proj.weight", &[12, 20]);
        } else {
            add("self_attn.q_proj.weight", &[32, 12]);
            add("self_attn.k_proj.weight", &[8, 12]);
            add("self_attn.v_proj.weight", &[8, 12]);
            add("self_attn.o_proj.weight", &[12, 16]);
            add("self_attn.q_norm.weight", &[8]);
            add("self_attn.k_norm.weight", &[8]);
        }
        add("mlp.gate_proj.weight", &[10, 12]);
        add("mlp.up_proj.weight", &[10, 12]);
        add("mlp.down_proj.weight", &[12, 10]);
    }
    Model::new(config, dtype, &shapes)
}

/// The same delta net as transformers' Qwen3-Next has it: the rows of two projections, by key head.
pub(crate) fn fuse_delta_net(model: &Model) -> Model {
    let mut fused = model.clone();
    let part = |name: &str| format!("model.layers.0.linear_attn.in_proj_{name}.weight");
    let mut take = |name: &str| fused.tensors.remove(&part(name)).unwrap();
    let (qkv, z, b, a) = (take("qkv"), take("z"), take("b"), take("a"));
    let row = qkv.bytes.len() / 32;
    let rows = |tensor: &Tensor, start: usize, count: usize| {
        tensor.bytes[start * row..(start + count) * row].to_vec()
    };
    let (mut qkvz, mut ba) = (Vec::new(), Vec::new());
    for head in 0..2 {
        qkvz.extend(rows(&qkv, 3 * head, 3));
        qkvz.extend(rows(&qkv, 6 + 3 * head, 3));
        qkvz.extend(rows(&qkv, 12 + 10 * head, 10));
        qkvz.extend(rows(&z, 10 * head, 10));
        ba.extend(rows(&b, 2 * head, 2));
        ba.extend(rows(&a, 2 * head, 2));
    }
    let dtype = qkv.dtype;
    for (name, count, bytes) in [("qkvz", 52, qkvz), ("ba", 8, ba)] {
        fused.tensors.insert(part(name), Tensor { dtype, shape: vec![count, 12], bytes });
    }
    fused.config["model_type"] = json!("qwen3_next");
    fused.config["num_experts"] = json!(0);
    fused
}
