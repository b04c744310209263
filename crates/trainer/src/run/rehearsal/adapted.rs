//! The steps of adapters, timed before the model is read that they are for.
//!
//! A few layers of random weights, of the shape of the model's, take as long for each of their weights as the model
//! does. What is measured of them is multiplied by how many more weights the model has.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use interop::lora_backward::Place;
use models::{
    Base, Batch, Decoder, DecoderConfig, DeltaNets, Initial, Mixture, Shadow, WeightKind,
};
use nn::{BitLinearOptions, ScaleSync, Tape};

use super::{LARGEST, LARGEST_WINDOW, Rehearsal, fastest_step};
use crate::adapters::{Targets, attach, targets};
use crate::config::Configuration;
use crate::data::{Corpus, Example};
use crate::error::Result;
use crate::run::step::Training;

/// Layers of the small model at most.
const LAYERS: usize = 8;
/// Tokens that it has at most.
const TOKENS: usize = 1 << 13;
/// Experts of its layers at most, beside those that a row takes.
const EXPERTS: usize = 16;
/// Windows by which it is known how many rows one has.
const WINDOWS: u64 = 32;
/// Rows of a window at least, however large the layers are.
const ROWS: usize = 16;

/// How long parts of a run beside the model in a folder take.
///
/// # Errors
/// A configuration of a model that cannot be read, adapters that it cannot have, and those of a step.
pub(super) fn rehearse(
    configuration: &Configuration,
    folder: &Path,
    corpus: &Corpus,
) -> Result<Rehearsal> {
    let whole = interop::shape(folder)?;
    let places = whole.places();
    let chosen = targets(&configuration.lora, &places)?;
    let learning: Vec<&Place> = chosen.into_iter().map(|(_, place)| place).collect();

    let small = small(&whole);
    let seed = configuration.run.seed;
    let kind = kind(configuration.lora.base, folder, &whole);
    let mut model = Decoder::build(small.clone(), &mut Initial { seed, kind })?;
    let mut shorter = configuration.clone();
    shorter.lora.targets = parts(&learning, &small);
    (shorter.lora.exclude, shorter.lora.layers) = (None, None);
    shorter.optimiser.groups.clear();
    attach(&shorter, &mut model)?;
    let adapters = model.adapters();
    let small_places = small.places();
    let learning_of_small: Vec<&Place> =
        small_places.iter().filter(|place| adapters.get(&place.name).is_some()).collect();

    let weights = multiplied(&small, 0);
    let rows = rows_of_a_window(corpus)?;
    // Each number is multiplied once in the forward, and twice in the backward.
    let affordable = LARGEST_WINDOW as f64 * LARGEST as f64 / (3.0 * weights);
    let length = (rows.round() as usize).min(affordable as usize).max(ROWS).min(small.positions);
    let window = 3.0 * weights * length as f64;
    let wanted = configuration.batch.windows;
    shorter.batch.windows = ((LARGEST as f64 / window) as usize).clamp(1, wanted);

    let forward = forward_seconds(&model, length)? / length as f64;
    let tokens = small.vocabulary;
    let read_example = Box::new(move |index, example: &mut Example| {
        example.set_text(&text(index, length, tokens));
        Ok(())
    });
    let trained = length * shorter.batch.windows;
    let training = Training::new(&shorter, model, read_example, None)?;
    let both = fastest_step(training, configuration.run.steps)? / trained as f64;

    let forward_ratio = multiplied(&whole, 0) / weights;
    let learns_of_small = multiplied(&small, first(&learning_of_small, &small));
    let backward_ratio = multiplied(&whole, first(&learning, &whole)) / learns_of_small;
    let whole_forward = forward * forward_ratio;
    let row = whole_forward + (both - forward).max(0.0) * backward_ratio;
    let evaluated = corpus.held_out_windows() as f64;
    Ok(Rehearsal {
        step_seconds: row * rows * wanted as f64,
        evaluation_seconds: whole_forward * rows * evaluated,
    })
}

/// A model of the same layers, of which it has a few, one of each kind.
fn small(whole: &DecoderConfig) -> DecoderConfig {
    let attention = whole.delta.as_ref().and_then(|delta| delta.attention_layers.iter().min());
    let layers = attention.map_or(2, |&first| first.max(1) + 1).min(LAYERS).min(whole.layers);
    let is_there = |layer: &usize| *layer < layers;
    let here = |all: &[usize]| all.iter().copied().filter(is_there).collect();
    let delta = whole
        .delta
        .clone()
        .map(|delta| DeltaNets { attention_layers: here(&delta.attention_layers), ..delta });
    let mixture = whole.mixture.clone().map(|mixture| Mixture {
        experts: mixture.experts.min(EXPERTS.max(mixture.used)),
        dense_layers: here(&mixture.dense_layers),
        ..mixture
    });
    DecoderConfig {
        layers,
        delta,
        mixture,
        vocabulary: whole.vocabulary.min(TOKENS),
        ..whole.clone()
    }
}

