//! [`rate`]: the learning rates of the factors of adapters.

use crate::config::Lora;

/// The learning rate of a tensor of this name as a multiple of the model's: that of its place times that of its factor, 1
/// for what is no factor.
///
/// B has to move further than A, whose size it starts at zero from; how much further is b_rate (LoRA+, Hayou et al.,
/// arXiv 2402.12354).
pub(crate) fn rate(settings: &Lora, name: &str) -> f64 {
    let (module, of_factor) = if let Some(module) = name.strip_suffix(".lora_A.weight") {
        (module, settings.a_rate)
    } else if let Some(module) = name.strip_suffix(".lora_B.weight") {
        (module, settings.b_rate)
    } else {
        return 1.0;
    };
    let of_place = if module.contains(".linear_attn.") {
        settings.delta_rate
    } else if module.contains(".self_attn.") {
        settings.attention_rate
    } else {
        1.0
    };
    of_place * of_factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_has_the_rate_of_its_place_times_that_of_its_kind() {
        let settings = Lora {
            delta_rate: 0.5,
            attention_rate: 2.0,
            a_rate: 3.0,
            b_rate: 16.0,
            ..Lora::default()
        };
        for (name, expected) in [
            ("model.layers.0.linear_attn.in_proj_qkv.lora_A.weight", 1.5),
            ("model.layers.0.linear_attn.in_proj_qkv.lora_B.weight", 8.0),
            ("model.layers.3.self_attn.q_proj.lora_A.weight", 6.0),
            ("model.layers.3.self_attn.q_proj.lora_B.weight", 32.0),
            ("model.layers.3.mlp.up_proj.lora_B.weight", 16.0),
            ("model.layers.3.self_attn.q_proj.weight", 1.0),
            ("lm_head.lora_A.weight", 3.0),
        ] {
            assert_eq!(rate(&settings, name), expected, "{name}");
        }
    }
}
