//! [`DecoderConfig`]: the shape of a decoder.

use nn::Nonlinearity;
use nn::ops::RotaryScaling;

use crate::error::{Error, Result};

/// Experts that a decoder can have in all its layers.
const MOST_EXPERTS: usize = 1 << 18;

/// The shape of a decoder: what must be known before its weights are made or read.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// Tokens there are.
    pub vocabulary: usize,
    /// Numbers for each token between layers.
    pub width: usize,
    /// Blocks: each mixes between positions (attention, or a delta net), then within them (a feed-forward net, or a
    /// mixture of experts).
    pub layers: usize,
    /// Query heads of attention.
    pub heads: usize,
    /// Key and value heads of attention; they divide the query heads.
    pub key_heads: usize,
    /// Numbers in a head of attention.
    pub head_width: usize,
    /// Numbers of a head that are turned by the angles of their position, an even number.
    pub rotary_width: usize,
    /// Whether the query projection gives for each head a query and then a gate (Qwen3-Next).
    pub gated_attention: bool,
    /// Norms over each query head and each key head (Qwen3).
    pub head_norms: bool,
    /// Numbers inside a feed-forward net.
    pub feed_forward: usize,
    /// The function inside it.
    pub nonlinearity: Nonlinearity,
    /// Base of the rotary angles.
    pub rotary_base: f64,
    /// How they are changed for more positions than a model was first trained with (Llama 3.1).
    pub rotary_scaling: Option<RotaryScaling>,
    /// Positions of a sequence at the most.
    pub positions: usize,
    /// ε of the norms.
    pub norm_epsilon: f64,
    /// Whether norms multiply by 1 + g, and not by g (Qwen3-Next).
    pub shifted_norms: bool,
    /// Norms before the output projection and before the down projection (SubLN).
    pub sub_norms: bool,
    /// Whether the head multiplies by the embedding's weights.
    pub tied_head: bool,
    /// Numbers for each token that each layer has of its own; 0 for no per-layer embeddings.
    pub per_layer: usize,
    /// Experts in the place of feed-forward nets; none for nets alone.
    pub mixture: Option<Mixture>,
    /// Gated delta nets in the place of attention; none for attention alone.
    pub delta: Option<DeltaNets>,
}

/// Gated delta nets, and the layers that have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltaNets {
    /// Heads of queries and keys.
    pub key_heads: usize,
    /// Heads of values, a multiple of the key heads.
    pub value_heads: usize,
    /// Numbers of a query or key.
    pub key_width: usize,
    /// Numbers of a value.
    pub value_width: usize,
    /// Taps of the convolution before the recurrence.
    pub kernel: usize,
    /// Whether the input projections are two, their rows interleaved by key head (Qwen3-Next), and not four (Qwen3.5).
    pub is_fused: bool,
    /// The layers that have attention all the same.
    pub attention_layers: Vec<usize>,
}

/// Mixtures of experts, and the layers that have them.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// Experts there are.
    pub experts: usize,
    /// Experts that each row takes.
    pub used: usize,
    /// Numbers inside each expert.
    pub width: usize,
    /// Numbers inside one expert more, which all rows take, behind a gate; none for no such expert.
    pub shared: Option<usize>,
    /// The layers that have a feed-forward net all the same.
    pub dense_layers: Vec<usize>,
    /// Coefficient of the loss that keeps the router even.
    pub balance: f64,
    /// Coefficient of the loss that keeps its scores small.
    pub z: f64,
}

impl DecoderConfig {
    /// The preset `tiny`: bytes, four layers of 128 numbers, four query and two key heads.
    pub fn tiny() -> Self {
        Self {
            vocabulary: 256,
            width: 128,
            layers: 4,
            heads: 4,
            key_heads: 2,
            head_width: 32,
            rotary_width: 32,
            gated_attention: false,
            head_norms: false,
            feed_forward: 384,
            nonlinearity: Nonlinearity::SwiGlu,
            rotary_base: 10_000.0,
            rotary_scaling: None,
            positions: 4096,
            norm_epsilon: 1e-5,
            shifted_norms: false,
            sub_norms: true,
            tied_head: true,
            per_layer: 0,
            mixture: None,
            delta: None,
        }
    }

