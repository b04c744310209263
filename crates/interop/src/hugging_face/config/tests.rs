//! What a `config.json` says, and what is refused of it.

use models::{DeltaNets, Mixture};
use nn::ops::RotaryScaling;
use serde_json::{Value, json};

use super::*;

fn read(config: &Value) -> Result<Config, Problem> {
    Config::from_json(config.to_string().as_bytes())
}

fn message(config: &Value) -> String {
    read(config).unwrap_err().to_string()
}

/// `config` with other values under some keys, or without where the value is null.
fn with(config: &Value, changes: Value) -> Value {
    let mut config = config.clone();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32,
        "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 40, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5, "rope_theta": 500000, "bos_token_id": [1, 2], "some_new_key": {"a": 1}
    })
}

fn qwen3_5() -> Value {
    json!({
        "model_type": "qwen3_5_text", "vocab_size": 32, "hidden_size": 24, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "intermediate_size": 40, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
        "linear_value_head_dim": 12, "linear_conv_kernel_dim": 3, "attn_output_gate": true,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e7,
                            "partial_rotary_factor": 0.25, "mrope_section": [1, 1]}
    })
}

fn qwen3_next() -> Value {
    let moe = json!({
        "model_type": "qwen3_next", "num_experts": 6, "num_experts_per_tok": 2,
        "moe_intermediate_size": 20, "shared_expert_intermediate_size": 28,
        "norm_topk_prob": true, "router_aux_loss_coef": 0.01, "decoder_sparse_step": 2
    });
    with(&qwen3_5(), moe)
}

#[test]
fn a_dense_decoder_is_plain_but_for_what_its_family_adds() {
    let Config { decoder, biases } = read(&llama()).unwrap();
    assert_eq!((decoder.vocabulary, decoder.width, decoder.layers), (32, 24, 3));
    assert_eq!((decoder.heads, decoder.key_heads, decoder.head_width), (4, 2, 6));
    assert_eq!((decoder.rotary_width, decoder.rotary_base), (6, 500_000.0));
    assert_eq!((decoder.feed_forward, decoder.positions), (40, 64));
    assert_eq!((decoder.norm_epsilon, decoder.nonlinearity), (1e-5, Nonlinearity::SwiGlu));
    assert!(!decoder.shifted_norms && !decoder.head_norms && !decoder.gated_attention);
    assert!(!decoder.tied_head && !decoder.sub_norms);
    assert_eq!((&decoder.delta, &decoder.mixture, decoder.per_layer), (&None, &None, 0));
    assert_eq!(biases, Biases { inputs: false, output: false, channels: false });

    let qwen2 = read(&with(&llama(), json!({"model_type": "qwen2"}))).unwrap();
    assert_eq!(qwen2.biases, Biases { inputs: true, output: false, channels: false });
    assert_eq!(qwen2.decoder, decoder);
    let qwen3 = json!({"model_type": "qwen3", "head_dim": 8, "attention_bias": true});
    let qwen3 = read(&with(&llama(), qwen3)).unwrap();
    assert_eq!(qwen3.biases, Biases { inputs: true, output: true, channels: false });
    assert!(qwen3.decoder.head_norms && !qwen3.decoder.shifted_norms);
    assert_eq!(qwen3.decoder.head_width, 8);

    let changes = json!({
        "num_key_value_heads": null, "rope_theta": null, "rms_norm_eps": null, "mlp_bias": true,
        "tie_word_embeddings": true, "hidden_act": "relu2"
    });
    let changed = read(&with(&llama(), changes)).unwrap();
    assert_eq!(changed.biases, Biases { inputs: false, output: false, channels: true });
    assert_eq!((changed.decoder.key_heads, changed.decoder.rotary_base), (4, 10_000.0));
    assert_eq!(changed.decoder.norm_epsilon, 1e-6);
    assert!(changed.decoder.tied_head);
    assert_eq!(changed.decoder.nonlinearity, Nonlinearity::ReluSquared);
}

#[test]
fn a_hybrid_has_shifted_norms_gates_and_the_layers_it_lists() {
    let Config { decoder, .. } = read(&qwen3_5()).unwrap();
    assert!(decoder.shifted_norms && decoder.head_norms && decoder.gated_attention);
    assert_eq!((decoder.rotary_width, decoder.rotary_base), (4, 1e7));
    let delta = DeltaNets {
        key_heads: 2,
        value_heads: 4,
        key_width: 8,
        value_width: 12,
        kernel: 3,
        is_fused: false,
        attention_layers: vec![3],
    };
    assert_eq!(decoder.delta, Some(delta.clone()));
    assert_eq!(decoder.mixture, None);

    let types = json!({"layer_types": [
        "full_attention", "linear_attention", "full_attention", "full_attention"
    ]});
    let listed = read(&with(&qwen3_5(), types)).unwrap().decoder;
    let attention_layers = vec![0, 2, 3];
    assert_eq!(listed.delta, Some(DeltaNets { attention_layers, ..delta.clone() }));
    let interval = read(&with(&qwen3_5(), json!({"full_attention_interval": 2}))).unwrap().decoder;
    let attention_layers = vec![1, 3];
    assert_eq!(interval.delta, Some(DeltaNets { attention_layers, ..delta }));
    let none = read(&with(&qwen3_5(), json!({"full_attention_interval": 1}))).unwrap().decoder;
    assert_eq!(none.delta, None);
}

