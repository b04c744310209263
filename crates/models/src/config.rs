//! [`DecoderConfig`]: the shape of a decoder.

use nn::Nonlinearity;

use crate::error::{Error, Result};

/// The shape of a decoder: what must be known before its weights are made or read.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// Tokens there are.
    pub vocabulary: usize,
    /// Numbers for each token between layers.
    pub width: usize,
    /// Blocks of attention and feed-forward.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key and value heads of a layer; they divide the query heads.
    pub key_heads: usize,
    /// Numbers in a head, an even number.
    pub head_width: usize,
    /// Numbers inside a feed-forward net, or inside each expert of a mixture.
    pub feed_forward: usize,
    /// The function inside it.
    pub nonlinearity: Nonlinearity,
    /// Base of the rotary angles.
    pub rotary_base: f64,
    /// Positions of a sequence at the most.
    pub positions: usize,
    /// ε of the norms.
    pub norm_epsilon: f64,
    /// Norms before the output projection and before the down projection (SubLN).
    pub sub_norms: bool,
    /// Whether the head multiplies by the embedding's weights.
    pub tied_head: bool,
    /// Numbers for each token that each layer has of its own; 0 for no per-layer embeddings.
    pub per_layer: usize,
    /// Experts in the place of each feed-forward net; none for one net.
    pub mixture: Option<Mixture>,
}

/// The mixture of experts of each block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixture {
    /// Experts there are.
    pub experts: usize,
    /// Experts that each row takes.
    pub used: usize,
    /// Whether there is one expert more, which all rows take, behind a gate.
    pub shared: bool,
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
            feed_forward: 384,
            nonlinearity: Nonlinearity::SwiGlu,
            rotary_base: 10_000.0,
            positions: 4096,
            norm_epsilon: 1e-5,
            sub_norms: true,
            tied_head: true,
            per_layer: 0,
            mixture: None,
        }
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
            ("positions", self.positions),
        ];
        for (field, size) in sizes {
            check(size > 0 && size < 1 << 31, field, "1 to 2147483647", size)?;
        }
        check(self.per_layer < 1 << 31, "per_layer", "0 to 2147483647", self.per_layer)?;
        let (heads, key_heads) = (self.heads, self.key_heads);
        check(heads.is_multiple_of(key_heads), "key_heads", "a divisor of heads", key_heads)?;
        check(self.head_width.is_multiple_of(2), "head_width", "an even number", self.head_width)?;
        let base = self.rotary_base;
        check(base.is_finite() && base > 1.0, "rotary_base", "a finite number above 1", base)?;
        let epsilon = self.norm_epsilon;
        check((0.0..=1.0).contains(&epsilon), "norm_epsilon", "0 to 1", epsilon)?;
        self.mixture.map_or(Ok(()), Mixture::check)
    }
}

impl Mixture {
    fn check(self) -> Result<()> {
        let Self { experts, used, balance, z, .. } = self;
        let is_size = experts > 0 && experts < 1 << 31;
        check(is_size, "mixture.experts", "1 to 2147483647", experts)?;
        check((1..=experts).contains(&used), "mixture.used", "1 to the number of experts", used)?;
        for (field, coefficient) in [("mixture.balance", balance), ("mixture.z", z)] {
            let holds = coefficient.is_finite() && coefficient >= 0.0;
            check(holds, field, "a finite number of at least 0", coefficient)?;
        }
        Ok(())
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
        let mixture = Mixture { experts: 4, used: 2, shared: true, balance: 0.0, z: 0.0 };
        let config = DecoderConfig { mixture: Some(mixture), ..DecoderConfig::tiny() };
        assert_eq!(config.check(), Ok(()));
        let cases: [(&str, Change); 9] = [
            ("vocabulary", |c| c.vocabulary = 0),
            ("key_heads", |c| c.key_heads = 3),
            ("head_width", |c| c.head_width = 5),
            ("rotary_base", |c| c.rotary_base = f64::NAN),
            ("norm_epsilon", |c| c.norm_epsilon = -1.0),
            ("mixture.experts", |c| c.mixture.iter_mut().for_each(|m| m.experts = 0)),
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
