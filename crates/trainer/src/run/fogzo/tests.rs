use super::*;
use crate::config::Layers;
use crate::data::VOCABULARY;
use crate::run::model::build;
use models::Batch;
use nn::{Sequences, Tape};
use ternary_core::TernaryMatrix;

const TOKENS: [u32; 16] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3];
const TARGETS: [u32; 16] = [1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2];

fn configuration(settings: &[&str]) -> Configuration {
    let mut layers = Layers::default();
    let small = ["model.width=32", "model.layers=1", "model.feed_forward=48", "steps=10"];
    layers.add_assignments(small).unwrap();
    layers.add_assignments(settings.iter().copied()).unwrap();
    layers.resolve().unwrap()
}

fn batch() -> Batch<'static> {
    let sequences = Sequences { count: 2, length: 8 };
    Batch { sequences, tokens: &TOKENS, targets: &TARGETS }
}

fn objective(model: &Decoder<f32>) -> models::Result<f64> {
    let mut tape = Tape::recording();
    Ok(model.loss(batch(), &mut tape)?.mean + tape.auxiliary_loss())
}

/// The bits of the latent weights, and the codes with their scales.
fn weights(model: &mut Decoder<f32>) -> (Vec<u32>, Vec<TernaryMatrix>) {
    let (mut bits, mut matrices) = (Vec::new(), Vec::new());
    model.visit_mut(&mut |_, values| match values {
        ValuesMut::Real(values) | ValuesMut::F32(values) => {
            bits.extend(values.iter().map(|w| w.to_bits()));
        }
        ValuesMut::Bf16(values) => bits.extend(values.iter().map(|w| u32::from(w.to_bits()))),
        ValuesMut::Ternary(_) => {}
    });
    model.visit(&mut |tensor| {
        if let Values::Ternary { matrix, .. } = tensor.values {
            matrices.push(matrix.clone());
        }
    });
    (bits, matrices)
}

/// A model with the gradients of the estimator, and the update it is at.
fn prepared(configuration: &Configuration) -> (Decoder<f32>, Gradients<f32>, Update) {
    let mut model = build(configuration, VOCABULARY).unwrap();
    let update = Update { seed: 1, step: 9, total: 10, lambda: 1.0, is_noisy: true, levels: None };
    model.requantize(update).unwrap();
    let mut gradients = Gradients::zeros(model.parameters());
    model.loss_and_gradients(batch(), &mut Tape::recording(), &mut gradients).unwrap();
    model.finish_gradients(&mut gradients).unwrap();
    (model, gradients, update)
}

#[test]
fn weights_and_codes_are_afterwards_what_they_were_bit_for_bit() {
    for setting in ["ternary.latent=f32", "ternary.latent=bf16", "ternary.boundary_noise=1"] {
        let settings = [setting, "fogzo_from=0", "fogzo.directions=2", "fogzo.noise=1000"];
        let configuration = configuration(&settings);
        let (mut model, mut gradients, update) = prepared(&configuration);
        let (before, old) = (weights(&mut model), gradients.clone());
        let probing = Probing::new(&configuration).unwrap();
        let probed = probing.refine(&mut model, &mut gradients, objective, update).unwrap();
        assert_eq!(weights(&mut model), before, "{setting}");
        assert!(probed.promised_slope > 0.0 && probed.measured_slope != 0.0, "{probed:?}");
        let norm = gradients.norm();
        assert!(norm.is_finite() && norm > 0.0, "{norm}");
        // Latent weights have another gradient, everything else the same.
        let mut is_latent = vec![false; old.values().len()];
        spans(&model, &gradients).into_iter().for_each(|span| is_latent[span.range].fill(true));
        let pairs = old.values().iter().zip(gradients.values()).zip(is_latent);
        assert!(pairs.clone().all(|((old, new), is_latent)| is_latent || old == new));
        assert!(pairs.filter(|((old, new), is_latent)| *is_latent && old != new).count() > 1000);
    }
}

#[test]
fn probes_see_the_perturbed_codes() {
    let configuration = configuration(&["fogzo_from=0"]);
    let (mut model, _, update) = prepared(&configuration);
    let (before, latent) = (weights(&mut model), Latent::copy(&mut model));
    let numbers = model.parameters().numbers();
    latent.perturb(&mut model, &vec![1.0; numbers], 1, 0);
    model.requantize(update).unwrap();
    let moved = weights(&mut model);
    assert_ne!(moved.1, before.1);
    // A second perturbation starts from the copy, and the real parameters stay.
    latent.perturb(&mut model, &vec![0.0; numbers], 1, 0);
    assert_eq!(weights(&mut model).0, before.0);
}

