//! Layers: norms, attention and feed-forward nets of dense projections, blocks, embeddings.

use std::sync::Arc;

use nn::ops::RotaryTable;
use nn::{
    Attention, AttentionGate, AttentionOptions, AttentionProjections, Block, Compute, Context,
    Dense, Embedding, FeedForward, FeedForwardProjections, Layer, Nonlinearity, Parameters,
    PerLayerEmbedding, Projection, RmsNorm, Sequences,
};

use super::part::{Built, OfEmbedding, OfLayer, Part, Recomputed, both, zeros};
use crate::gradcheck::case::Case;

/// ε that is not lost beside the mean of squares.
const EPSILON: f64 = 0.25;
/// No two sizes in this file are equal: one could stand for the other.
const WIDTH: usize = 7;
const INNER: usize = 9;
/// Several sequences, so that one could see the other.
const SEQUENCES: Sequences = Sequences { count: 3, length: 5 };

/// The cases of all layers.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases = Vec::new();
    for (name, is_shifted) in [("RmsNorm", false), ("RmsNorm, shifted", true)] {
        cases.extend(both(name, "RmsNorm", Norm { is_shifted }));
    }
    for (name, options) in [
        ("Attention", Options::None),
        ("Attention with all options", Options::All),
        ("Attention of Qwen3.5", Options::Qwen),
    ] {
        cases.extend(both(name, "Attention", Mixer { options }));
    }
    for (name, nonlinearity, has_norm) in [
        ("FeedForward, SwiGLU", Nonlinearity::SwiGlu, true),
        ("FeedForward, squared ReLU", Nonlinearity::ReluSquared, false),
        ("FeedForward, GELU", Nonlinearity::Gelu, false),
    ] {
        cases.extend(both(name, "FeedForward", Channels { nonlinearity, has_norm }));
    }
    for (name, has_norm) in [("PerLayerEmbedding", false), ("PerLayerEmbedding, norm", true)] {
        cases.extend(both(name, "PerLayerEmbedding", PerLayer { has_norm }));
    }
    for (name, has_per_layer, recomputes) in [
        ("Block", false, false),
        ("Block with a per-layer embedding", true, false),
        ("Block with a per-layer embedding, recomputed", true, true),
    ] {
        cases.extend(both(name, "Block", Pair { has_per_layer, recomputes }));
    }
    for (name, is_tied) in [("Embedding", false), ("Embedding, tied head", true)] {
        cases.extend(both(name, "Embedding", Table { is_tied }));
    }
    cases
}

fn norm<T: Compute>(
    name: &str,
    width: usize,
    parameters: &mut Parameters,
) -> nn::Result<RmsNorm<T>> {
    RmsNorm::new(name, zeros(width), EPSILON, parameters)
}

fn dense<T: Compute>(
    name: &str,
    [outputs, inputs]: [usize; 2],
    parameters: &mut Parameters,
) -> nn::Result<Box<dyn Projection<T>>> {
    Ok(Box::new(Dense::from_weight(name, inputs, zeros(outputs * inputs), parameters)?))
}

/// The rows of all layers in this file.
fn context() -> Context<'static> {
    Context { tokens: PerLayer::TOKENS, ..SEQUENCES.into() }
}

fn of_layer<T: Compute>(layer: impl Layer<T> + 'static) -> Box<dyn Built<T>> {
    Box::new(OfLayer(Box::new(layer), context()))
}

#[derive(Clone)]
struct Norm {
    is_shifted: bool,
}

impl Part for Norm {
    fn input(&self) -> Option<[usize; 2]> {
        Some([SEQUENCES.rows(), WIDTH])
    }

