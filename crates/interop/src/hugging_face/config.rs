//! `config.json` as Hugging Face's transformers writes it.
//!
//! Read are those keys that a forward depends on; the many others are ignored. What would have to be
//! computed in a way that this project does not know is refused, so that no model is silently another.

use models::DecoderConfig;
use nn::Nonlinearity;

use super::layers::{delta_nets, mixture};
use super::rotary::Rotary;
use crate::config::check;
use crate::error::Problem;
use crate::json::{Json, Object};

/// Layers at the most: something is allocated for each of them before any tensor is looked for.
const MAX_LAYERS: usize = 1 << 16;
/// The `model_type` of models that see as well: the part that reads and writes is in `text_config`.
const NESTED: &str = "qwen3_5";

/// The models that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Qwen3Next,
    Qwen35,
}

impl Family {
    /// By `model_type`.
    const BY_NAME: [(&str, Self); 6] = [
        ("llama", Self::Llama),
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
        ("qwen3_next", Self::Qwen3Next),
        ("qwen3_5_text", Self::Qwen35),
        (NESTED, Self::Qwen35),
    ];

    /// Whether some of its layers are gated delta nets; then attention is gated, and norms are shifted.
    pub(super) fn is_hybrid(self) -> bool {
        matches!(self, Self::Qwen3Next | Self::Qwen35)
    }
}

/// What is known of a model before its tensors are read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    pub(super) decoder: DecoderConfig,
    pub(super) biases: Biases,
}

/// Which projections have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Biases {
    /// Queries, keys and values.
    pub(super) inputs: bool,
    /// The output of attention.
    pub(super) output: bool,
    /// Feed-forward nets.
    pub(super) channels: bool,
}

impl Biases {
    /// Whether the projection of a name has one.
    pub(super) fn has(self, name: &str) -> bool {
        match name.rsplit_once('.') {
            Some((_, "q_proj" | "k_proj" | "v_proj")) => self.inputs,
            Some((_, "o_proj")) => self.output,
            Some((_, "gate_proj" | "up_proj" | "down_proj")) => self.channels,
            _ => false,
        }
    }
}

impl Config {
    /// Reads the file's contents.
    ///
    /// # Errors
    /// [`Problem`] with the first key that is missing, does not fit, or asks for what is not known here.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, Problem> {
        let document = Json::read(json, "configuration")?;
        let root = document.object("configuration")?;
        let family = family(&root)?;
        let text = text_config(&root)?;
        for object in [&root, &text] {
            if let Some(quantisation) = object.object("quantization_config")? {
                let method =
                    quantisation.text("quant_method")?.unwrap_or("a method without a name");
                let expected = "none: weights as they were before that";
                return Err(object.refuse("quantization_config", expected, method));
            }
        }
        let decoder = decoder(family, &root, &text)?;
        check(&decoder)?;
        Ok(Self { biases: biases(family, &text)?, decoder })
    }
}

/// What a `model_type` says; none for one that is not known here.
fn family(root: &Object<'_>) -> Result<Family, Problem> {
    let name = root.need("model_type", root.text("model_type")?)?;
    let known = Family::BY_NAME.into_iter().find(|(known, _)| *known == name);
    known.map(|(_, family)| family).ok_or_else(|| {
        let names = Family::BY_NAME.map(|(name, _)| name).join(", ");
        root.refuse("model_type", format!("one of {names}"), name)
    })
}

/// The object that holds the sizes of the decoder.
fn text_config<'a>(root: &Object<'a>) -> Result<Object<'a>, Problem> {
    if root.text("model_type")? != Some(NESTED) {
        return Ok(root.clone());
    }
    let text = root.need("text_config", root.object("text_config")?)?;
    let expected = "qwen3_5_text";
    match text.text("model_type")? {
        Some(found) if found != expected => Err(text.refuse("model_type", expected, found)),
        _ => Ok(text),
    }
}

fn decoder(family: Family, root: &Object<'_>, text: &Object<'_>) -> Result<DecoderConfig, Problem> {
    let size = |key| text.need(key, text.count(key)?);
    let (width, heads, layers) =
        (size("hidden_size")?, size("num_attention_heads")?, size("num_hidden_layers")?);
    if layers > MAX_LAYERS {
        return Err(text.refuse("num_hidden_layers", format!("at most {MAX_LAYERS}"), layers));
    }
    let head_width = match text.count("head_dim")? {
        Some(width) => width,
        None if heads > 0 && width.is_multiple_of(heads) => width / heads,
        None => {
            let expected = format!("a number, as {heads} heads do not divide {width}");
            return Err(text.refuse("head_dim", expected, "nothing"));
        }
    };
    let rotary = Rotary::read(family, text, head_width)?;
    if family.is_hybrid() && text.flag("attn_output_gate")? == Some(false) {
        return Err(text.refuse("attn_output_gate", true, false));
    }
    Ok(DecoderConfig {
        vocabulary: size("vocab_size")?,
        width,
        layers,
        heads,
        key_heads: text.count("num_key_value_heads")?.unwrap_or(heads),
        head_width,
        rotary_width: rotary.width,
        feed_forward: size("intermediate_size")?,
        nonlinearity: nonlinearity(text)?,
        rotary_base: rotary.base,
        rotary_scaling: rotary.scaling,
        positions: size("max_position_embeddings")?,
        norm_epsilon: text.real("rms_norm_eps")?.unwrap_or(1e-6),
        shifted_norms: family.is_hybrid(),
        head_norms: !matches!(family, Family::Llama | Family::Qwen2),
        gated_attention: family.is_hybrid(),
        sub_norms: false,
        tied_head: tied_head(root, text)?,
        per_layer: 0,
        delta: delta_nets(family, text, layers)?,
        mixture: mixture(family, text, layers)?,
    })
}

/// The function between the gate and the products with it.
fn nonlinearity(text: &Object<'_>) -> Result<Nonlinearity, Problem> {
    match text.text("hidden_act")?.unwrap_or("silu") {
        "silu" | "swish" => Ok(Nonlinearity::SwiGlu),
        "relu2" => Ok(Nonlinearity::ReluSquared),
        other => Err(text.refuse("hidden_act", "silu or relu2", other)),
    }
}

/// The key stands in the whole configuration, in the part, or in both.
fn tied_head(root: &Object<'_>, text: &Object<'_>) -> Result<bool, Problem> {
    const KEY: &str = "tie_word_embeddings";
    match (root.flag(KEY)?, text.flag(KEY)?) {
        (Some(outer), Some(inner)) if outer != inner => {
            Err(text.refuse(KEY, format!("{outer}, as outside"), inner))
        }
        (outer, inner) => Ok(outer.or(inner).unwrap_or(false)),
    }
}

fn biases(family: Family, text: &Object<'_>) -> Result<Biases, Problem> {
    let attention = text.flag("attention_bias")?.unwrap_or(false);
    Ok(match family {
        // Always, and no key says so.
        Family::Qwen2 => Biases { inputs: true, output: false, channels: false },
        Family::Llama => {
            let channels = text.flag("mlp_bias")?.unwrap_or(false);
            Biases { inputs: attention, output: attention, channels }
        }
        _ => Biases { inputs: attention, output: attention, channels: false },
    })
}

#[cfg(test)]
mod tests;