#[test]
fn a_failed_probe_leaves_weights_codes_and_gradients() {
    let configuration = configuration(&["fogzo_from=0"]);
    let (mut model, mut gradients, update) = prepared(&configuration);
    let (before, old) = (weights(&mut model), gradients.clone());
    let probing = Probing::new(&configuration).unwrap();
    let wrong = Batch { targets: &TARGETS[1..], ..batch() };
    let failing = |model: &Decoder<f32>| Ok(model.loss(wrong, &mut Tape::inference())?.mean);
    assert!(probing.refine(&mut model, &mut gradients, failing, update).is_err());
    assert_eq!(weights(&mut model), before);
    assert_eq!(gradients, old);
}

#[test]
fn an_expert_without_rows_keeps_its_gradient_of_zero_and_is_not_moved() {
    for sync in ["ternary.scale_sync=per-matrix", "ternary.scale_sync=per-block"] {
        let settings = ["mixture.experts=40", "mixture.used=1", "fogzo_from=0", sync];
        let configuration = configuration(&[&settings[..], &["fogzo.noise=1e6"]].concat());
        let (mut model, mut gradients, update) = prepared(&configuration);
        let probing = Probing::new(&configuration).unwrap();
        let before = weights(&mut model);
        probing.refine(&mut model, &mut gradients, objective, update).unwrap();
        assert_eq!(weights(&mut model), before, "{sync}");
        let parameters = model.parameters();
        let mut idle = parameters.ids().filter(|&id| !gradients.is_touched(id)).peekable();
        assert!(idle.peek().is_some());
        assert!(idle.all(|id| gradients.get(id).iter().all(|&g| g == 0.0)), "{sync}");
    }
}

#[test]
fn each_scaling_group_has_the_step_of_its_scale() {
    let configuration = configuration(&["ternary.granularity=16", "fogzo_from=0"]);
    let (model, gradients, _) = prepared(&configuration);
    let spans = spans(&model, &gradients);
    assert!(spans.iter().all(|span| span.range.len() == 16));
    let first = spans[0].clone();
    let mut scale = None;
    model.visit(&mut |tensor| {
        if let Values::Ternary { matrix, .. } = tensor.values {
            scale.get_or_insert(matrix.scales().positive()[0]);
        }
    });
    let expected = scale.unwrap() / 12.0_f32.sqrt();
    assert!((first.step - expected).abs() < 1e-6 * expected);
    assert!(spans.iter().all(|span| span.range.end <= gradients.values().len()));
}

#[test]
fn the_phase_begins_where_it_should_or_never() {
    let phase = |settings: &[&str]| Probing::new(&configuration(settings));
    assert!(phase(&[]).is_none() && phase(&["fogzo_from=1"]).is_none());
    let probing = phase(&["fogzo_from=0.7"]).unwrap();
    assert_eq!([6, 7, 9].map(|updates| probing.is_on(updates)), [false, true, true]);
    // 0.55 · 100 is a rounding more than 55.
    let probing = phase(&["fogzo_from=0.55", "steps=100"]).unwrap();
    assert_eq!((probing.first, probing.length), (55, 45));
}

#[test]
fn probes_measure_the_losses_of_routers_too() {
    let with = |balance| configuration(&["fogzo_from=0", "mixture.experts=3", balance]);
    let (none, much) = (with("mixture.balance=0"), with("mixture.balance=1000"));
    let (_, gradients, update) = prepared(&none);
    // The same weights and the same direction, so that the losses alone can differ.
    let measured = |configuration: &Configuration| {
        let (mut model, ..) = prepared(configuration);
        let probing = Probing::new(configuration).unwrap();
        let start = Update { step: 0, ..update };
        let gradients = &mut gradients.clone();
        probing.refine(&mut model, gradients, objective, start).unwrap().measured_slope
    };
    let (none, much) = (measured(&none), measured(&much));
    assert!((much - none).abs() > 10.0 * none.abs(), "{none} and {much}");
}