#[test]
fn the_part_that_reads_is_found_in_a_model_that_sees() {
    let outer = json!({"model_type": "qwen3_5", "text_config": qwen3_5(), "vision_config": {}});
    assert_eq!(read(&outer).unwrap(), read(&qwen3_5()).unwrap());
    let tied = read(&with(&outer, json!({"tie_word_embeddings": true}))).unwrap();
    assert!(tied.decoder.tied_head);
    let inner = with(&qwen3_5(), json!({"tie_word_embeddings": false}));
    let changes = json!({"tie_word_embeddings": true, "text_config": inner});
    let message_of = |changes| message(&with(&outer, changes));
    let expected = "text_config.tie_word_embeddings: expected true, as outside, found false";
    assert_eq!(message_of(changes), expected);
    let inner = with(&qwen3_5(), json!({"hidden_size": null}));
    let expected = "key \"text_config.hidden_size\" is missing";
    assert_eq!(message_of(json!({"text_config": inner})), expected);
    let expected = "text_config.model_type: expected qwen3_5_text, found llama";
    assert_eq!(message_of(json!({"text_config": llama()})), expected);
    assert_eq!(message_of(json!({"text_config": null})), "key \"text_config\" is missing");
}

#[test]
fn mixtures_are_where_the_step_puts_them_and_no_plain_net_is_asked_for() {
    let mixture = Mixture {
        experts: 6,
        used: 2,
        width: 20,
        shared: Some(28),
        balance: 0.0,
        z: 0.0,
        dense_layers: vec![0, 2],
    };
    let next = read(&qwen3_next()).unwrap().decoder;
    assert!(next.delta.is_some_and(|delta| delta.is_fused));
    assert_eq!(next.mixture, Some(mixture.clone()));
    let of = |changes| read(&with(&qwen3_next(), changes)).unwrap().decoder.mixture;
    let changes = json!({"mlp_only_layers": [3], "output_router_logits": true});
    let dense_layers = vec![0, 2, 3];
    assert_eq!(of(changes), Some(Mixture { balance: 0.01, dense_layers, ..mixture.clone() }));
    let all = Mixture { dense_layers: vec![], shared: None, ..mixture };
    let changes = json!({"decoder_sparse_step": null, "shared_expert_intermediate_size": 0});
    assert_eq!(of(changes), Some(all));
    assert_eq!(of(json!({"num_experts": 0})), None);
    // Without a mixture nothing about mixtures is asked for.
    assert_eq!(of(json!({"mlp_only_layers": [1, 3], "norm_topk_prob": false})), None);
}

#[test]
fn angles_are_read_nested_and_flat() {
    let nested = read(&qwen3_5()).unwrap();
    let flat = json!({
        "rope_parameters": null, "rope_theta": 1e7, "partial_rotary_factor": 0.25,
        "rope_scaling": {"type": "default"}
    });
    assert_eq!(read(&with(&qwen3_5(), flat)).unwrap(), nested);
    let both = json!({"rope_theta": 1e7});
    assert_eq!(read(&with(&qwen3_5(), both)).unwrap(), nested);
    let whole = json!({"rope_parameters": {"rope_theta": 1e7, "partial_rotary_factor": 1}});
    assert_eq!(read(&with(&qwen3_5(), whole)).unwrap().decoder.rotary_width, 16);
    let default = json!({"rope_parameters": {"rope_theta": 1e7}});
    assert_eq!(read(&with(&qwen3_5(), default)).unwrap(), nested);
    let dense = json!({"rope_theta": null, "rope_parameters": {"rope_theta": 7.5}});
    assert_eq!(read(&with(&llama(), dense)).unwrap().decoder.rotary_base, 7.5);
}

#[test]
fn angles_of_llama_3_1_are_read_nested_and_flat() {
    let scaling = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192
    });
    let scaled = with(&llama(), json!({"rope_scaling": scaling}));
    let expected = RotaryScaling { factor: 8.0, slow: 1.0, fast: 4.0, positions: 8192 };
    assert_eq!(read(&scaled).unwrap().decoder.rotary_scaling, Some(expected));
    let mut nested = scaling;
    nested["rope_theta"] = json!(5e5);
    let nested = with(&llama(), json!({"rope_theta": null, "rope_parameters": nested}));
    assert_eq!(read(&nested).unwrap().decoder.rotary_scaling, Some(expected));
}

