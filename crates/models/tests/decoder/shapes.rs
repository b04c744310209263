//! Shapes and batches that are small, of which tests change what they are about.

use models::{Batch, DecoderConfig, DeltaNets, Mixture, Shadow, WeightKind};
use nn::ops::IGNORED;
use nn::{BitLinearOptions, ScaleSync, Sequences};

pub(crate) const TOKENS: [u32; 10] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
pub(crate) const TARGETS: [u32; 10] = [1, 4, 1, 5, 9, 2, 6, 5, 3, IGNORED];
/// Two sequences; the last token has no target.
pub(crate) const BATCH: Batch<'_> =
    Batch { sequences: Sequences { count: 2, length: 5 }, tokens: &TOKENS, targets: &TARGETS };
/// The same with a target for every token.
pub(crate) const FULL_BATCH: Batch<'_> =
    Batch { targets: &[1, 4, 1, 5, 9, 2, 6, 5, 3, 5], ..BATCH };

/// Two layers of attention, for the tokens of the batches.
pub(crate) fn small() -> DecoderConfig {
    DecoderConfig {
        vocabulary: 11,
        width: 12,
        layers: 2,
        heads: 2,
        key_heads: 1,
        head_width: 6,
        rotary_width: 6,
        feed_forward: 14,
        ..DecoderConfig::tiny()
    }
}

/// A shape whose layers are delta nets, but for the second: that has attention as in Qwen3.5.
pub(crate) fn hybrid(widths: [usize; 2], is_fused: bool, shape: DecoderConfig) -> DecoderConfig {
    let [key_width, value_width] = widths;
    let delta = DeltaNets {
        key_heads: 2,
        value_heads: 4,
        key_width,
        value_width,
        kernel: 3,
        is_fused,
        attention_layers: vec![1],
    };
    let (gated_attention, head_norms, shifted_norms) = (true, true, true);
    DecoderConfig { gated_attention, head_norms, shifted_norms, delta: Some(delta), ..shape }
}

/// Three experts of a width, two of which are used, and one that always is, in every layer; routers have no loss.
pub(crate) fn mixture(width: usize, shared: usize) -> Mixture {
    let (shared, dense_layers) = (Some(shared), Vec::new());
    Mixture { experts: 3, used: 2, width, shared, dense_layers, balance: 0.0, z: 0.0 }
}

/// Ternary weights, in the embedding and the head too if they are to be.
pub(crate) fn ternary(embedding: bool, head: bool, shadow: Shadow) -> WeightKind {
    let (options, sync) = (BitLinearOptions::default(), ScaleSync::PerMatrix);
    WeightKind::Ternary { options, shadow, embedding, head, sync }
}
