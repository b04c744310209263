//! Where adapters can be in a decoder of a shape, before there is one.

use lora_backward::Place;
use nn::Nonlinearity;

use crate::config::{DecoderConfig, DeltaNets};

/// Parts of a layer: what each is called in it, and its shape, outputs first.
type Parts = Vec<(String, [usize; 2])>;

impl DecoderConfig {
    /// What [`Decoder::places`](crate::Decoder::places) is of a decoder of this shape, which is known before any weight is
    /// read.
    ///
    /// ```
    /// use models::{Decoder, DecoderConfig, Initial, WeightKind};
    ///
    /// let config = DecoderConfig::hybrid();
    /// let mut source = Initial { seed: 1, kind: WeightKind::Dense };
    /// let model = Decoder::<f32>::build(config.clone(), &mut source)?;
    /// assert_eq!(config.places(), model.places());
    /// # Ok::<(), models::Error>(())
    /// ```
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        let mut add = |layer: usize, kind: &'static str, parts: Parts| {
            places.extend(parts.into_iter().map(|(part, [outputs, inputs])| {
                let name = format!("model.layers.{layer}.{part}");
                Place { name, layer: Some(layer), kind, inputs, outputs }
            }));
        };
        for layer in 0..self.layers {
            match self.delta_at(layer) {
                Some(delta) => add(layer, "gated delta net", self.delta_parts(delta)),
                None => add(layer, "attention", self.attention_parts()),
            }
            match self.mixture_at(layer) {
                None => add(layer, "feed-forward", self.net_parts("mlp", self.feed_forward)),
                Some(mixture) => {
                    let router = |part: &str, outputs: usize| {
                        vec![(format!("mlp.{part}"), [outputs, self.width])]
                    };
                    add(layer, "router", router("gate", mixture.experts));
                    for expert in 0..mixture.experts {
                        let name = format!("mlp.experts.{expert}");
                        add(layer, "expert", self.net_parts(&name, mixture.width));
                    }
                    if let Some(inner) = mixture.shared {
                        let shared = self.net_parts("mlp.shared_expert", inner);
                        add(layer, "shared expert", shared);
                        add(layer, "router", router("shared_expert_gate", 1));
                    }
                }
            }
            if self.per_layer > 0 {
                let (inner, width) = (self.per_layer, self.width);
                let gate = ("per_layer_input_gate".to_owned(), [inner, width]);
                let output = ("per_layer_projection".to_owned(), [width, inner]);
                add(layer, "per-layer embedding", vec![gate, output]);
            }
        }
        if !self.tied_head {
            let (name, inputs, outputs) = ("lm_head".to_owned(), self.width, self.vocabulary);
            places.push(Place { name, layer: None, kind: "head", inputs, outputs });
        }
        places
    }

    fn attention_parts(&self) -> Parts {
        let Self { width, heads, key_heads, head_width, gated_attention, .. } = *self;
        let queries = if gated_attention { 2 * heads } else { heads };
        let of = |part: &str, shape| (format!("self_attn.{part}"), shape);
        vec![
            of("q_proj", [queries * head_width, width]),
            of("k_proj", [key_heads * head_width, width]),
            of("v_proj", [key_heads * head_width, width]),
            of("o_proj", [width, heads * head_width]),
        ]
    }

    fn delta_parts(&self, delta: &DeltaNets) -> Parts {
        let (width, channels) = (self.width, delta.channels());
        let (heads, values) = (delta.value_heads, delta.value_heads * delta.value_width);
        let of = |part: &str, shape| (format!("linear_attn.{part}"), shape);
        let mut parts = if delta.is_fused {
            vec![
                of("in_proj_qkvz", [channels + values, width]),
                of("in_proj_ba", [2 * heads, width]),
            ]
        } else {
            vec![
                of("in_proj_qkv", [channels, width]),
                of("in_proj_z", [values, width]),
                of("in_proj_b", [heads, width]),
                of("in_proj_a", [heads, width]),
            ]
        };
        parts.push(of("out_proj", [width, values]));
        parts
    }

    fn net_parts(&self, name: &str, inner: usize) -> Parts {
        let width = self.width;
        let of = |part: &str, shape| (format!("{name}.{part}"), shape);
        let mut parts = Parts::new();
        if self.nonlinearity != Nonlinearity::Gelu {
            parts.push(of("gate_proj", [inner, width]));
        }
        parts.extend([of("up_proj", [inner, width]), of("down_proj", [width, inner])]);
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decoder, Initial, Mixture, WeightKind};

    #[test]
    fn places_of_a_shape_are_those_of_its_decoder() {
        let small = |config: DecoderConfig| DecoderConfig {
            width: 16,
            head_width: 10,
            rotary_width: 4,
            feed_forward: 12,
            vocabulary: 20,
            positions: 8,
            ..config
        };
        let mixture = |shared| Mixture {
            experts: 3,
            used: 2,
            width: 6,
            shared,
            dense_layers: vec![1],
            balance: 0.0,
            z: 0.0,
        };
        let hybrid = small(DecoderConfig::hybrid());
        let fused = hybrid.delta.clone().map(|delta| DeltaNets { is_fused: true, ..delta });
        let tiny = || small(DecoderConfig::tiny());
        for config in [
            DecoderConfig { delta: fused, tied_head: false, ..hybrid.clone() },
            hybrid,
            DecoderConfig { nonlinearity: Nonlinearity::Gelu, per_layer: 5, ..tiny() },
            DecoderConfig { gated_attention: true, mixture: Some(mixture(Some(7))), ..tiny() },
            DecoderConfig { mixture: Some(mixture(None)), ..tiny() },
        ] {
            let mut source = Initial { seed: 1, kind: WeightKind::Dense };
            let model = Decoder::<f32>::build(config.clone(), &mut source).unwrap();
            assert_eq!(config.places(), model.places());
        }
    }
}
