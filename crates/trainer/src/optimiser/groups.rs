//! Which tensors the weight decay is for.

/// Parts of names whose tensors are never decayed.
const NOT_DECAYED: [&str; 6] = ["norm", "bias", "scale", "threshold", "embed", "A_log"];

/// Whether weight decay is for a tensor of this name: for all but norms, scales, thresholds, biases, embeddings
/// and the decays of delta nets, whose size is no measure of complexity. A head that is tied to the embedding goes with it.
pub fn is_decayed(name: &str) -> bool {
    !NOT_DECAYED.iter().any(|part| name.contains(part))
}

/// The learning rates of what quantisers learn, as multiples of the model's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelRates {
    /// Of scales, and of TTQ's W_p.
    pub scale: f64,
    /// Of TTQ's W_n.
    pub negative_scale: f64,
    /// Of thresholds.
    pub threshold: f64,
}

impl LevelRates {
    /// The learning rate of a tensor of this name as a multiple of the model's: 1 for all that is no level.
    pub fn of(self, name: &str) -> f64 {
        match name.rsplit('.').next() {
            Some("scale" | "positive_scale") => self.scale,
            Some("negative_scale") => self.negative_scale,
            Some("threshold") => self.threshold,
            _ => 1.0,
        }
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
            "layers.0.linear_attn.A_log",
            "layers.0.linear_attn.dt_bias",
        ] {
            assert!(!is_decayed(name), "{name}");
        }
    }

    #[test]
    fn learned_scales_and_learned_thresholds_have_rates_of_their_own() {
        for (name, expected) in [
            ("layers.0.mlp.up_proj.scale", 0.5),
            ("layers.0.mlp.up_proj.positive_scale", 0.5),
            ("layers.0.mlp.up_proj.negative_scale", 0.75),
            ("layers.0.mlp.up_proj.threshold", 0.25),
            ("layers.0.mlp.up_proj.weight", 1.0),
            ("layers.0.mlp.up_proj.bias", 1.0),
            ("norm.weight", 1.0),
        ] {
            let rates = LevelRates { scale: 0.5, negative_scale: 0.75, threshold: 0.25 };
            assert_eq!(rates.of(name), expected, "{name}");
        }
    }
}