    fn sums(&self) -> Vec<usize> {
        vec![WIDTH]
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        let norm = norm("norm", WIDTH, parameters)?;
        Ok(of_layer(if self.is_shifted { norm.shifted() } else { norm }))
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Options {
    None,
    /// A gate of its own, angles, head norms and an inner norm.
    All,
    /// The gate in the query projection, angles, and shifted head norms.
    Qwen,
}

#[derive(Clone)]
pub(super) struct Mixer {
    pub(super) options: Options,
}

impl Mixer {
    const QUERY_HEADS: usize = 4;
    const KEY_HEADS: usize = 2;
    const HEAD: usize = 8;
    /// Less than a head.
    const ROTATED: usize = 6;

    fn layer<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Attention<T>> {
        let (queries, keys) = (Self::QUERY_HEADS * Self::HEAD, Self::KEY_HEADS * Self::HEAD);
        let with_gates = if self.options == Options::Qwen { 2 * queries } else { queries };
        let projections = AttentionProjections {
            query: dense("query", [with_gates, WIDTH], parameters)?,
            key: dense("key", [keys, WIDTH], parameters)?,
            value: dense("value", [keys, WIDTH], parameters)?,
            gate: match self.options {
                Options::None => AttentionGate::None,
                Options::All => AttentionGate::Own(dense("gate", [queries, WIDTH], parameters)?),
                Options::Qwen => AttentionGate::InQuery,
            },
            output: dense("output", [WIDTH, queries], parameters)?,
        };
        let mut options = AttentionOptions {
            query_heads: Self::QUERY_HEADS,
            key_heads: Self::KEY_HEADS,
            head_width: Self::HEAD,
            rotary: None,
            head_norms: None,
            sub_norm: None,
        };
        if self.options != Options::None {
            let positions = SEQUENCES.length;
            let table = RotaryTable::new(10.0, Self::HEAD, Self::ROTATED, positions)?;
            options.rotary = Some(Arc::new(table));
            let norms = [
                norm("query_norm", Self::HEAD, parameters)?,
                norm("key_norm", Self::HEAD, parameters)?,
            ];
            options.head_norms = Some(match self.options {
                Options::Qwen => norms.map(RmsNorm::shifted),
                _ => norms,
            });
        }
        if self.options == Options::All {
            options.sub_norm = Some(norm("sub_norm", queries, parameters)?);
        }
        Attention::new("attention", projections, options)
    }
}

impl Part for Mixer {
    fn input(&self) -> Option<[usize; 2]> {
        Some([SEQUENCES.rows(), WIDTH])
    }

    fn sums(&self) -> Vec<usize> {
        let queries = Self::QUERY_HEADS * Self::HEAD;
        vec![WIDTH, Self::HEAD, Self::HEAD, SEQUENCES.length, queries, queries]
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        Ok(of_layer(self.layer(parameters)?))
    }
}

#[derive(Clone)]
pub(super) struct Channels {
    pub(super) nonlinearity: Nonlinearity,
    pub(super) has_norm: bool,
}

impl Channels {
    pub(super) fn layer<T: Compute>(
        &self,
        parameters: &mut Parameters,
    ) -> nn::Result<FeedForward<T>> {
        let projections = FeedForwardProjections {
            gate: match self.nonlinearity {
                Nonlinearity::Gelu => None,
                _ => Some(dense("gate", [INNER, WIDTH], parameters)?),
            },
            up: dense("up", [INNER, WIDTH], parameters)?,
            down: dense("down", [WIDTH, INNER], parameters)?,
        };
        let sub_norm = match self.has_norm {
            true => Some(norm("ffn_norm", INNER, parameters)?),
            false => None,
        };
        FeedForward::new("feed_forward", self.nonlinearity, projections, sub_norm)
    }
}

impl Part for Channels {
    fn input(&self) -> Option<[usize; 2]> {
        Some([SEQUENCES.rows(), WIDTH])
    }

    fn sums(&self) -> Vec<usize> {
        vec![WIDTH, INNER, INNER]
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        Ok(of_layer(self.layer(parameters)?))
    }
}

#[derive(Clone)]
struct PerLayer {
    has_norm: bool,
}

impl PerLayer {
    const INNER: usize = 6;
    const VOCABULARY: usize = 10;
    /// One for each row: some occur several times, some do not at all.
    const TOKENS: &[u32] = &[2, 0, 8, 2, 7, 2, 1, 9, 0, 0, 3, 2, 4, 8, 5];

    fn layer<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<PerLayerEmbedding<T>> {
        let numbers = zeros(Self::VOCABULARY * Self::INNER);
        let table = Dense::from_weight("table", Self::INNER, numbers, parameters)?;
        let gate = dense("per_layer_gate", [Self::INNER, WIDTH], parameters)?;
        let sub_norm = match self.has_norm {
            true => Some(norm("per_layer_sub_norm", Self::INNER, parameters)?),
            false => None,
        };
        let output = dense("per_layer_output", [WIDTH, Self::INNER], parameters)?;
        PerLayerEmbedding::new("per_layer", Embedding::new(Box::new(table)), gate, sub_norm, output)
    }
}

impl Part for PerLayer {
    fn input(&self) -> Option<[usize; 2]> {
        Some([SEQUENCES.rows(), WIDTH])
    }

    fn sums(&self) -> Vec<usize> {
        vec![WIDTH, Self::INNER, Self::INNER, Self::TOKENS.len()]
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        Ok(of_layer(self.layer(parameters)?))
    }
}

/// Attention and a feed-forward net on one stream.
#[derive(Clone)]
struct Pair {
    has_per_layer: bool,
    recomputes: bool,
}

impl Pair {
    const PARTS: (Mixer, Channels) = (
        Mixer { options: Options::None },
        Channels { nonlinearity: Nonlinearity::SwiGlu, has_norm: false },
    );
    const PER_LAYER: PerLayer = PerLayer { has_norm: false };
}

impl Part for Pair {
    fn input(&self) -> Option<[usize; 2]> {
        Some([SEQUENCES.rows(), WIDTH])
    }

    fn sums(&self) -> Vec<usize> {
        let norms = [WIDTH, WIDTH];
        let mut sums = [Self::PARTS.0.sums(), Self::PARTS.1.sums(), norms.into()].concat();
        if self.has_per_layer {
            sums.extend(Self::PER_LAYER.sums());
            sums.push(WIDTH);
        }
        sums
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        let first = norm("attention_norm", WIDTH, parameters)?;
        let mixer = Self::PARTS.0.layer(parameters)?;
        let second = norm("feed_forward_norm", WIDTH, parameters)?;
        let channels = Self::PARTS.1.layer(parameters)?;
        let branches = ((first, Box::new(mixer) as _), (second, Box::new(channels) as _));
        let mut block = Block::new("block", branches.0, branches.1)?;
        if self.has_per_layer {
            let third = norm("per_layer_norm", WIDTH, parameters)?;
            block = block.with_per_layer(third, Self::PER_LAYER.layer(parameters)?)?;
        }
        Ok(match self.recomputes {
            true => Box::new(Recomputed(OfLayer(Box::new(block), context()))),
            false => of_layer(block),
        })
    }
}

#[derive(Clone)]
struct Table {
    is_tied: bool,
}

impl Part for Table {
    fn input(&self) -> Option<[usize; 2]> {
        None
    }

    fn sums(&self) -> Vec<usize> {
        vec![WIDTH, Self::TOKENS.len()]
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        let table = Dense::from_weight("embedding", WIDTH, zeros(INNER * WIDTH), parameters)?;
        let embedding = Embedding::new(Box::new(table));
        let Self { is_tied } = *self;
        Ok(Box::new(OfEmbedding { embedding, tokens: Self::TOKENS, is_tied }))
    }
}

impl Table {
    /// One occurs three times, many do not at all.
    const TOKENS: &[u32] = &[2, 0, 8, 2, 7, 2];
}
