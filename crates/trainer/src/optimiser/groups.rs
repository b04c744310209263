//! Which tensors the weight decay is for.

/// Parts of names whose tensors are never decayed.
const NOT_DECAYED: [&str; 5] = ["norm", "bias", "scale", "threshold", "embed"];

/// Whether weight decay is for a tensor of this name: for all but norms, scales, thresholds, biases and
/// embeddings, whose size is no measure of complexity. A head that is tied to the embedding goes with it.
pub fn is_decayed(name: &str) -> bool {
    !NOT_DECAYED.iter().any(|part| name.contains(part))
}

/// The learning rate of a tensor of this name as a multiple of the model's: learned scales and learned
/// thresholds of quantisers have their own.
pub fn rate(name: &str, of_scales: f64, of_thresholds: f64) -> f64 {
    match name.rsplit('.').next() {
        Some("scale" | "positive_scale" | "negative_scale") => of_scales,
        Some("threshold") => of_thresholds,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projections_decay_and_norms_scales_biases_and_embeddings_do_not() {
        for name in ["layers.3.attn.q_proj.weight", "lm_head.weight", "layers.0.mlp.up_proj.weight"]
        {
            assert!(is_decayed(name), "{name}");
        }
        for name in [
            "layers.3.input_layernorm.weight",
            "norm.weight",
            "layers.1.mlp.up_proj.bias",
            "layers.1.mlp.up_proj.scale",
            "layers.1.mlp.up_proj.negative_scale",
            "layers.1.mlp.up_proj.threshold",
            "embed_tokens.weight",
        ] {
            assert!(!is_decayed(name), "{name}");
        }
    }

    #[test]
    fn learned_scales_and_learned_thresholds_have_rates_of_their_own() {
        for (name, expected) in [
            ("layers.0.mlp.up_proj.scale", 0.5),
            ("layers.0.mlp.up_proj.positive_scale", 0.5),
            ("layers.0.mlp.up_proj.negative_scale", 0.5),
            ("layers.0.mlp.up_proj.threshold", 0.25),
            ("layers.0.mlp.up_proj.weight", 1.0),
            ("layers.0.mlp.up_proj.bias", 1.0),
            ("norm.weight", 1.0),
        ] {
            assert_eq!(rate(name, 0.5, 0.25), expected, "{name}");
        }
    }
}
