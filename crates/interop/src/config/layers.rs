//! Keys that say what layers are, which are there together or not at all.

use models::{DeltaNets, Mixture};

use super::file::{File, LayerType};
use crate::error::Problem;

/// The keys of mixtures of experts.
pub(super) fn mixture(file: &File) -> Result<Option<Mixture>, Problem> {
    let File { num_experts, num_experts_per_tok, moe_intermediate_size, .. } = *file;
    let File { router_aux_loss_coef, router_z_loss_coef, .. } = *file;
    if let (Some(experts), Some(used), Some(width), Some(balance), Some(z)) = (
        num_experts,
        num_experts_per_tok,
        moe_intermediate_size,
        router_aux_loss_coef,
        router_z_loss_coef,
    ) {
        let shared = file.shared_expert_intermediate_size;
        let dense_layers = file.mlp_only_layers.clone().unwrap_or_default();
        return Ok(Some(Mixture { experts, used, width, shared, dense_layers, balance, z }));
    }
    all_or_none(&[
        ("num_experts", num_experts.is_some()),
        ("num_experts_per_tok", num_experts_per_tok.is_some()),
        ("moe_intermediate_size", moe_intermediate_size.is_some()),
        ("router_aux_loss_coef", router_aux_loss_coef.is_some()),
        ("router_z_loss_coef", router_z_loss_coef.is_some()),
        ("shared_expert_intermediate_size", file.shared_expert_intermediate_size.is_some()),
        ("mlp_only_layers", file.mlp_only_layers.is_some()),
    ])
}

/// The keys of gated delta nets.
pub(super) fn delta_nets(file: &File) -> Result<Option<DeltaNets>, Problem> {
    let File { linear_num_key_heads, linear_num_value_heads, linear_key_head_dim, .. } = *file;
    let File { linear_value_head_dim, linear_conv_kernel_dim, .. } = *file;
    let (types, fused) = (file.layer_types.as_ref(), file.use_fused_linear_projections);
    if let (
        Some(types),
        Some(key_heads),
        Some(value_heads),
        Some(key_width),
        Some(value_width),
        Some(kernel),
        Some(is_fused),
    ) = (
        types,
        linear_num_key_heads,
        linear_num_value_heads,
        linear_key_head_dim,
        linear_value_head_dim,
        linear_conv_kernel_dim,
        fused,
    ) {
        if types.len() != file.num_hidden_layers {
            let (expected, found) = (file.num_hidden_layers, types.len());
            return Err(Problem::mismatch("number of layer_types", expected, found));
        }
        let is_attention = |&layer: &usize| types[layer] == LayerType::FullAttention;
        let attention_layers = (0..types.len()).filter(is_attention).collect();
        return Ok(Some(DeltaNets {
            key_heads,
            value_heads,
            key_width,
            value_width,
            kernel,
            is_fused,
            attention_layers,
        }));
    }
    all_or_none(&[
        ("layer_types", types.is_some()),
        ("linear_num_key_heads", linear_num_key_heads.is_some()),
        ("linear_num_value_heads", linear_num_value_heads.is_some()),
        ("linear_key_head_dim", linear_key_head_dim.is_some()),
        ("linear_value_head_dim", linear_value_head_dim.is_some()),
        ("linear_conv_kernel_dim", linear_conv_kernel_dim.is_some()),
        ("use_fused_linear_projections", fused.is_some()),
    ])
}

/// The type of each layer.
pub(super) fn layer_types(delta: &DeltaNets, layers: usize) -> Vec<LayerType> {
    let mut types = vec![LayerType::LinearAttention; layers];
    for &layer in &delta.attention_layers {
        types[layer] = LayerType::FullAttention;
    }
    types
}

/// Nothing where no key is given; some of them are not enough.
fn all_or_none<V>(given: &[(&'static str, bool)]) -> Result<Option<V>, Problem> {
    let Some((present, _)) = given.iter().find(|&&(_, is_given)| is_given) else {
        return Ok(None);
    };
    let missing = given.iter().find(|&&(_, is_given)| !is_given);
    let missing = missing.map_or("", |&(key, _)| key);
    Err(Problem::mismatch(missing, format!("a value beside {present}"), "nothing"))
}
