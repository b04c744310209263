use lora_backward::Adapter;

use super::*;
use crate::adapters::Prefix;

const QKV: &str = "model.layers.0.linear_attn.in_proj_qkv";
const Q: &str = "model.layers.3.self_attn.q_proj";
const SCALING: Scaling = Scaling { alpha: 5.0, rank_stabilised: false };

fn adapters<T: Real>(modules: &[&str], rank: usize, scaling: Scaling) -> Adapters<T> {
    let mut adapters = Adapters::default();
    for module in modules {
        let mut adapter = Adapter::kaiming(module, [7, 5], rank, scaling, 3).unwrap();
        for (index, number) in adapter.b.iter_mut().enumerate() {
            *number = T::from_f64(index as f64 / 8.0);
        }
        for number in &mut adapter.a {
            *number = T::from_f32(number.to_f32());
        }
        adapters.insert(*module, adapter).unwrap();
    }
    adapters
}

fn options(prefix: Prefix) -> Options {
    Options { prefix, base: None }
}

fn with(config: &str) -> Files {
    let files = to_bytes(&adapters::<f32>(&[QKV, Q], 2, SCALING), &Options::default()).unwrap();
    Files { config: config.as_bytes().to_vec(), ..files }
}

#[test]
fn adapters_come_back_in_the_same_bits_under_both_prefixes() {
    fn check<T: Real>() {
        let mut adapters = adapters::<T>(&[QKV, Q, "lm_head"], 2, SCALING);
        adapters.dropout = 0.1;
        for prefix in [Prefix::Plain, Prefix::Nested] {
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), &adapters, &options(prefix)).unwrap();
            assert_eq!(read::<T>(directory.path()).unwrap(), adapters);
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn what_is_written_is_what_mlx_lm_has_names_shapes_and_keys_for() {
    let adapters = adapters::<f32>(&[QKV, Q, "lm_head"], 2, SCALING);
    let files = to_bytes(&adapters, &options(Prefix::Nested)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&files.weights).unwrap();
    let a = tensors.tensor(&format!("language_model.{Q}.lora_a")).unwrap();
    let b = tensors.tensor(&format!("language_model.{Q}.lora_b")).unwrap();
    assert_eq!((a.shape(), b.shape()), (&[5, 2][..], &[2, 7][..]));
    // Row 1 of the file is column 1 of ours.
    let number =
        |index: usize| f32::from_le_bytes(a.data()[4 * index..4 * index + 4].try_into().unwrap());
    let ours = adapters.get(Q).unwrap();
    assert_eq!([number(2), number(3)], [ours.a[1], ours.a[5 + 1]]);
    let config: serde_json::Value = serde_json::from_slice(&files.config).unwrap();
    let keys = ["language_model.lm_head", "linear_attn.in_proj_qkv", "self_attn.q_proj"];
    let expected = serde_json::json!({
        "fine_tune_type": "lora",
        "lora_parameters": {"dropout": 0.0, "keys": keys, "rank": 2, "scale": 2.5},
        "num_layers": -1
    });
    assert_eq!(config, expected);
}

#[test]
fn a_configuration_of_mlx_lm_is_read() {
    for config in [
        r#"{"fine_tune_type":"lora","num_layers":4,"iters":600,"lora_parameters":
            {"rank":2,"scale":20.0,"dropout":0.0}}"#,
        r#"{"lora_layers":16,"lora_parameters":{"rank":2,"scale":20,"keys":
            ["self_attn.q_proj","linear_attn.in_proj_qkv"]}}"#,
        r#"{"num_layers":-1,"lora_parameters":{"rank":2,"scale":20.0,"keys":
            ["self_attn.q_proj","model.layers.0.linear_attn.in_proj_qkv"]}}"#,
    ] {
        let adapters = from_bytes::<f64>(&with(config)).unwrap();
        assert_eq!((adapters.len(), adapters.get(Q).unwrap().factor()), (2, 20.0));
    }
}

