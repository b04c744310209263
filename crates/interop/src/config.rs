//! `config.json`: the shape of a model, under the names that Hugging Face gives such things.

mod file;
mod layers;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

use models::DecoderConfig;
use nn::{Activations, Nonlinearity};

use self::file::{File, HiddenAct, KeptActivations, Quantisation};
use self::layers::{delta_nets, layer_types, mixture};
use crate::error::Problem;

/// The `model_type` of directories of this layout.
pub(crate) const MODEL_TYPE: &str = "ternary";
/// Numbers in a head at the most.
const MAX_HEAD_WIDTH: usize = 1 << 16;
const ARCHITECTURE: &str = "TernaryForCausalLM";

/// What is known of a model before its weights are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// The shape.
    pub(crate) decoder: DecoderConfig,
    /// How activations enter ternary products; none for a model without ternary weights.
    pub(crate) activations: Option<Activations>,
}

impl Config {
    /// The file's contents.
    ///
    /// # Errors
    /// A shape that no model can have.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, Problem> {
        let decoder = &self.decoder;
        check(decoder)?;
        let (mixture, delta) = (decoder.mixture.as_ref(), decoder.delta.as_ref());
        let quantization_config = self.activations.map(|activations| Quantisation {
            quant_method: MODEL_TYPE.into(),
            activations: match activations {
                Activations::Int8 => KeptActivations::Int8,
                Activations::Real => KeptActivations::Real,
            },
        });
        let file = File {
            architectures: vec![ARCHITECTURE.into()],
            model_type: MODEL_TYPE.into(),
            vocab_size: decoder.vocabulary,
            hidden_size: decoder.width,
            num_hidden_layers: decoder.layers,
            num_attention_heads: decoder.heads,
            num_key_value_heads: decoder.key_heads,
            head_dim: decoder.head_width,
            rotary_dim: Some(decoder.rotary_width).filter(|&width| width != decoder.head_width),
            attn_output_gate: decoder.gated_attention,
            use_qk_norm: decoder.head_norms,
            use_shifted_norms: decoder.shifted_norms,
            intermediate_size: decoder.feed_forward,
            hidden_act: match decoder.nonlinearity {
                Nonlinearity::SwiGlu => HiddenAct::Silu,
                Nonlinearity::ReluSquared => HiddenAct::Relu2,
                Nonlinearity::Gelu => HiddenAct::Gelu,
            },
            max_position_embeddings: decoder.positions,
            rope_theta: decoder.rotary_base,
            rope_scaling: decoder.rotary_scaling.map(Into::into),
            rms_norm_eps: decoder.norm_epsilon,
            use_sub_norms: decoder.sub_norms,
            tie_word_embeddings: decoder.tied_head,
            hidden_size_per_layer_input: NonZeroUsize::new(decoder.per_layer),
            num_experts: mixture.map(|mixture| mixture.experts),
            num_experts_per_tok: mixture.map(|mixture| mixture.used),
            moe_intermediate_size: mixture.map(|mixture| mixture.width),
            router_aux_loss_coef: mixture.map(|mixture| mixture.balance),
            router_z_loss_coef: mixture.map(|mixture| mixture.z),
            shared_expert_intermediate_size: mixture.and_then(|mixture| mixture.shared),
            mlp_only_layers: mixture
                .map(|mixture| mixture.dense_layers.clone())
                .filter(|layers| !layers.is_empty()),
            layer_types: delta.map(|delta| layer_types(delta, decoder.layers)),
            linear_num_key_heads: delta.map(|delta| delta.key_heads),
            linear_num_value_heads: delta.map(|delta| delta.value_heads),
            linear_key_head_dim: delta.map(|delta| delta.key_width),
            linear_value_head_dim: delta.map(|delta| delta.value_width),
            linear_conv_kernel_dim: delta.map(|delta| delta.kernel),
            use_fused_linear_projections: delta.map(|delta| delta.is_fused),
            quantization_config,
        };
        let mut json = serde_json::to_vec_pretty(&file)
            .map_err(|source| Problem::Json { what: "configuration", source })?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads the file's contents.
    ///
    /// # Errors
    /// [`Problem`] with the first key or number that does not fit.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, Problem> {
        let file: File = serde_json::from_slice(json)
            .map_err(|source| Problem::Json { what: "configuration", source })?;
        expect("model_type", MODEL_TYPE, &file.model_type)?;
        expect("architectures", ARCHITECTURE, &file.architectures.join(", "))?;
        let activations = match &file.quantization_config {
            None => None,
            Some(Quantisation { quant_method, activations }) => {
                expect("quantization_config.quant_method", MODEL_TYPE, quant_method)?;
                Some(match activations {
                    KeptActivations::Int8 => Activations::Int8,
                    KeptActivations::Real => Activations::Real,
                })
            }
        };
        let decoder = DecoderConfig {
            vocabulary: file.vocab_size,
            width: file.hidden_size,
            layers: file.num_hidden_layers,
            heads: file.num_attention_heads,
            key_heads: file.num_key_value_heads,
            head_width: file.head_dim,
            rotary_width: file.rotary_dim.unwrap_or(file.head_dim),
            gated_attention: file.attn_output_gate,
            head_norms: file.use_qk_norm,
            shifted_norms: file.use_shifted_norms,
            delta: delta_nets(&file)?,
            feed_forward: file.intermediate_size,
            nonlinearity: match file.hidden_act {
                HiddenAct::Silu => Nonlinearity::SwiGlu,
                HiddenAct::Relu2 => Nonlinearity::ReluSquared,
                HiddenAct::Gelu => Nonlinearity::Gelu,
            },
            rotary_base: file.rope_theta,
            rotary_scaling: file.rope_scaling.map(Into::into),
            positions: file.max_position_embeddings,
            norm_epsilon: file.rms_norm_eps,
            sub_norms: file.use_sub_norms,
            tied_head: file.tie_word_embeddings,
            per_layer: file.hidden_size_per_layer_input.map_or(0, NonZeroUsize::get),
            mixture: mixture(&file)?,
        };
        check(&decoder)?;
        Ok(Self { decoder, activations })
    }
}

