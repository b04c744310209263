//! What the layers of a `config.json` are: attention or gated delta nets, nets or mixtures of experts.

use super::config::Family;
use super::json::{Json, Object};
use super::pending::{DeltaNet, Mixture};
use crate::error::Problem;

/// What a layer may be called in `layer_types`.
const FULL: &str = "full_attention";
const LINEAR: &str = "linear_attention";
/// Every so many layers of a hybrid model one is of attention, unless it says otherwise.
const DEFAULT_INTERVAL: usize = 4;

/// The gated delta nets of a model, if any layer is one.
pub(super) fn delta_net(
    family: Family,
    text: &Object<'_>,
    layers: usize,
) -> Result<Option<DeltaNet>, Problem> {
    let layers = linear_layers(family, text, layers)?;
    if !layers.contains(&true) {
        return Ok(None);
    }
    let size = |key: &str, default: usize| Ok::<_, Problem>(text.count(key)?.unwrap_or(default));
    Ok(Some(DeltaNet {
        key_heads: size("linear_num_key_heads", 16)?,
        value_heads: size("linear_num_value_heads", 32)?,
        key_width: size("linear_key_head_dim", 128)?,
        value_width: size("linear_value_head_dim", 128)?,
        kernel: size("linear_conv_kernel_dim", 4)?,
        fused: family == Family::Qwen3Next,
        layers,
    }))
}

/// Which layers are gated delta nets: by `layer_types`, or else all but every `full_attention_interval`-th
/// of a hybrid model.
fn linear_layers(family: Family, text: &Object<'_>, layers: usize) -> Result<Vec<bool>, Problem> {
    const TYPES: &str = "layer_types";
    const INTERVAL: &str = "full_attention_interval";
    let Some(types) = text.list(TYPES)? else {
        check_windows(family, text, layers)?;
        if !family.is_hybrid() {
            return Ok(vec![false; layers]);
        }
        let interval = text.count(INTERVAL)?.unwrap_or(DEFAULT_INTERVAL);
        if interval == 0 {
            return Err(text.refuse(INTERVAL, "at least 1", interval));
        }
        return Ok((1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect());
    };
    if types.len() != layers {
        let expected = format!("{layers}, as num_hidden_layers says");
        return Err(text.refuse(&format!("number of {TYPES}"), expected, types.len()));
    }
    let is_linear = |(layer, kind): (usize, &Json)| match kind {
        Json::Text(kind) if kind == FULL => Ok(false),
        Json::Text(kind) if kind == LINEAR && family.is_hybrid() => Ok(true),
        other => {
            let expected =
                if family.is_hybrid() { format!("{LINEAR} or {FULL}") } else { FULL.to_owned() };
            Err(text.refuse(&format!("{TYPES}[{layer}]"), expected, other))
        }
    };
    types.iter().enumerate().map(is_linear).collect()
}

/// Refuses attention that sees a window only. Without `layer_types` it is that of the layers from
/// `max_window_layers` on.
fn check_windows(family: Family, text: &Object<'_>, layers: usize) -> Result<(), Problem> {
    const KEY: &str = "use_sliding_window";
    let has_windows = matches!(family, Family::Qwen2 | Family::Qwen3);
    if !has_windows || text.flag(KEY)? != Some(true) || text.get("sliding_window").is_none() {
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
    let mut mixtures: Vec<bool> =
        (1..=layers).map(|layer| experts > 0 && layer.is_multiple_of(step)).collect();
    for (index, layer) in text.list("mlp_only_layers")?.unwrap_or_default().iter().enumerate() {
        let place = match layer {
            Json::Count(layer) => usize::try_from(*layer).ok(),
            _ => None,
        };
        let Some(mixture) = place.and_then(|layer| mixtures.get_mut(layer)) else {
            let key = format!("mlp_only_layers[{index}]");
            return Err(text.refuse(&key, format!("a layer below {layers}"), layer));
        };
        *mixture = false;
    }
    if !mixtures.contains(&true) {
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
        balance,
        z: 0.0,
        layers: mixtures,
    }))
}