#[test]
fn what_would_make_the_adapter_another_one_is_refused_by_its_key() {
    let parameters = r#""lora_parameters":{"rank":2,"scale":1.0}"#;
    for (config, message) in [
        (format!(r#"{{"fine_tune_type":"dora",{parameters}}}"#), "fine_tune_type: expected lora"),
        (format!(r#"{{"fine_tune_type":"full",{parameters}}}"#), "fine_tune_type: expected lora"),
        (format!(r#"{{"use_dora":true,{parameters}}}"#), "use_dora: expected false, found true"),
        ("{}".into(), "key \"lora_parameters\" is missing"),
        (r#"{"lora_parameters":{"rank":2}}"#.into(), "key \"lora_parameters.scale\" is missing"),
        (r#"{"lora_parameters":{"scale":2}}"#.into(), "key \"lora_parameters.rank\" is missing"),
        (
            r#"{"lora_parameters":{"rank":2,"scale":1,"keys":["self_attn.q_proj"]}}"#.into(),
            "lora_parameters.keys: expected every module of the tensors, as MLX-LM passes over others, \
             found none for \"model.layers.0.linear_attn.in_proj_qkv\"",
        ),
        (
            format!(r#"{{"num_layers":3,{parameters}}}"#),
            "num_layers: expected at least 4, to reach layer 0 from 3, found 3",
        ),
        (
            r#"{"lora_parameters":{"rank":3,"scale":1}}"#.into(),
            "rank: expected 3, as adapter_config.json says, found 2",
        ),
        (
            r#"{"lora_parameters":{"rank":2,"scale":1,"dropout":-1}}"#.into(),
            "lora_parameters.dropout: expected a share from 0 to below 1, found -1",
        ),
        (
            r#"{"lora_parameters":{"rank":2,"scale":1e38}}"#.into(),
            "lora_parameters.scale: expected a number from -1000000 to 1000000, found 1e38",
        ),
        (
            format!(r#"{{"fine_tune_type":"\u001b[2J",{parameters}}}"#),
            r#"in another way, found "\u{1b}[2J""#,
        ),
    ] {
        let error = from_bytes::<f32>(&with(&config)).unwrap_err().to_string();
        assert!(error.contains(message), "{config}: {error}");
    }
}

#[test]
fn adapters_that_the_format_cannot_hold_are_not_written() {
    let refused = |adapters: &Adapters<f64>| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("adapter");
        let error = write(&path, adapters, &Options::default()).unwrap_err().to_string();
        assert!(!path.exists());
        error
    };
    let mut two = adapters(&[QKV], 2, SCALING);
    let other = Adapter::kaiming(Q, [7, 5], 3, SCALING, 1).unwrap();
    two.insert(Q, other).unwrap();
    assert!(
        refused(&two).contains("expected one rank and one factor, as MLX-LM has: 2 and 2.5 of")
    );
    let mut fine = adapters(&[Q], 2, SCALING);
    let mut adapter = fine.get(Q).unwrap().clone();
    adapter.a[0] = 0.1;
    fine.insert(QKV, adapter).unwrap();
    assert!(refused(&fine).contains("expected numbers that F32 holds, as MLX-LM reads no F64"));
    assert!(refused(&Adapters::default()).contains("adapters: expected one at least, found none"));
    let nested = format!("language_model.{Q}");
    assert!(refused(&adapters(&[&nested], 2, SCALING)).contains("expected a name and a factor"));
}

#[test]
fn a_factor_that_is_rank_stabilised_is_held_to_its_last_bit() {
    let scaling = Scaling { alpha: 5.0, rank_stabilised: true };
    let adapters = adapters::<f32>(&[Q], 3, scaling);
    let read = from_bytes::<f32>(&to_bytes(&adapters, &Options::default()).unwrap()).unwrap();
    let (expected, found) = (adapters.get(Q).unwrap(), read.get(Q).unwrap());
    assert!((found.factor() - expected.factor()).abs() <= 2.0 * f64::EPSILON * expected.factor());
    assert_eq!((&found.a, &found.b), (&expected.a, &expected.b));
}
