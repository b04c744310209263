//! Decoders whose matrices share levels.

use std::collections::BTreeMap;

use models::{Decoder, DecoderConfig, Error, Initial, Mixture, Shadow, Start, WeightKind};
use nn::ternary_core::Granularity;
use nn::{
    BitLinearOptions, Gradients, LearnedLevels, LearnedRule, Module, Rounding, ScaleSync, Tape,
    Update, Values,
};

use crate::shapes::{FULL_BATCH, mixture, small};

fn shape(has_experts: bool) -> DecoderConfig {
    let mixture = has_experts.then(|| Mixture { balance: 0.01, ..mixture(24, 24) });
    DecoderConfig { per_layer: 6, mixture, ..small() }
}

fn build(has_experts: bool, sync: ScaleSync, learned: Option<LearnedRule>) -> Decoder<f32> {
    let learned = learned.map(|rule| LearnedLevels { rule, granularity: Granularity::Tensor });
    let options = BitLinearOptions { learned, ..BitLinearOptions::default() };
    let shadow = if learned.is_some() { Shadow::Bf16 } else { Shadow::F32 };
    let kind = WeightKind::Ternary { options, shadow, embedding: false, head: false, sync };
    Decoder::build(shape(has_experts), &mut Initial { seed: 3, kind }).unwrap()
}

/// Steps of gradient descent; the losses of the first and of the last.
fn train(model: &mut Decoder<f32>) -> [f64; 2] {
    let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(model.parameters()));
    let mut losses = Vec::new();
    for step in 0..40 {
        model.requantize(Update::hard(1, step)).unwrap();
        gradients.clear();
        losses.push(model.loss_and_gradients(FULL_BATCH, &mut tape, &mut gradients).unwrap().mean);
        model.finish_gradients(&mut gradients).unwrap();
        model.visit_mut(&mut |id, mut values| {
            let gradient = gradients.get(id);
            values.update(Rounding::Nearest, |start, run| {
                run.iter_mut().zip(&gradient[start..]).for_each(|(w, g)| *w -= 0.2 * g);
            });
        });
    }
    model.requantize(Update::hard(1, 40)).unwrap();
    [losses[0], losses[39]]
}

/// Which group a matrix belongs to: its own name where it shares with none.
fn group(name: &str, sync: ScaleSync) -> &str {
    let (layer, part) = name.split_at("model.layers.0".len());
    let is_channel = part.starts_with(".mlp.");
    match sync {
        ScaleSync::PerBlock if is_channel || part.starts_with(".per_layer_") => layer,
        ScaleSync::PerExpert if is_channel => name.rsplitn(3, '.').last().unwrap_or(name),
        _ => name,
    }
}

#[test]
fn matrices_have_the_scales_of_their_group_and_of_no_other_and_train() {
    for sync in ScaleSync::ALL {
        for has_experts in [false, true] {
            let ttq = LearnedRule::Ttq { threshold: 0.05, is_threshold_learned: true };
            for learned in [None, Some(ttq), Some(LearnedRule::Lsq)] {
                let name = format!("{sync}, experts {has_experts}, {learned:?}");
                let mut model = build(has_experts, sync, learned);
                let [first, last] = train(&mut model);
                assert!(last < 0.7 * first, "{name}: {first} to {last}");
                let mut scales = BTreeMap::<String, Vec<[u32; 2]>>::new();
                model.visit(&mut |tensor| {
                    if let Values::Ternary { matrix, .. } = tensor.values {
                        let scales = scales.entry(group(tensor.name, sync).to_owned()).or_default();
                        let both = [matrix.scales().negative()[0], matrix.scales().positive()[0]];
                        scales.push(both.map(f32::to_bits));
                    }
                });
                let nets = if has_experts { 4 } else { 1 };
                // Of each layer: attention, nets, and the embedding.
                let groups = 2 * match sync {
                    ScaleSync::PerMatrix => 4 + 3 * nets + 2,
                    ScaleSync::PerExpert => 4 + nets + 2,
                    ScaleSync::PerBlock => 4 + 1,
                };
                assert_eq!(scales.len(), groups, "{name}");
                let mut firsts: Vec<_> = scales.values().map(|scales| scales[0]).collect();
                assert!(
                    scales.values().all(|own| own.iter().all(|both| *both == own[0])),
                    "{name}"
                );
                firsts.sort_unstable();
                firsts.dedup();
                assert_eq!(firsts.len(), groups, "{name}");

                let loss = |model: &Decoder<f32>| {
                    model.loss(FULL_BATCH, &mut Tape::inference()).unwrap().mean.to_bits()
                };
                let before = loss(&model);
                model.drop_latent();
                assert_eq!((model.memory().latent, loss(&model)), (0, before), "{name}");
            }
        }
    }
}

#[test]
fn numbers_that_are_given_must_be_as_many_as_the_tensor_has() {
    for wanted in ["model.layers.0.mlp.up_proj.weight", "model.norm.weight"] {
        let mut values = |name: &str, shape: &[usize]| -> Result<_, Error> {
            let count = shape.iter().product::<usize>();
            // Twice as many rows.
            Ok((name == wanted).then(|| vec![0.5; 2 * count]))
        };
        let initial = Initial { seed: 1, kind: WeightKind::Dense };
        let mut source = Start { initial, values: &mut values };
        let error = Decoder::<f32>::build(shape(false), &mut source).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{wanted}: numbers that are given: ")), "{error}");
    }
}