    /// The preset `hybrid`: as `tiny`, with gated delta nets in three of four layers and the gated attention,
    /// head norms and shifted norms of Qwen3.5 in the fourth.
    pub fn hybrid() -> Self {
        let delta = DeltaNets {
            key_heads: 2,
            value_heads: 4,
            key_width: 32,
            value_width: 32,
            kernel: 4,
            is_fused: false,
            attention_layers: vec![3],
        };
        Self {
            rotary_width: 8,
            gated_attention: true,
            head_norms: true,
            shifted_norms: true,
            delta: Some(delta),
            ..Self::tiny()
        }
    }

    /// The delta net of a layer, where it has one.
    pub fn delta_at(&self, layer: usize) -> Option<&DeltaNets> {
        self.delta.as_ref().filter(|delta| !delta.attention_layers.contains(&layer))
    }

    /// The mixture of a layer, where it has one.
    pub fn mixture_at(&self, layer: usize) -> Option<&Mixture> {
        self.mixture.as_ref().filter(|mixture| !mixture.dense_layers.contains(&layer))
    }

    /// Checks that a model can have this shape.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that does not fit.
    pub fn check(&self) -> Result<()> {
        let sizes = [
            ("vocabulary", self.vocabulary),
            ("width", self.width),
            ("layers", self.layers),
            ("heads", self.heads),
            ("key_heads", self.key_heads),
            ("head_width", self.head_width),
            ("feed_forward", self.feed_forward),
        ];
        for (field, size) in sizes {
            check(size > 0 && size < 1 << 31, field, "1 to 2147483647", size)?;
        }
        let positions = self.positions;
        check((1..=1 << 24).contains(&positions), "positions", "1 to 16777216", positions)?;
        check(self.per_layer < 1 << 31, "per_layer", "0 to 2147483647", self.per_layer)?;
        let (heads, key_heads) = (self.heads, self.key_heads);
        check(heads.is_multiple_of(key_heads), "key_heads", "a divisor of heads", key_heads)?;
        let rotated = self.rotary_width;
        let is_rotated = rotated > 0 && rotated.is_multiple_of(2) && rotated <= self.head_width;
        check(is_rotated, "rotary_width", "an even number up to that of a head", rotated)?;
        let base = self.rotary_base;
        check(base.is_finite() && base > 1.0, "rotary_base", "a finite number above 1", base)?;
        if let Some(RotaryScaling { factor, slow, fast, positions }) = self.rotary_scaling {
            let is_factor = factor.is_finite() && factor > 0.0;
            check(is_factor, "rotary_scaling.factor", "a finite number above 0", factor)?;
            let are_turns = slow > 0.0 && slow < fast && fast.is_finite();
            let found = format!("{slow} and {fast}");
            check(are_turns, "rotary_scaling.fast", "more turns than are slow, above 0", found)?;
            let holds = (1..=1 << 24).contains(&positions);
            check(holds, "rotary_scaling.positions", "1 to 16777216", positions)?;
        }
        let epsilon = self.norm_epsilon;
        check((0.0..=1.0).contains(&epsilon), "norm_epsilon", "0 to 1", epsilon)?;
        if let Some(mixture) = &self.mixture {
            mixture.check(self.layers)?;
            // Each has a name and a place, and a file of some bytes can ask for any number of them.
            let all = mixture.experts.saturating_mul(self.layers);
            check(all <= MOST_EXPERTS, "mixture.experts", "up to 262144 in all layers", all)?;
        }
        self.delta.as_ref().map_or(Ok(()), |delta| delta.check(self.layers))
    }
}

impl DeltaNets {
    /// Numbers that the convolution runs over: those of all queries, keys and values.
    pub fn channels(&self) -> usize {
        2 * self.key_heads * self.key_width + self.value_heads * self.value_width
    }

    fn check(&self, layers: usize) -> Result<()> {
        let sizes = [
            ("delta.key_heads", self.key_heads),
            ("delta.value_heads", self.value_heads),
            ("delta.key_width", self.key_width),
            ("delta.value_width", self.value_width),
            ("delta.kernel", self.kernel),
        ];
        for (field, size) in sizes {
            check(size > 0 && size < 1 << 15, field, "1 to 32767", size)?;
        }
        let is_multiple = self.value_heads.is_multiple_of(self.key_heads);
        let expected = "a multiple of the key heads";
        check(is_multiple, "delta.value_heads", expected, self.value_heads)?;
        check_layers("delta.attention_layers", &self.attention_layers, layers)
    }
}

