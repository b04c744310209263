//! What adapters and the model that they are for consist of, by the configuration of that model alone.

use std::path::Path;

use models::{DecoderConfig, DeltaNets, Mixture};

use super::base::frozen;
use super::shape::Shape;
use crate::adapters::targets;
use crate::config::{self, Configuration};
use crate::error::Result;
use crate::run::check_base;

/// What trains, and what the model in a folder leaves of a row for the backward; and the tokens of that model. Nothing is
/// left before the first layer with an adapter.
///
/// # Errors
/// A folder that is no model, a model that the run cannot be for, and adapters that it cannot have.
pub(super) fn shape(
    configuration: &Configuration,
    folder: &Path,
    vocabulary: usize,
) -> Result<(Shape, usize)> {
    let model = interop::shape(folder)?;
    check_base(configuration, folder, &model, vocabulary)?;
    let places = model.places();
    let settings = &configuration.lora;
    let mut trained = 0_u128;
    let mut first = model.layers;
    let mut ranks = vec![0_u128; model.layers + 1];
    let chosen = targets(settings, &places)?;
    for (target, place) in &chosen {
        trained += target.rank as u128 * (place.inputs as u128 + place.outputs as u128);
        let layer = place.layer.unwrap_or(model.layers);
        first = first.min(layer);
        ranks[layer] += target.rank as u128;
    }
    let mut like = configuration.clone();
    like.lora = config::Lora::default();
    (like.model, like.delta, like.mixture) = like_model(&model);
    let whole = Shape::with_heads(&like, model.vocabulary, model.head_width);
    let after = whole.after();
    let share = |numbers: u128| {
        let layers = model.layers.max(1) as u128;
        numbers * (model.layers - first) as u128 / layers
    };
    let shape = Shape {
        projected: trained,
        matrices: 2 * chosen.len() as u128,
        real: 0,
        saved: share(whole.saved.saturating_sub(after)) + after + ranks.iter().sum::<u128>(),
        inputs: share(whole.inputs),
        layers: (model.layers - first) as u128,
        block_saved: whole.block_saved + ranks.iter().max().copied().unwrap_or(0),
        frozen: frozen(folder, &model, settings.base),
        ..whole
    };
    Ok((shape, model.vocabulary))
}

/// The settings of a model of about this shape.
fn like_model(model: &DecoderConfig) -> (config::Model, config::Delta, config::Mixture) {
    let like = config::Model {
        width: model.width,
        layers: model.layers,
        heads: model.heads,
        key_value_heads: model.key_heads,
        feed_forward: model.mixture.as_ref().map_or(model.feed_forward, |mixture| mixture.width),
        nonlinearity: model.nonlinearity,
        per_layer_embedding: model.per_layer,
        tied_head: model.tied_head,
        rotary_width: Some(model.rotary_width),
        gated_attention: model.gated_attention,
        head_norms: model.head_norms,
        shifted_norms: model.shifted_norms,
        rope_base: model.rotary_base,
    };
    let delta = model.delta.as_ref().map(|delta| delta_settings(model, delta));
    let mixture = model.mixture.as_ref().map(mixture_settings);
    (like, delta.unwrap_or_default(), mixture.unwrap_or_default())
}

fn delta_settings(model: &DecoderConfig, delta: &DeltaNets) -> config::Delta {
    let DeltaNets { key_heads, value_heads, key_width, value_width, kernel, is_fused, .. } = *delta;
    // Where no layer has attention, none of as many layers as there are has.
    let every = model.layers.checked_div(delta.attention_layers.len()).unwrap_or(model.layers + 1);
    let attention_every = every.max(1);
    let fused = is_fused;
    config::Delta { attention_every, key_heads, value_heads, key_width, value_width, kernel, fused }
}

fn mixture_settings(mixture: &Mixture) -> config::Mixture {
    let Mixture { experts, used, balance, z, .. } = *mixture;
    let shared = mixture.shared.is_some();
    config::Mixture { experts, used, shared, balance, z, noise: 0.0 }
}

#[cfg(test)]
mod tests {
    use models::{Decoder, Initial, WeightKind};

    use super::*;
    use crate::plan::sizes;
    use crate::temporary::TemporaryFolder;

    fn planned(
        folder: &TemporaryFolder,
        change: impl FnOnce(&mut config::Lora),
    ) -> super::super::Plan {
        let mut configuration = Configuration::default();
        configuration.lora.model = Some(folder.path().to_owned());
        change(&mut configuration.lora);
        sizes(&configuration, 256).unwrap()
    }

    #[test]
    fn adapters_are_counted_as_they_are_built_beside_the_bytes_of_their_model() {
        let folder = TemporaryFolder::new();
        let mut source = Initial { seed: 1, kind: WeightKind::Dense };
        let model = Decoder::build(DecoderConfig::hybrid(), &mut source).unwrap();
        interop::save(&model, folder.path()).unwrap();
        for targets in ["all-linear", "q_proj,in_proj_a"] {
            let mut configuration = Configuration::default();
            configuration.lora.model = Some(folder.path().to_owned());
            configuration.lora.targets = targets.parse().unwrap();
            let adapted = crate::run::build(&configuration, 256).unwrap();
            let plan = planned(&folder, |lora| lora.targets = targets.parse().unwrap());
            assert_eq!(plan.parameters, adapted.parameters().numbers() as u64, "{targets}");
            assert_eq!(plan.memory.optimiser, 8 * plan.parameters);
            assert!(plan.checkpoint < plan.memory.frozen, "{plan}");
        }
        let plan = planned(&folder, |_| ());
        let weights = 4 * model.parameters().numbers() as u64;
        assert!((weights * 9 / 10..weights * 11 / 10).contains(&plan.memory.frozen), "{plan}");
        let late = planned(&folder, |lora| lora.layers = "3".parse().ok());
        assert!(2 * late.memory.activations < plan.memory.activations, "{plan} {late}");
        assert!(plan.to_string().contains("frozen weights"), "{plan}");
    }

    #[test]
    fn the_kind_of_block_that_leaves_more_decides_where_blocks_run_again() {
        let activations = |attention_layers| {
            let folder = TemporaryFolder::new();
            let mut config = DecoderConfig::hybrid();
            config.delta.as_mut().unwrap().attention_layers = attention_layers;
            let mut source = Initial { seed: 1, kind: WeightKind::Dense };
            let model = Decoder::<f32>::build(config, &mut source).unwrap();
            interop::save(&model, folder.path()).unwrap();
            let mut configuration = Configuration::default();
            configuration.lora.model = Some(folder.path().to_owned());
            configuration.lora.targets = "up_proj".parse().unwrap();
            configuration.batch.recompute = true;
            sizes(&configuration, 256).unwrap().memory.activations
        };
        let [attention, delta, both] = [vec![0, 1, 2, 3], vec![], vec![3]].map(activations);
        assert!(attention != delta, "{attention}");
        assert!(both >= attention.max(delta), "{both}: {attention}, {delta}");
    }
}
