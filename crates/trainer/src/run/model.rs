//! The model that a configuration asks for.

use std::sync::Arc;

use models::{Decoder, DecoderConfig, DeltaNets, Initial, Mixture, Start, WeightKind};
use nn::{BitLinearOptions, LearnedLevels, LearnedRule};
use ternary_core::Rule;

use super::base::{adapted, base_folder};
use super::start::Saved;
use super::used::model_folder;
use crate::config::{self, Configuration, Model, Ternary};
use crate::error::Result;
use crate::randomness::Purpose;

/// The decoder with the weights it starts from, or the model that adapters are for with those beside it, for so many tokens ([`VOCABULARY`](crate::data::VOCABULARY) where they
/// are bytes).
///
/// # Errors
/// A shape that no model can have, a quantiser that does not fit it, or a model to start from that does not; a model that
/// adapters cannot train beside.
pub fn build(configuration: &Configuration, vocabulary: usize) -> Result<Decoder<f32>> {
    if let Some(folder) = base_folder(configuration)? {
        return adapted(configuration, &folder, vocabulary);
    }
    let kind = if configuration.is_float() {
        WeightKind::Dense
    } else {
        let Ternary { packing, activations, .. } = configuration.ternary;
        let Ternary { embedding, head, .. } = configuration.ternary;
        let learned = learned(configuration);
        let options = BitLinearOptions {
            quantizer: match learned {
                // It stands aside.
                Some(_) => BitLinearOptions::default().quantizer,
                None => Arc::from(configuration.rule().quantizer(configuration.granularity())?),
            },
            estimator: configuration.run.ste.estimator(),
            learned,
            is_shared: false,
            packing,
            activations,
            scale_average: configuration.ternary.scale_average as f32,
            boundary_noise: configuration.ternary.boundary_noise as f32,
            dead_bias: configuration.dead_bias() as f32,
        };
        WeightKind::Ternary {
            options,
            shadow: configuration.latent(),
            embedding,
            head,
            sync: configuration.ternary.scale_sync,
        }
    };
    let seed = Purpose::Weights.seed(configuration.run.seed);
    let (shape, mut initial) = (shape(configuration, vocabulary), Initial { seed, kind });
    let Some(path) = &configuration.run.from else {
        return Ok(Decoder::build(shape, &mut initial)?);
    };
    let copies = Purpose::Copies.seed(configuration.run.seed);
    let mut saved = Saved::read(&model_folder(path)?, &shape, configuration.mixture.noise, copies)?;
    let values = &mut |name: &str, _: &[usize]| saved.values(name);
    let model = Decoder::build(shape, &mut Start { initial, values })?;
    saved.finish()?;
    Ok(model)
}

/// The levels that layers learn, for a rule that has such.
fn learned(configuration: &Configuration) -> Option<LearnedLevels> {
    let ternary = &configuration.ternary;
    let rule = match configuration.rule() {
        Rule::Seq => LearnedRule::Seq,
        Rule::Lsq => LearnedRule::Lsq,
        Rule::Ttq { threshold } => {
            LearnedRule::Ttq { threshold, is_threshold_learned: ternary.threshold_learned }
        }
        _ => return None,
    };
    Some(LearnedLevels { rule, granularity: configuration.granularity() })
}

fn shape(configuration: &Configuration, vocabulary: usize) -> DecoderConfig {
    let Model {
        width,
        layers,
        heads,
        key_value_heads,
        feed_forward,
        nonlinearity,
        tied_head,
        rotary_width,
        gated_attention,
        head_norms,
        shifted_norms,
        rope_base,
        per_layer_embedding,
    } = configuration.model;
    DecoderConfig {
        vocabulary,
        width,
        layers,
        heads,
        key_heads: key_value_heads,
        head_width: width / heads,
        rotary_width: rotary_width.unwrap_or(width / heads),
        gated_attention,
        head_norms,
        shifted_norms,
        feed_forward,
        nonlinearity,
        rotary_base: rope_base,
        positions: configuration.batch.length,
        tied_head,
        per_layer: per_layer_embedding,
        mixture: mixture(&configuration.mixture, feed_forward),
        delta: delta(&configuration.delta, layers),
        ..DecoderConfig::tiny()
    }
}

fn delta(settings: &config::Delta, layers: usize) -> Option<DeltaNets> {
    let config::Delta { attention_every, key_heads, value_heads, .. } = *settings;
    let config::Delta { key_width, value_width, kernel, fused: is_fused, .. } = *settings;
    let attention = |layer: &usize| (layer + 1).is_multiple_of(attention_every);
    (attention_every > 0).then(|| DeltaNets {
        key_heads,
        value_heads,
        key_width,
        value_width,
        kernel,
        is_fused,
        attention_layers: (0..layers).filter(attention).collect(),
    })
}

fn mixture(settings: &config::Mixture, width: usize) -> Option<Mixture> {
    let config::Mixture { experts, used, shared, balance, z, noise: _ } = *settings;
    let (shared, dense_layers) = (shared.then_some(width), Vec::new());
    (experts > 0).then_some(Mixture { experts, used, width, shared, dense_layers, balance, z })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;
    use crate::data::VOCABULARY;

    #[test]
    fn presets_have_the_shapes_of_their_names() {
        for (preset, expected) in
            [(Preset::Tiny, DecoderConfig::tiny()), (Preset::Hybrid, DecoderConfig::hybrid())]
        {
            let positions = preset.configuration().batch.length;
            assert_eq!(
                shape(&preset.configuration(), VOCABULARY),
                DecoderConfig { positions, ..expected }
            );
        }
    }
}
