//! `config.json`: the shape of a model, under the names that Hugging Face gives such things.

use std::num::NonZeroUsize;

use models::{DecoderConfig, Mixture};
use nn::{Activations, Nonlinearity};
use serde::{Deserialize, Serialize};

use crate::error::Problem;

const MODEL_TYPE: &str = "ternary";
const ARCHITECTURE: &str = "TernaryForCausalLM";

/// What is known of a model before its weights are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// The shape.
    pub(crate) decoder: DecoderConfig,
    /// How activations enter ternary products; none for a model without ternary weights.
    pub(crate) activations: Option<Activations>,
}

/// The file. Every key must be there, and no other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    architectures: Vec<String>,
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    intermediate_size: usize,
    hidden_act: HiddenAct,
    max_position_embeddings: usize,
    rope_theta: f64,
    rms_norm_eps: f64,
    use_sub_norms: bool,
    tie_word_embeddings: bool,
    /// Only with per-layer embeddings; the key is Gemma 3n's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hidden_size_per_layer_input: Option<NonZeroUsize>,
    /// Only with experts; then all five.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num_experts: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num_experts_per_tok: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    use_shared_expert: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    router_aux_loss_coef: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    router_z_loss_coef: Option<f64>,
    /// Only with ternary weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quantization_config: Option<Quantisation>,
}

/// The nonlinearity of the feed-forward nets, by the name of its function.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HiddenAct {
    Silu,
    Relu2,
    Gelu,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantisation {
    quant_method: String,
    activations: KeptActivations,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeptActivations {
    Int8,
    Real,
}

impl Config {
    /// The file's contents.
    ///
    /// # Errors
    /// A shape that no model can have.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, Problem> {
        let decoder = &self.decoder;
        check(decoder)?;
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
            intermediate_size: decoder.feed_forward,
            hidden_act: match decoder.nonlinearity {
                Nonlinearity::SwiGlu => HiddenAct::Silu,
                Nonlinearity::ReluSquared => HiddenAct::Relu2,
                Nonlinearity::Gelu => HiddenAct::Gelu,
            },
            max_position_embeddings: decoder.positions,
            rope_theta: decoder.rotary_base,
            rms_norm_eps: decoder.norm_epsilon,
            use_sub_norms: decoder.sub_norms,
            tie_word_embeddings: decoder.tied_head,
            hidden_size_per_layer_input: NonZeroUsize::new(decoder.per_layer),
            num_experts: decoder.mixture.as_ref().map(|mixture| mixture.experts),
            num_experts_per_tok: decoder.mixture.as_ref().map(|mixture| mixture.used),
            use_shared_expert: decoder.mixture.as_ref().map(|mixture| mixture.shared.is_some()),
            router_aux_loss_coef: decoder.mixture.as_ref().map(|mixture| mixture.balance),
            router_z_loss_coef: decoder.mixture.as_ref().map(|mixture| mixture.z),
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
        let mixture = mixture(&file)?;
        let decoder = DecoderConfig {
            vocabulary: file.vocab_size,
            width: file.hidden_size,
            layers: file.num_hidden_layers,
            heads: file.num_attention_heads,
            key_heads: file.num_key_value_heads,
            head_width: file.head_dim,
            rotary_width: file.head_dim,
            gated_attention: false,
            head_norms: false,
            shifted_norms: false,
            delta: None,
            feed_forward: file.intermediate_size,
            nonlinearity: match file.hidden_act {
                HiddenAct::Silu => Nonlinearity::SwiGlu,
                HiddenAct::Relu2 => Nonlinearity::ReluSquared,
                HiddenAct::Gelu => Nonlinearity::Gelu,
            },
            rotary_base: file.rope_theta,
            positions: file.max_position_embeddings,
            norm_epsilon: file.rms_norm_eps,
            sub_norms: file.use_sub_norms,
            tied_head: file.tie_word_embeddings,
            per_layer: file.hidden_size_per_layer_input.map_or(0, NonZeroUsize::get),
            mixture,
        };
        check(&decoder)?;
        Ok(Self { decoder, activations })
    }
}

/// The keys of a mixture: all of them, or none.
fn mixture(file: &File) -> Result<Option<Mixture>, Problem> {
    let File { num_experts, num_experts_per_tok, use_shared_expert, .. } = *file;
    let File { router_aux_loss_coef, router_z_loss_coef, .. } = *file;
    let given = [
        ("num_experts", num_experts.is_some()),
        ("num_experts_per_tok", num_experts_per_tok.is_some()),
        ("use_shared_expert", use_shared_expert.is_some()),
        ("router_aux_loss_coef", router_aux_loss_coef.is_some()),
        ("router_z_loss_coef", router_z_loss_coef.is_some()),
    ];
    if let (Some(experts), Some(used), Some(shared), Some(balance), Some(z)) = (
        num_experts,
        num_experts_per_tok,
        use_shared_expert,
        router_aux_loss_coef,
        router_z_loss_coef,
    ) {
        let width = file.intermediate_size;
        let shared = shared.then_some(width);
        let dense_layers = Vec::new();
        return Ok(Some(Mixture { experts, used, width, shared, dense_layers, balance, z }));
    }
    if let Some((present, _)) = given.into_iter().find(|&(_, is_given)| is_given) {
        let missing = given.into_iter().find(|&(_, is_given)| !is_given);
        let missing = missing.map_or("", |(key, _)| key);
        return Err(Problem::mismatch(missing, format!("a value beside {present}"), "nothing"));
    }
    Ok(None)
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
    })
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
        "norm_epsilon" => "rms_norm_eps",
        "per_layer" => "hidden_size_per_layer_input",
        "mixture.experts" => "num_experts",
        "mixture.used" => "num_experts_per_tok",
        "mixture.balance" => "router_aux_loss_coef",
        "mixture.z" => "router_z_loss_coef",
        other => other,
    }
}

#[cfg(test)]
mod tests {
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
        config.decoder.mixture = Some(MIXTURE);
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
                r#""use_shared_expert": true"#,
                r#""use_shared_expert": 1"#,
                "configuration: invalid type: integer `1`, expected a boolean",
            ),
            (
                r#""router_aux_loss_coef": 0.01"#,
                r#""router_aux_loss_coef": -0.01"#,
                "router_aux_loss_coef: expected a finite number of at least 0, found -0.01",
            ),
            (
                r#""num_experts": 4,"#,
                "",
                "num_experts: expected a value beside num_experts_per_tok",
            ),
            (
                r#""use_shared_expert": true,"#,
                "",
                "use_shared_expert: expected a value beside num_experts, found nothing",
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
}
