//! Putting a decoder together from its shape and its weights.

use std::sync::Arc;

use lora_backward::{
    DeltaNetInputs, DeltaNetOptions, DeltaNetProjections, DeltaNetWeights, GatedDeltaNet,
};
use nn::ops::RotaryTable;
use nn::{
    Attention, AttentionGate, AttentionOptions, AttentionProjections, BitMoe, Block, Compute,
    Embedding, FeedForward, FeedForwardProjections, Layer, MixtureOptions, Nonlinearity,
    Parameters, PerLayerEmbedding, RmsNorm, ScaleSync, SharedExpert,
};

use crate::config::{DecoderConfig, DeltaNets, Mixture};
use crate::error::Error;
use crate::numbers::Numbers;
use crate::source::{Role, WeightSource};

/// Builds the blocks of a decoder; each layer asks the source for its tensors.
pub(crate) struct Builder<'a, T, S> {
    pub(crate) rotary: Arc<RotaryTable<T>>,
    pub(crate) config: &'a DecoderConfig,
    pub(crate) source: &'a mut S,
    pub(crate) parameters: &'a mut Parameters,
}

impl<T: Compute, S: WeightSource<T>> Builder<'_, T, S> {
    pub(crate) fn norm(&mut self, name: &str, width: usize) -> Result<RmsNorm<T>, S::Error> {
        let name = format!("{name}.weight");
        let is_shifted = self.config.shifted_norms;
        let kind = if is_shifted { Numbers::ShiftedGain } else { Numbers::Gain };
        let gain = self.source.numbers(&name, &[width], kind, self.parameters)?;
        let norm = RmsNorm::new(&name, gain, self.config.norm_epsilon, self.parameters);
        let norm = norm.map_err(Error::from)?;
        Ok(if is_shifted { norm.shifted() } else { norm })
    }

    /// Block `index`: `model.layers.{index}`.
    pub(crate) fn block(&mut self, index: usize) -> Result<Block<T>, S::Error> {
        let name = format!("model.layers.{index}");
        let width = self.config.width;
        let norm = self.norm(&format!("{name}.input_layernorm"), width)?;
        let mixer = self.mixer(index, &name)?;
        let after = self.norm(&format!("{name}.post_attention_layernorm"), width)?;
        let levels = self.source.levels(ScaleSync::PerBlock, &name, self.parameters)?;
        let channels = self.channels(index, &format!("{name}.mlp"))?;
        let block = Block::new(&name, (norm, mixer), (after, channels));
        let mut block = block.map_err(Error::from)?;
        if self.config.per_layer > 0 {
            let norm = self.norm(&format!("{name}.per_layer_input_norm"), width)?;
            let per_layer = self.per_layer(&name)?;
            block = block.with_per_layer(norm, per_layer).map_err(Error::from)?;
        }
        Ok(match levels {
            Some(levels) => block.share_levels(levels).map_err(Error::from)?,
            None => block,
        })
    }

    /// The per-layer embedding of a block, under the names of Gemma 3n.
    fn per_layer(&mut self, name: &str) -> Result<PerLayerEmbedding<T>, S::Error> {
        let DecoderConfig { vocabulary, width, per_layer: inner, .. } = *self.config;
        let table = format!("{name}.embed_tokens_per_layer");
        let table = self.source.table(&table, [vocabulary, inner], self.parameters)?;
        let mut project = |part: &str, shape| {
            let name = format!("{name}.{part}");
            self.source.projection(&name, shape, Role::PerLayer, self.parameters)
        };
        let gate = project("per_layer_input_gate", [inner, width])?;
        let output = project("per_layer_projection", [width, inner])?;
        let sub_norm = if self.config.sub_norms {
            Some(self.norm(&format!("{name}.per_layer_sub_norm"), inner)?)
        } else {
            None
        };
        let table = Embedding::new(table);
        let layer =
            PerLayerEmbedding::new(&format!("{name}.per_layer"), table, gate, sub_norm, output);
        Ok(layer.map_err(Error::from)?)
    }

    /// Attention, or a delta net.
    fn mixer(&mut self, index: usize, name: &str) -> Result<Box<dyn Layer<T>>, S::Error> {
        Ok(match self.config.delta_at(index) {
            Some(delta) => Box::new(self.delta_net(delta, &format!("{name}.linear_attn"))?),
            None => Box::new(self.attention(&format!("{name}.self_attn"))?),
        })
    }

    /// A gated delta net, under the names of Qwen3.5 or Qwen3-Next.
    fn delta_net(&mut self, delta: &DeltaNets, name: &str) -> Result<GatedDeltaNet<T>, S::Error> {
        let DeltaNets { key_heads, value_heads, key_width, value_width, kernel, .. } = *delta;
        let (width, epsilon) = (self.config.width, self.config.norm_epsilon);
        let (channels, values) = (delta.channels(), value_heads * value_width);
        let mut project = |part: &str, shape, role| {
            let name = format!("{name}.{part}");
            self.source.projection(&name, shape, role, self.parameters)
        };
        let (mixing, gate) = (Role::Attention, Role::DeltaGate);
        let input = if delta.is_fused {
            DeltaNetInputs::Fused {
                qkvz: project("in_proj_qkvz", [channels + values, width], mixing)?,
                ba: project("in_proj_ba", [2 * value_heads, width], gate)?,
            }
        } else {
            DeltaNetInputs::Separate {
                qkv: project("in_proj_qkv", [channels, width], mixing)?,
                z: project("in_proj_z", [values, width], mixing)?,
                b: project("in_proj_b", [value_heads, width], gate)?,
                a: project("in_proj_a", [value_heads, width], gate)?,
            }
        };
        let output = project("out_proj", [width, values], mixing)?;
        let projections = DeltaNetProjections { input, output };
        let mut numbers = |part: &str, shape: &[usize], kind| {
            self.source.numbers(&format!("{name}.{part}"), shape, kind, self.parameters)
        };
        let weights = DeltaNetWeights {
            conv: numbers("conv1d.weight", &[channels, 1, kernel], Numbers::Taps)?,
            a_log: numbers("A_log", &[value_heads], Numbers::LogDecay)?,
            dt_bias: numbers("dt_bias", &[value_heads], Numbers::DecayBias)?,
            gain: numbers("norm.weight", &[value_width], Numbers::Gain)?,
        };
        let options =
            DeltaNetOptions { key_heads, value_heads, key_width, value_width, kernel, epsilon };
        let layer = GatedDeltaNet::new(name, projections, weights, options, self.parameters);
        Ok(layer.map_err(Error::from)?)
    }

    fn attention(&mut self, name: &str) -> Result<Attention<T>, S::Error> {
        let DecoderConfig { width, heads, key_heads, head_width, .. } = *self.config;
        let DecoderConfig { gated_attention, head_norms, sub_norms, .. } = *self.config;
        let mut project = |part: &str, shape| {
            let name = format!("{name}.{part}");
            self.source.projection(&name, shape, Role::Attention, self.parameters)
        };
        let queries = if gated_attention { 2 * heads } else { heads };
        let projections = AttentionProjections {
            query: project("q_proj", [queries * head_width, width])?,
            key: project("k_proj", [key_heads * head_width, width])?,
            value: project("v_proj", [key_heads * head_width, width])?,
            gate: if gated_attention { AttentionGate::InQuery } else { AttentionGate::None },
            output: project("o_proj", [width, heads * head_width])?,
        };
        let head_norms = if head_norms {
            let query = self.norm(&format!("{name}.q_norm"), head_width)?;
            Some([query, self.norm(&format!("{name}.k_norm"), head_width)?])
        } else {
            None
        };
        let sub_norm = if sub_norms {
            Some(self.norm(&format!("{name}.attn_sub_norm"), heads * head_width)?)
        } else {
            None
        };
        let options = AttentionOptions {
            query_heads: heads,
            key_heads,
            head_width,
            rotary: Some(Arc::clone(&self.rotary)),
            head_norms,
            sub_norm,
        };
        Ok(Attention::new(name, projections, options).map_err(Error::from)?)
    }

    /// A feed-forward net, or a mixture of such under the names of Hugging Face's Qwen.
    fn channels(&mut self, index: usize, name: &str) -> Result<Box<dyn Layer<T>>, S::Error> {
        let Some(mixture) = self.config.mixture_at(index) else {
            return Ok(Box::new(self.feed_forward(name, self.config.feed_forward)?));
        };
        let Mixture { experts, used, width: inner, shared, balance, z, .. } = *mixture;
        let width = self.config.width;
        let router = format!("{name}.gate");
        let router =
            self.source.projection(&router, [experts, width], Role::Router, self.parameters)?;
        let nets = (0..experts)
            .map(|expert| self.feed_forward(&format!("{name}.experts.{expert}"), inner));
        let nets = nets.collect::<Result<Vec<_>, _>>()?;
        let shared = if let Some(inner) = shared {
            let expert = self.feed_forward(&format!("{name}.shared_expert"), inner)?;
            let gate = format!("{name}.shared_expert_gate");
            let gate = self.source.projection(&gate, [1, width], Role::Router, self.parameters)?;
            Some(SharedExpert { expert, gate })
        } else {
            None
        };
        let options = MixtureOptions { used, balance, z };
        Ok(Box::new(BitMoe::new(name, router, nets, shared, options).map_err(Error::from)?))
    }

    fn feed_forward(&mut self, name: &str, inner: usize) -> Result<FeedForward<T>, S::Error> {
        let DecoderConfig { width, nonlinearity, .. } = *self.config;
        let levels = self.source.levels(ScaleSync::PerExpert, name, self.parameters)?;
        let mut project = |part: &str, shape| {
            let name = format!("{name}.{part}");
            self.source.projection(&name, shape, Role::Channels, self.parameters)
        };
        let projections = FeedForwardProjections {
            gate: match nonlinearity {
                Nonlinearity::Gelu => None,
                _ => Some(project("gate_proj", [inner, width])?),
            },
            up: project("up_proj", [inner, width])?,
            down: project("down_proj", [width, inner])?,
        };
        let sub_norm = if self.config.sub_norms {
            Some(self.norm(&format!("{name}.ffn_sub_norm"), inner)?)
        } else {
            None
        };
        let layer = FeedForward::new(name, nonlinearity, projections, sub_norm);
        let layer = layer.map_err(Error::from)?;
        Ok(match levels {
            Some(levels) => layer.share_levels(levels).map_err(Error::from)?,
            None => layer,
        })
    }
}
