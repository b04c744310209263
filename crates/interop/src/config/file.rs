//! The keys of `config.json`, as they stand there.

use std::num::NonZeroUsize;

use nn::ops::RotaryScaling;
use serde::{Deserialize, Serialize};

/// The file. Every key must be there, and no other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) architectures: Vec<String>,
    pub(super) model_type: String,
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_key_value_heads: usize,
    pub(super) head_dim: usize,
    /// Only where less than a whole head is turned; the key is GPT-J's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rotary_dim: Option<usize>,
    /// Only where it is true, as the next two; the key is Qwen3.5's, the next is Cohere's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) attn_output_gate: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) use_qk_norm: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) use_shifted_norms: bool,
    pub(super) intermediate_size: usize,
    pub(super) hidden_act: HiddenAct,
    pub(super) max_position_embeddings: usize,
    pub(super) rope_theta: f64,
    /// Only where angles are changed; keys and values are Llama 3.1's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rope_scaling: Option<Scaling>,
    pub(super) rms_norm_eps: f64,
    pub(super) use_sub_norms: bool,
    pub(super) tie_word_embeddings: bool,
    /// Only with per-layer embeddings; the key is Gemma 3n's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hidden_size_per_layer_input: Option<NonZeroUsize>,
    /// Only with experts; then all five, and of the two after them those that say something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) num_experts: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) num_experts_per_tok: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) moe_intermediate_size: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) router_aux_loss_coef: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) router_z_loss_coef: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shared_expert_intermediate_size: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mlp_only_layers: Option<Vec<usize>>,
    /// Only with gated delta nets; then all seven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) layer_types: Option<Vec<LayerType>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) linear_num_key_heads: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) linear_num_value_heads: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) linear_key_head_dim: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) linear_value_head_dim: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) linear_conv_kernel_dim: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) use_fused_linear_projections: Option<bool>,
    /// Only with ternary weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) quantization_config: Option<Quantisation>,
}

/// The nonlinearity of the feed-forward nets, by the name of its function.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum HiddenAct {
    Silu,
    Relu2,
    Gelu,
}

/// How rotary angles are changed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scaling {
    pub(super) rope_type: ScalingType,
    pub(super) factor: f64,
    pub(super) low_freq_factor: f64,
    pub(super) high_freq_factor: f64,
    pub(super) original_max_position_embeddings: usize,
}

/// The one way to change them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ScalingType {
    Llama3,
}

impl From<RotaryScaling> for Scaling {
    fn from(RotaryScaling { factor, slow, fast, positions }: RotaryScaling) -> Self {
        Self {
            rope_type: ScalingType::Llama3,
            factor,
            low_freq_factor: slow,
            high_freq_factor: fast,
            original_max_position_embeddings: positions,
        }
    }
}

impl From<Scaling> for RotaryScaling {
    fn from(scaling: Scaling) -> Self {
        let Scaling { factor, low_freq_factor: slow, high_freq_factor: fast, .. } = scaling;
        Self { factor, slow, fast, positions: scaling.original_max_position_embeddings }
    }
}

/// What a layer has between positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LayerType {
    LinearAttention,
    FullAttention,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quantisation {
    pub(super) quant_method: String,
    pub(super) activations: KeptActivations,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeptActivations {
    Int8,
    Real,
}

/// A key that says nothing is left out.
fn is_false(flag: &bool) -> bool {
    !flag
}
