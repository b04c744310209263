//! What is written is read, and what does not fit is named.

use models::{DeltaNets, Mixture};
use nn::ops::RotaryScaling;

use super::*;

const MIXTURE: Mixture = Mixture {
    experts: 4,
    used: 2,
    width: 384,
    shared: Some(384),
    dense_layers: Vec::new(),
    balance: 0.01,
    z: 1e-3 / 3.0,
};

fn tiny() -> Config {
    Config { decoder: DecoderConfig::tiny(), activations: Some(Activations::Int8) }
}

#[test]
fn every_shape_is_read_as_it_was_written_numbers_in_all_their_bits() {
    let nonlinearities = [Nonlinearity::SwiGlu, Nonlinearity::ReluSquared, Nonlinearity::Gelu];
    for (index, nonlinearity) in nonlinearities.into_iter().enumerate() {
        let decoder = DecoderConfig {
            nonlinearity,
            rotary_base: 10_000.0 + 0.1 * index as f64 + f64::EPSILON * 8192.0,
            rotary_scaling: (index == 1).then_some(RotaryScaling {
                factor: 8.0 / 3.0,
                slow: 1.0,
                fast: 4.0,
                positions: 8192,
            }),
            norm_epsilon: 1e-6 / 3.0,
            sub_norms: index == 1,
            tied_head: index == 2,
            per_layer: 8 * index,
            mixture: (index > 0)
                .then_some(Mixture { shared: (index == 1).then_some(384), ..MIXTURE }),
            ..DecoderConfig::tiny()
        };
        for activations in [None, Some(Activations::Int8), Some(Activations::Real)] {
            let config = Config { decoder: decoder.clone(), activations };
            assert_eq!(Config::from_json(&config.to_json().unwrap()).unwrap(), config);
        }
    }
}