#[test]
fn what_would_be_computed_otherwise_is_refused_by_its_key() {
    let (dense, hybrid) = (llama(), qwen3_5());
    let qwen2 = with(&dense, json!({"model_type": "qwen2"}));
    let window = json!({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 2});
    for (config, changes, expected) in [
        (
            &dense,
            json!({"model_type": "mamba"}),
            "model_type: expected one of llama, qwen2, qwen3,",
        ),
        (&dense, json!({"model_type": null}), "key \"model_type\" is missing"),
        (&dense, json!({"vocab_size": null}), "key \"vocab_size\" is missing"),
        (&dense, json!({"vocab_size": 3.5}), "vocab_size: expected a number of things, found 3.5"),
        (&dense, json!({"vocab_size": 0}), "vocab_size: expected 1 to 2147483647, found 0"),
        (&dense, json!({"hidden_size": 25}), "head_dim: expected a number, as 4 heads do not"),
        (&dense, json!({"num_attention_heads": 0}), "head_dim: expected a number, as 0 heads"),
        (&dense, json!({"num_key_value_heads": 3}), "num_key_value_heads: expected a divisor of"),
        (&dense, json!({"hidden_act": "gelu"}), "hidden_act: expected silu or relu2, found gelu"),
        (&dense, json!({"rope_theta": 0.5}), "rope_theta: expected a finite number above 1"),
        (
            &dense,
            json!({"num_hidden_layers": 2147483647}),
            "num_hidden_layers: expected at most 65536, found 2147483647",
        ),
        (
            &dense,
            json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}),
            "key \"rope_scaling.low_freq_factor\" is missing",
        ),
        (
            &dense,
            json!({"rope_scaling": {"type": "linear", "factor": 2.0}}),
            "rope_scaling.type: expected default or llama3, found linear",
        ),
        (
            &hybrid,
            json!({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e7}}),
            "rope_parameters.rope_type: expected default or llama3, found yarn",
        ),
        (
            &dense,
            json!({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}}),
            "rope_parameters.full_attention: expected the same angles in all layers",
        ),
        (
            &hybrid,
            json!({"rope_theta": 1e4}),
            "rope_theta: expected 10000000, as in rope_parameters, found 10000",
        ),
        (&hybrid, json!({"rope_parameters": null}), "key \"rope_theta\" is missing"),
        (
            &dense,
            json!({"partial_rotary_factor": 0.5}),
            "partial_rotary_factor: expected 1 for models of this type, found 0.5",
        ),
        (
            &hybrid,
            json!({"rope_parameters": {"rope_theta": 1e7, "partial_rotary_factor": 1.5}}),
            "partial_rotary_factor: expected above 0 and at most 1, found 1.5",
        ),
        (
            &qwen2,
            window.clone(),
            "use_sliding_window: expected false, or max_window_layers of at least 3",
        ),
        (
            &qwen2,
            json!({"use_sliding_window": true}),
            "use_sliding_window: expected false, or max_window_layers of at least 3",
        ),
        (
            &dense,
            json!({"head_dim": 3}),
            "head_dim: expected an even number of at least 2, found 3",
        ),
        (
            &qwen2,
            json!({"layer_types": ["full_attention", "full_attention", "sliding_attention"]}),
            "layer_types[2]: expected full_attention, found \"sliding_attention\"",
        ),
        (
            &hybrid,
            json!({"layer_types": ["linear_attention"]}),
            "number of layer_types: expected 4, as num_hidden_layers says, found 1",
        ),
        (
            &hybrid,
            json!({"layer_types": [1, 2, 3, 4]}),
            "layer_types[0]: expected linear_attention or full_attention, found 1",
        ),
        (
            &hybrid,
            json!({"full_attention_interval": 0}),
            "full_attention_interval: expected at least 1, found 0",
        ),
        (
            &hybrid,
            json!({"attn_output_gate": false}),
            "attn_output_gate: expected true, found false",
        ),
        (
            &hybrid,
            json!({"quantization_config": {"quant_method": "fp8"}}),
            "quantization_config: expected none: weights as they were before that, found fp8",
        ),
        (&qwen3_next(), json!({"norm_topk_prob": false}), "norm_topk_prob: expected true, found"),
        (
            &qwen3_next(),
            json!({"decoder_sparse_step": 0}),
            "decoder_sparse_step: expected at least",
        ),
        (&qwen3_next(), json!({"num_experts": null}), "key \"num_experts\" is missing"),
        (&qwen3_next(), json!({"mlp_only_layers": [4]}), "mlp_only_layers[0]: expected a layer"),
    ] {
        let found = message(&with(config, changes));
        assert!(found.starts_with(expected), "{expected}\n{found}");
    }
    // Windows that no layer has.
    for harmless in [
        json!({"use_sliding_window": false, "sliding_window": 8}),
        json!({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 3}),
        json!({"use_sliding_window": true, "sliding_window": null}),
    ] {
        assert!(read(&with(&qwen2, harmless)).is_ok());
    }
    assert!(read(&with(&dense, window)).is_ok(), "a key that this family does not have");
}
