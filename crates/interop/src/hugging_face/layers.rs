//! What the layers of a `config.json` are: attention or gated delta nets, nets or mixtures of experts.

use models::{DeltaNets, Mixture};

use super::config::Family;
use crate::error::Problem;
use crate::json::{Json, Object};

const TYPES: &str = "layer_types";
/// What a layer may be called there.
const FULL: &str = "full_attention";
const LINEAR: &str = "linear_attention";
/// Every so many layers of a hybrid model one is of attention, unless it says otherwise.
const DEFAULT_INTERVAL: usize = 4;

/// The gated delta nets of a model, if any layer is one.
pub(super) fn delta_nets(
    family: Family,
    text: &Object<'_>,
    layers: usize,
) -> Result<Option<DeltaNets>, Problem> {
    let attention_layers = attention_layers(family, text, layers)?;
    if attention_layers.len() == layers {
        return Ok(None);
    }
    let size = |key: &str, default: usize| Ok::<_, Problem>(text.count(key)?.unwrap_or(default));
    Ok(Some(DeltaNets {
        key_heads: size("linear_num_key_heads", 16)?,
        value_heads: size("linear_num_value_heads", 32)?,
        key_width: size("linear_key_head_dim", 128)?,
        value_width: size("linear_value_head_dim", 128)?,
        kernel: size("linear_conv_kernel_dim", 4)?,
        is_fused: family == Family::Qwen3Next,
        attention_layers,
    }))
}

/// Which layers are of attention: by `layer_types`, or else every `full_attention_interval`-th of a hybrid
/// model.
fn attention_layers(
    family: Family,
    text: &Object<'_>,
    layers: usize,
) -> Result<Vec<usize>, Problem> {
    const INTERVAL: &str = "full_attention_interval";
    let Some(types) = text.list(TYPES)? else {
        check_windows(family, text, layers)?;
        if !family.is_hybrid() {
            return Ok((0..layers).collect());
        }
        let interval = text.count(INTERVAL)?.unwrap_or(DEFAULT_INTERVAL);
        if interval == 0 {
            return Err(text.refuse(INTERVAL, "at least 1", interval));
        }
        return Ok((0..layers).filter(|layer| (layer + 1).is_multiple_of(interval)).collect());
    };
    if types.len() != layers {
        let expected = format!("{layers}, as num_hidden_layers says");
        return Err(text.refuse(&format!("number of {TYPES}"), expected, types.len()));
    }
    let mut attention = Vec::new();
    for (layer, kind) in types.iter().enumerate() {
        match kind {
            Json::Text(kind) if kind == FULL => attention.push(layer),
            Json::Text(kind) if kind == LINEAR && family.is_hybrid() => {}
            other => {
                let linear = if family.is_hybrid() { "linear_attention or " } else { "" };
                let expected = format!("{linear}{FULL}");
                return Err(text.refuse(&format!("{TYPES}[{layer}]"), expected, other));
            }
        }
    }
    Ok(attention)
}

/// Refuses attention that sees a window only. Without `layer_types` it is that of the layers from
/// `max_window_layers` on.
fn check_windows(family: Family, text: &Object<'_>, layers: usize) -> Result<(), Problem> {
    const KEY: &str = "use_sliding_window";
    let has_windows = matches!(family, Family::Qwen2 | Family::Qwen3);
    // One that is absent is not none: the library then has one of its own.
    let is_none = |(key, value): (&str, &Json)| key == "sliding_window" && *value == Json::Null;
    if !has_windows || text.flag(KEY)? != Some(true) || text.iter().any(is_none) {
        return Ok(());
    }
    let full = text.count("max_window_layers")?.unwrap_or(0);
    if full >= layers {
        return Ok(());
    }
    let expected = format!("false, or max_window_layers of at least {layers}");
    Err(text.refuse(KEY, expected, format!("true with max_window_layers of {full}")))
}

/// The mixtures of experts of a model, if any layer is one.
pub(super) fn mixture(
    family: Family,
    text: &Object<'_>,
    layers: usize,
) -> Result<Option<Mixture>, Problem> {
    const STEP: &str = "decoder_sparse_step";
    if family != Family::Qwen3Next {
        return Ok(None);
    }
    let size = |key: &str| text.need(key, text.count(key)?);
    let experts = size("num_experts")?;
    let step = text.count(STEP)?.unwrap_or(1);
    if step == 0 {
        return Err(text.refuse(STEP, "at least 1", step));
    }
    let mut is_dense: Vec<bool> =
        (1..=layers).map(|layer| experts == 0 || !layer.is_multiple_of(step)).collect();
    for (index, layer) in text.list("mlp_only_layers")?.unwrap_or_default().iter().enumerate() {
        let place = match layer {
            Json::Count(layer) => usize::try_from(*layer).ok(),
            _ => None,
        };
        let Some(is_dense) = place.and_then(|layer| is_dense.get_mut(layer)) else {
            let key = format!("mlp_only_layers[{index}]");
            return Err(text.refuse(&key, format!("a layer below {layers}"), layer));
        };
        *is_dense = true;
    }
    if !is_dense.contains(&false) {
        return Ok(None);
    }
    if text.flag("norm_topk_prob")? == Some(false) {
        return Err(text.refuse("norm_topk_prob", true, false));
    }
    // Only a model that is told to give its routers' scores adds their loss.
    let balance = match text.flag("output_router_logits")? {
        Some(true) => text.real("router_aux_loss_coef")?.unwrap_or(0.001),
        _ => 0.0,
    };
    Ok(Some(Mixture {
        experts,
        used: size("num_experts_per_tok")?,
        width: size("moe_intermediate_size")?,
        shared: Some(size("shared_expert_intermediate_size")?).filter(|&width| width > 0),
        dense_layers: (0..layers).filter(|&layer| is_dense[layer]).collect(),
        balance,
        z: 0.0,
    }))
}