#[test]
fn what_does_not_fit_is_named_by_its_key() {
    let json = String::from_utf8(tiny().to_json().unwrap()).unwrap();
    for (from, to, message) in [
        (
            r#""num_key_value_heads": 2"#,
            r#""num_key_value_heads": 3"#,
            "num_key_value_heads: expected a divisor of heads, found 3",
        ),
        (
            r#""vocab_size": 256"#,
            r#""vocab_size": 4294967296"#,
            "vocab_size: expected 1 to 2147483647, found 4294967296",
        ),
        (
            r#""vocab_size": 256"#,
            r#""vocab_size": -1"#,
            "configuration: invalid value: integer `-1`, expected usize at line",
        ),
        (
            r#""rope_theta": 10000.0"#,
            r#""rope_theta": 1e400"#,
            "configuration: number out of range at line",
        ),
        (
            r#""rope_theta": 10000.0"#,
            r#""rope_theta": 0"#,
            "rope_theta: expected a finite number above 1, found 0",
        ),
        (
            r#""vocab_size": 256"#,
            r#""vocab_size": 256, "vocab_size": 256"#,
            "configuration: duplicate field `vocab_size` at line",
        ),
        (
            r#""vocab_size": 256,"#,
            r#""vocab_size": 256, "bias": true,"#,
            "configuration: unknown field `bias`, expected one of",
        ),
        (r#""vocab_size": 256,"#, "", "configuration: missing field `vocab_size` at line"),
        (
            r#""hidden_act": "silu""#,
            r#""hidden_act": "tanh""#,
            "configuration: unknown variant `tanh`, expected one of `silu`, `relu2`, `gelu`",
        ),
        (
            r#""model_type": "ternary""#,
            r#""model_type": "llama""#,
            "model_type: expected ternary, found llama",
        ),
        (r#""TernaryForCausalLM""#, "", "architectures: expected TernaryForCausalLM, found "),
        (
            r#""quant_method": "ternary""#,
            r#""quant_method": "bitnet""#,
            "quantization_config.quant_method: expected ternary, found bitnet",
        ),
    ] {
        assert!(json.contains(from), "{from} in {json}");
        let error = Config::from_json(json.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with(message), "{message}: {error}");
    }
}

#[test]
fn keys_of_a_mixture_that_do_not_fit_are_named() {
    let mut config = tiny();
    config.decoder.mixture = Some(Mixture { dense_layers: vec![1], ..MIXTURE });
    let json = String::from_utf8(config.to_json().unwrap()).unwrap();
    for (from, to, message) in [
        (r#""num_experts": 4"#, r#""num_experts": 0"#, "num_experts: expected 1 to 2147483647"),
        (
            r#""num_experts_per_tok": 2"#,
            r#""num_experts_per_tok": 5"#,
            "num_experts_per_tok: expected 1 to the number of experts, found 5",
        ),
        (
            r#""num_experts": 4"#,
            r#""num_experts": -4"#,
            "configuration: invalid value: integer `-4`",
        ),
        (
            r#""shared_expert_intermediate_size": 384"#,
            r#""shared_expert_intermediate_size": 0"#,
            "shared_expert_intermediate_size: expected 1 to 2147483647, found 0",
        ),
        (
            r#""mlp_only_layers": ["#,
            r#""mlp_only_layers": [9, "#,
            "mlp_only_layers: expected numbers below that of the layers, found 9",
        ),
        (
            r#""router_aux_loss_coef": 0.01"#,
            r#""router_aux_loss_coef": -0.01"#,
            "router_aux_loss_coef: expected a finite number of at least 0, found -0.01",
        ),
        (r#""num_experts": 4,"#, "", "num_experts: expected a value beside num_experts_per_tok"),
        (
            r#""moe_intermediate_size": 384,"#,
            "",
            "moe_intermediate_size: expected a value beside num_experts, found nothing",
        ),
    ] {
        assert!(json.contains(from), "{from} in {json}");
        let error = Config::from_json(json.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with(message), "{message}: {error}");
    }
}

#[test]
fn a_shape_that_no_model_can_have_is_not_written() {
    let mut config = tiny();
    config.decoder.norm_epsilon = f64::NAN;
    let error = config.to_json().unwrap_err().to_string();
    assert_eq!(error, "rms_norm_eps: expected 0 to 1, found NaN");
}

#[test]
fn hybrids_are_read_as_they_were_written_and_their_keys_are_named() {
    let delta = DeltaNets {
        key_heads: 3,
        value_heads: 6,
        key_width: 5,
        value_width: 7,
        kernel: 2,
        is_fused: true,
        attention_layers: vec![0, 2],
    };
    let all = DeltaNets { attention_layers: vec![0, 1, 2, 3], is_fused: false, ..delta.clone() };
    for delta in [None, Some(delta.clone()), Some(all)] {
        for flag in [false, true] {
            let decoder = DecoderConfig {
                rotary_width: if flag { 14 } else { 32 },
                gated_attention: flag,
                head_norms: !flag,
                shifted_norms: flag,
                delta: delta.clone(),
                mixture: flag.then(|| Mixture { dense_layers: vec![3, 1], width: 9, ..MIXTURE }),
                ..DecoderConfig::hybrid()
            };
            let config = Config { decoder, activations: None };
            assert_eq!(Config::from_json(&config.to_json().unwrap()).unwrap(), config);
        }
    }
    let config = Config { decoder: DecoderConfig::hybrid(), activations: None };
    let json = String::from_utf8(config.to_json().unwrap()).unwrap();
    for (from, to, message) in [
        (
            r#""linear_num_value_heads": 4"#,
            r#""linear_num_value_heads": 3"#,
            "linear_num_value_heads: expected a multiple of the key heads, found 3",
        ),
        (
            r#""linear_num_value_heads": 4,"#,
            "",
            "linear_num_value_heads: expected a value beside layer_types, found nothing",
        ),
        (r#""rotary_dim": 8"#, r#""rotary_dim": 34"#, "rotary_dim: expected an even number up to"),
        (r#""full_attention""#, r#""sliding_attention""#, "configuration: unknown variant"),
        (
            r#""num_hidden_layers": 4"#,
            r#""num_hidden_layers": 2147483647"#,
            "number of layer_types: expected 2147483647, found 4",
        ),
    ] {
        assert!(json.contains(from), "{from} in {json}");
        let error = Config::from_json(json.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with(message), "{message}: {error}");
    }
}