impl Mixture {
    fn check(&self, layers: usize) -> Result<()> {
        let Self { experts, used, width, shared, balance, z, .. } = *self;
        let is_size = experts > 0 && experts < 1 << 31;
        check(is_size, "mixture.experts", "1 to 2147483647", experts)?;
        check((1..=experts).contains(&used), "mixture.used", "1 to the number of experts", used)?;
        for (field, coefficient) in [("mixture.balance", balance), ("mixture.z", z)] {
            let holds = coefficient.is_finite() && coefficient >= 0.0;
            check(holds, field, "a finite number of at least 0", coefficient)?;
        }
        for (field, width) in [("mixture.width", width), ("mixture.shared", shared.unwrap_or(1))] {
            check(width > 0 && width < 1 << 31, field, "1 to 2147483647", width)?;
        }
        check_layers("mixture.dense_layers", &self.dense_layers, layers)
    }
}

/// Checks the numbers of some of the layers.
fn check_layers(field: &'static str, some: &[usize], layers: usize) -> Result<()> {
    match some.iter().find(|&&layer| layer >= layers) {
        Some(layer) => check(false, field, "numbers below that of the layers", layer),
        None => Ok(()),
    }
}

fn check(
    holds: bool,
    field: &'static str,
    expected: &'static str,
    found: impl ToString,
) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Config { field, expected, found: found.to_string() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_does_not_fit_is_named() {
        assert_eq!(DecoderConfig::tiny().check(), Ok(()));
        type Change = fn(&mut DecoderConfig);
        let mixture = Mixture {
            experts: 4,
            used: 2,
            width: 8,
            shared: Some(8),
            dense_layers: vec![1],
            balance: 0.0,
            z: 0.0,
        };
        let config = DecoderConfig { mixture: Some(mixture), ..DecoderConfig::hybrid() };
        let kinds = |layer| (config.delta_at(layer).is_some(), config.mixture_at(layer).is_some());
        let expected = [(true, true), (true, false), (true, true), (false, true)];
        assert_eq!([0, 1, 2, 3].map(kinds), expected);
        assert_eq!(config.check(), Ok(()));
        fn scaling(factor: f64, fast: f64) -> RotaryScaling {
            RotaryScaling { factor, slow: 1.0, fast, positions: 8192 }
        }
        let cases: [(&str, Change); 18] = [
            ("vocabulary", |c| c.vocabulary = 0),
            ("key_heads", |c| c.key_heads = 3),
            ("rotary_width", |c| c.rotary_width = 5),
            ("rotary_width", |c| c.head_width = 6),
            ("delta.value_heads", |c| c.delta.iter_mut().for_each(|d| d.value_heads = 3)),
            ("delta.kernel", |c| c.delta.iter_mut().for_each(|d| d.kernel = 0)),
            ("delta.attention_layers", |c| c.layers = 3),
            ("mixture.dense_layers", |c| {
                c.mixture.iter_mut().for_each(|m| m.dense_layers = vec![4]);
            }),
            ("mixture.width", |c| c.mixture.iter_mut().for_each(|m| m.width = 0)),
            ("rotary_base", |c| c.rotary_base = f64::NAN),
            ("rotary_scaling.factor", |c| c.rotary_scaling = Some(scaling(0.0, 4.0))),
            ("rotary_scaling.fast", |c| c.rotary_scaling = Some(scaling(8.0, 1.0))),
            ("norm_epsilon", |c| c.norm_epsilon = -1.0),
            ("mixture.experts", |c| c.mixture.iter_mut().for_each(|m| m.experts = 0)),
            ("mixture.experts", |c| c.mixture.iter_mut().for_each(|m| m.experts = 1 << 19)),
            ("mixture.used", |c| c.mixture.iter_mut().for_each(|m| m.used = 5)),
            ("mixture.balance", |c| c.mixture.iter_mut().for_each(|m| m.balance = -0.5)),
            ("mixture.z", |c| c.mixture.iter_mut().for_each(|m| m.z = f64::INFINITY)),
        ];
        for (field, change) in cases {
            let mut config = config.clone();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