fn expect(key: &str, expected: &str, found: &str) -> Result<(), Problem> {
    if expected == found { Ok(()) } else { Err(Problem::mismatch(key, expected, found)) }
}

/// Checks the shape, and names what does not fit by its key in the file.
pub(crate) fn check(decoder: &DecoderConfig) -> Result<(), Problem> {
    decoder.check().map_err(|error| match error {
        models::Error::Config { field, expected, found } => {
            Problem::mismatch(key(field), expected, found)
        }
        other => other.into(),
    })?;
    // Angles are made before the first tensor of a head is looked for.
    let width = decoder.head_width;
    if width > MAX_HEAD_WIDTH {
        return Err(Problem::mismatch("head_dim", format!("at most {MAX_HEAD_WIDTH}"), width));
    }
    Ok(())
}

/// The key of a field of [`DecoderConfig`].
fn key(field: &'static str) -> &'static str {
    match field {
        "vocabulary" => "vocab_size",
        "width" => "hidden_size",
        "layers" => "num_hidden_layers",
        "heads" => "num_attention_heads",
        "key_heads" => "num_key_value_heads",
        "head_width" => "head_dim",
        "feed_forward" => "intermediate_size",
        "positions" => "max_position_embeddings",
        "rotary_base" => "rope_theta",
        "rotary_scaling.factor" => "rope_scaling.factor",
        "rotary_scaling.fast" => "rope_scaling.high_freq_factor",
        "rotary_scaling.positions" => "rope_scaling.original_max_position_embeddings",
        "norm_epsilon" => "rms_norm_eps",
        "per_layer" => "hidden_size_per_layer_input",
        "rotary_width" => "rotary_dim",
        "delta.key_heads" => "linear_num_key_heads",
        "delta.value_heads" => "linear_num_value_heads",
        "delta.key_width" => "linear_key_head_dim",
        "delta.value_width" => "linear_value_head_dim",
        "delta.kernel" => "linear_conv_kernel_dim",
        "delta.attention_layers" => "layer_types",
        "mixture.width" => "moe_intermediate_size",
        "mixture.shared" => "shared_expert_intermediate_size",
        "mixture.dense_layers" => "mlp_only_layers",
        "mixture.experts" => "num_experts",
        "mixture.used" => "num_experts_per_tok",
        "mixture.balance" => "router_aux_loss_coef",
        "mixture.z" => "router_z_loss_coef",
        other => other,
    }
}