/// Trits where the run keeps the model so, or where its files are small enough for them; and otherwise real numbers, which
/// those of two bytes take about as long as.
fn kind(base: Base, folder: &Path, whole: &DecoderConfig) -> WeightKind {
    let places = whole.places().into_iter();
    let numbers: u128 = places.map(|place| place.inputs as u128 * place.outputs as u128).sum();
    let table = 4 * whole.vocabulary as u128 * whole.width as u128;
    let is_small = || {
        let bytes = interop::weight_bytes(folder);
        bytes.is_ok_and(|bytes| u128::from(bytes).saturating_sub(table) < numbers)
    };
    if base != Base::Ternary && !is_small() {
        return WeightKind::Dense;
    }
    WeightKind::Ternary {
        options: BitLinearOptions::default(),
        shadow: Shadow::None,
        embedding: false,
        head: false,
        sync: ScaleSync::PerMatrix,
    }
}

/// The parts of layers that learn, as targets in the small model; all, where it has none of them.
fn parts(learning: &[&Place], small: &DecoderConfig) -> Targets {
    let places = small.places();
    let there: BTreeSet<&str> = places.iter().map(Place::part).collect();
    let learning: BTreeSet<&str> = learning.iter().map(|place| place.part()).collect();
    let parts: Vec<String> = learning.intersection(&there).map(|&part| part.to_owned()).collect();
    if parts.is_empty() { Targets::AllLinear } else { Targets::Endings(parts) }
}

/// The first layer with an adapter: nothing goes back beyond it.
fn first(learning: &[&Place], config: &DecoderConfig) -> usize {
    learning.iter().filter_map(|place| place.layer).min().unwrap_or(config.layers)
}

/// Numbers that a row is multiplied by in the head and in the layers from `first` on.
fn multiplied(config: &DecoderConfig, first: usize) -> f64 {
    let share = |place: &Place| match &config.mixture {
        Some(mixture) if place.kind == "expert" => mixture.used as f64 / mixture.experts as f64,
        _ => 1.0,
    };
    let places = config.places();
    let of_layers = places.iter().filter(|place| place.layer.is_some_and(|layer| layer >= first));
    let of_layers: f64 =
        of_layers.map(|place| share(place) * place.inputs as f64 * place.outputs as f64).sum();
    of_layers + config.vocabulary as f64 * config.width as f64
}

/// Rows of a window of the run: samples seldom fill theirs.
fn rows_of_a_window(corpus: &Corpus) -> Result<f64> {
    let mut example = Example::default();
    let mut rows = 0;
    for window in 0..WINDOWS {
        corpus.example(window, &mut example)?;
        rows += example.sequences.rows();
    }
    Ok(rows as f64 / WINDOWS as f64)
}

/// Any text.
fn text(index: u64, length: usize, tokens: usize) -> Vec<u32> {
    (0..=length as u64).map(|place| ((index * 31 + place * 7919) % tokens as u64) as u32).collect()
}

/// Seconds of the forward of a text of so many tokens, the second time.
fn forward_seconds(model: &Decoder<f32>, length: usize) -> Result<f64> {
    let mut tape = Tape::inference();
    let example = {
        let mut example = Example::default();
        example.set_text(&text(0, length, model.config().vocabulary));
        example
    };
    let batch =
        Batch { sequences: example.sequences, tokens: &example.tokens, targets: &example.targets };
    let mut seconds = f64::INFINITY;
    for _ in 0..2 {
        let begun = Instant::now();
        model.loss(batch, &mut tape)?;
        seconds = seconds.min(begun.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_model_has_a_layer_of_each_kind_and_adapters_where_the_large_one_has_them() {
        let whole = DecoderConfig { layers: 24, vocabulary: 248_320, ..DecoderConfig::hybrid() };
        let attention_layers: Vec<usize> = (0..24).filter(|layer| layer % 4 == 3).collect();
        let delta = whole.delta.clone().map(|delta| DeltaNets { attention_layers, ..delta });
        let whole = DecoderConfig { delta, ..whole };
        let small = small(&whole);
        assert_eq!((small.layers, small.vocabulary), (4, TOKENS));
        assert_eq!(small.delta.as_ref().unwrap().attention_layers, [3]);
        let places = whole.places();
        let late: Vec<&Place> = places
            .iter()
            .filter(|place| place.layer == Some(23) && place.name.ends_with("v_proj"))
            .collect();
        assert_eq!(first(&late, &whole), 23);
        assert_eq!(parts(&late, &small), Targets::Endings(vec!["self_attn.v_proj".to_owned()]));
        assert_eq!(parts(&[], &small), Targets::AllLinear);
        // Six times the layers, beside the heads.
        let head = |config: &DecoderConfig| (config.vocabulary * config.width) as f64;
        let layers = |config: &DecoderConfig| multiplied(config, 0) - head(config);
        assert_eq!(layers(&whole), 6.0 * layers(&small));
        assert_eq!(multiplied(&whole, 24), head(&whole));
    }
}
