//! Adapters in a whole decoder: where they can be, what they learn, and that without them it is what it was.

use std::collections::BTreeMap;

use lora_backward::{Adapter, AdapterMode, Adapters, Place, Scaling};
use models::{Batch, Decoder, DecoderConfig, Initial, Shadow, WeightKind};
use nn::ternary_core::Real;
use nn::ternary_core::noise::Noise;
use nn::{
    Compute, Dropout, Gradients, Module, Nonlinearity, Sequences, Tape, Update, ValuesMut,
    visit_state,
};

use crate::shapes::{self, BATCH, TARGETS, TOKENS, mixture, small};

const DROPOUT: Dropout = Dropout { seed: 3, step: 4, first_row: 0 };

/// A delta net, attention as in Qwen3.5, a delta net with experts.
fn hybrid(is_fused: bool) -> DecoderConfig {
    let mut mixture = mixture(24, 20);
    mixture.dense_layers = vec![0, 1];
    let shape = DecoderConfig {
        layers: 3,
        heads: 4,
        key_heads: 2,
        rotary_width: 2,
        nonlinearity: Nonlinearity::SwiGlu,
        tied_head: false,
        sub_norms: false,
        mixture: Some(mixture),
        ..small()
    };
    shapes::hybrid([3, 5], is_fused, shape)
}

fn ternary(shadow: Shadow) -> WeightKind {
    shapes::ternary(false, false, shadow)
}

fn model<T: Compute>(kind: WeightKind, is_fused: bool) -> Decoder<T> {
    Decoder::build(hybrid(is_fused), &mut Initial { seed: 3, kind }).unwrap()
}

/// Adapters whose factors are random, of ranks 1 to 3, in these places.
fn adapters<T: Real>(places: &[Place], is_chosen: impl Fn(&Place) -> bool) -> Adapters<T> {
    let mut adapters = Adapters::default();
    for (index, place) in places.iter().enumerate().filter(|(_, place)| is_chosen(place)) {
        let (shape, least) = ([place.outputs, place.inputs], place.inputs.min(place.outputs));
        let scaling = Scaling { alpha: 1.5, rank_stabilised: index % 2 == 1 };
        let rank = (1 + index % 3).min(least);
        let mut adapter = Adapter::kaiming(&place.name, shape, rank, scaling, 1).unwrap();
        let mut numbers = vec![0.0; adapter.b.len()];
        Noise::new(2, index as u32, 0).fill_normal(0, &mut numbers);
        adapter.b = numbers.into_iter().map(|z| T::from_f32(0.3 * z)).collect();
        adapters.insert(&place.name, adapter).unwrap();
    }
    adapters
}

fn dropping<T>(dropout: f64, mut adapters: Adapters<T>) -> Adapters<T> {
    adapters.dropout = dropout;
    adapters
}

fn adapted<T: Compute>(kind: WeightKind, is_fused: bool) -> Decoder<T> {
    let mut model = model(kind, is_fused);
    let adapters = adapters(&model.places(), |_| true);
    model.attach(&adapters).unwrap();
    model
}

/// The bits of scores, of losses, of what a cache gives, and of the gradients.
fn bits(model: &Decoder<f32>, tape: &mut Tape<f32>) -> Vec<Vec<u32>> {
    let scores = model.scores(&TOKENS, BATCH.sequences, &mut Tape::inference()).unwrap();
    let mut cache = model.cache(1);
    let mut next = Vec::new();
    for token in TOKENS {
        next.extend(model.advance(&[token], &mut cache, &mut Tape::inference()).unwrap());
    }
    let mut gradients = Gradients::zeros(model.parameters());
    let loss = model.loss_and_gradients(BATCH, tape, &mut gradients).unwrap();
    let arrays = [scores, next, vec![loss.mean as f32], gradients.values().to_vec()];
    arrays.iter().map(|values| values.iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn every_gradient_of_an_adapter_is_the_slope_of_the_loss() {
    for is_fused in [false, true] {
        let mut model = adapted::<f64>(WeightKind::Dense, is_fused);
        let mut gradients = Gradients::zeros(model.parameters());
        model.loss_and_gradients(BATCH, &mut Tape::recording(), &mut gradients).unwrap();
        let loss = |model: &Decoder<f64>| model.loss(BATCH, &mut Tape::inference()).unwrap().mean;
        let nudge = |model: &mut Decoder<f64>, index: usize, change: f64| {
            let parameters = model.parameters().clone();
            model.visit_mut(&mut |id, values| {
                let range = parameters.range(id);
                if let (true, ValuesMut::Real(values)) = (range.contains(&index), values) {
                    values[index - range.start] += change;
                }
            });
        };
        let largest = gradients.values().iter().fold(0.0_f64, |max, g| max.max(g.abs()));
        let step = 1e-5;
        for index in (0..gradients.values().len()).step_by(5) {
            // A factor of the first layer bends the loss so much that two points are not enough.
            let mut difference = |steps: f64| {
                nudge(&mut model, index, steps * step);
                let above = loss(&model);
                nudge(&mut model, index, -2.0 * steps * step);
                let below = loss(&model);
                nudge(&mut model, index, steps * step);
                above - below
            };
            let slope = (8.0 * difference(1.0) - difference(2.0)) / (12.0 * step);
            let found = gradients.values()[index];
            assert!((slope - found).abs() < 1e-8 * largest.max(1.0), "{index}: {slope}, {found}");
        }
    }
}

#[test]
fn what_learns_are_the_factors_alone_in_the_order_of_the_places() {
    let mut model = model::<f32>(WeightKind::Dense, false);
    let (own, places) = (model.parameters().clone(), model.places());
    let adapters = adapters::<f32>(&places, |place| place.kind == "gated delta net");
    model.attach(&adapters).unwrap();
    let parameters = model.parameters();
    let learning: Vec<&str> =
        parameters.ids().filter(|id| !id.is_frozen()).map(|id| parameters.name(id)).collect();
    let mut expected = Vec::new();
    for place in places.iter().filter(|place| place.kind == "gated delta net") {
        expected.extend(["A", "B"].map(|factor| format!("{}.lora_{factor}.weight", place.name)));
    }
    assert_eq!(learning, expected);
    assert_eq!(learning.len(), 2 * 2 * 5);
    let numbers: usize = adapters.iter().map(|(_, own)| own.a.len() + own.b.len()).sum();
    assert_eq!((parameters.numbers(), parameters.len()), (numbers, own.len() + expected.len()));
    let mut state = Vec::new();
    visit_state(&model, &mut |name, _| state.push(name.to_owned()));
    assert_eq!(state, expected);
    assert_eq!(model.adapters(), adapters);
}

#[test]
fn places_are_told_with_layer_kind_and_shape() {
    let places = model::<f32>(WeightKind::Dense, false).places();
    let of = |name: &str| {
        let place = places.iter().find(|place| place.name == name).unwrap();
        (place.layer, place.kind, [place.outputs, place.inputs])
    };
    let layers = "model.layers";
    for (name, layer, kind, shape) in [
        (format!("{layers}.0.linear_attn.in_proj_qkv"), Some(0), "gated delta net", [32, 12]),
        (format!("{layers}.0.linear_attn.in_proj_a"), Some(0), "gated delta net", [4, 12]),
        (format!("{layers}.0.mlp.down_proj"), Some(0), "feed-forward", [12, 14]),
        (format!("{layers}.1.self_attn.q_proj"), Some(1), "attention", [48, 12]),
        (format!("{layers}.2.mlp.gate"), Some(2), "router", [3, 12]),
        (format!("{layers}.2.mlp.experts.1.gate_proj"), Some(2), "expert", [24, 12]),
        (format!("{layers}.2.mlp.shared_expert.up_proj"), Some(2), "shared expert", [20, 12]),
        (format!("{layers}.2.mlp.shared_expert_gate"), Some(2), "router", [1, 12]),
        ("lm_head".to_owned(), None, "head", [11, 12]),
    ] {
        assert_eq!(of(&name), (layer, kind, shape), "{name}");
    }
    assert_eq!(places.len(), (5 + 3) + (4 + 3) + (5 + 1 + 9 + 3 + 1) + 1);
}

#[test]
fn disabled_and_detached_a_model_is_the_one_without_adapters_bit_for_bit() {
    for kind in [WeightKind::Dense, ternary(Shadow::F32), ternary(Shadow::None)] {
        for is_frozen in [false, true] {
            let build = || {
                let mut model = model::<f32>(kind.clone(), true);
                if is_frozen {
                    model.drop_latent();
                }
                model
            };
            let expected = bits(&build(), &mut Tape::recording());
            let mut model = build();
            model.attach(&adapters(&model.places(), |_| true)).unwrap();
            let (mut tape, adapted) = (Tape::recording(), model.adapters());
            let with = bits(&model, &mut tape);
            assert!((0..4).all(|part| with[part] != expected[part]));
            model.set_adapters(AdapterMode::Disabled).unwrap();
            let without = bits(&model, &mut tape);
            assert_eq!(without[..3], expected[..3]);
            assert!(without[3].iter().all(|&bits| bits == 0));
            model.set_adapters(AdapterMode::Enabled).unwrap();
            assert_eq!(bits(&model, &mut tape), with);
            assert_eq!(model.detach().unwrap(), adapted);
            assert_eq!(bits(&model, &mut tape), expected);
            assert_eq!(model.parameters(), build().parameters());
        }
    }
}

#[test]
fn merged_a_model_says_nearly_the_same_and_unmerged_the_same_bits() {
    for kind in [WeightKind::Dense, ternary(Shadow::F32)] {
        let is_dense = matches!(kind, WeightKind::Dense);
        let mut model = adapted::<f32>(kind, false);
        let apart = bits(&model, &mut Tape::recording());
        model.merge().unwrap();
        let merged = bits(&model, &mut Tape::recording());
        for (merged, apart) in merged[0].iter().zip(&apart[0]) {
            let (merged, apart) = (f32::from_bits(*merged), f32::from_bits(*apart));
            assert!(!is_dense || (merged - apart).abs() < 1e-4, "{merged} and {apart}");
        }
        assert_ne!(merged[0], apart[0]);
        let name = "model.layers.1.self_attn.k_proj";
        let mut weights = BTreeMap::new();
        model
            .each_merged_weight(|name, shape, weight| {
                weights.insert(name.to_owned(), (shape, weight));
            })
            .unwrap();
        let adapters = model.adapters();
        assert!(adapters.iter().map(|(name, _)| name).eq(weights.keys()));
        let mut base = Vec::new();
        model.visit(&mut |tensor| {
            if let (true, nn::Values::Real(values)) =
                (tensor.name == format!("{name}.weight"), tensor.values)
            {
                base = values.to_vec();
            }
        });
        if is_dense {
            model.adapters().get(name).unwrap().add_to(0..12, &mut base).unwrap();
            let shape = [12, base.len() / 12];
            assert_eq!(weights[name], (shape, base));
        }
        model.unmerge().unwrap();
        assert_eq!(bits(&model, &mut Tape::recording()), apart);
    }
}

#[test]
fn blocks_before_the_first_adapter_run_without_a_tape_and_change_no_bit() {
    let run = |is_chosen: &dyn Fn(&Place) -> bool| {
        let mut model = model::<f32>(WeightKind::Dense, false);
        let mut adapters = adapters::<f32>(&model.places(), is_chosen);
        // One that adds nothing makes the blocks from its own on be recorded.
        let first = "model.layers.0.mlp.up_proj";
        if let Some(adapter) = adapters.get(first).cloned() {
            let mut others = Adapters::default();
            for (module, own) in adapters.iter().filter(|(module, _)| *module != first) {
                others.insert(module, own.clone()).unwrap();
            }
            let b = vec![0.0; adapter.b.len()];
            others.insert(first, Adapter { b, ..adapter }).unwrap();
            adapters = others;
        }
        model.attach(&adapters).unwrap();
        let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(model.parameters()));
        model.loss_and_gradients(BATCH, &mut tape, &mut gradients).unwrap();
        assert!(tape.is_empty());
        let name = "model.layers.2.linear_attn.in_proj_qkv.lora_A.weight";
        let of_last = gradients.get(model.parameters().find(name).unwrap()).to_vec();
        (tape.size_bytes(), of_last)
    };
    let (late, found) = run(&|place| place.layer == Some(2));
    let (full, expected) =
        run(&|place| place.layer == Some(2) || place.name == "model.layers.0.mlp.up_proj");
    assert_eq!(found, expected);
    assert!(found.iter().all(|&g| g != 0.0));
    assert!(late < full * 3 / 4, "{late} and {full}");
}

#[test]
fn a_model_in_which_the_head_alone_learns_keeps_nothing_of_its_blocks() {
    let mut model = model::<f64>(WeightKind::Dense, false);
    model.attach(&adapters(&model.places(), |place| place.kind == "head")).unwrap();
    let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(model.parameters()));
    model.loss_and_gradients(BATCH, &mut tape, &mut gradients).unwrap();
    assert!(tape.is_empty() && gradients.norm() > 0.0);
}

#[test]
fn recomputing_drops_the_same_inputs() {
    let model = adapted::<f32>(WeightKind::Dense, false);
    let adapters = dropping(0.5, model.adapters());
    let mut model = self::model::<f32>(WeightKind::Dense, false);
    model.attach(&adapters).unwrap();
    let run = |mut tape: Tape<f32>, dropout| {
        tape.set_dropout(dropout);
        bits(&model, &mut tape)
    };
    let expected = run(Tape::recording(), Some(DROPOUT));
    assert_eq!(run(Tape::recording().recomputing(), Some(DROPOUT)), expected);
    let other = Dropout { step: 5, ..DROPOUT };
    for dropout in [None, Some(other)] {
        let found = run(Tape::recording(), dropout);
        assert_eq!(found[..2], expected[..2]);
        assert!(found[2] != expected[2] && found[3] != expected[3]);
    }
}

#[test]
fn what_is_dropped_of_a_sequence_does_not_depend_on_those_beside_it() {
    let mut model = model::<f64>(WeightKind::Dense, true);
    let adapters = dropping(0.5, adapters(&model.places(), |_| true));
    model.attach(&adapters).unwrap();
    let losses = |batch, dropout| {
        let mut tape = Tape::inference();
        tape.set_dropout(dropout);
        model.losses(batch, &mut tape).unwrap()
    };
    let both = losses(BATCH, Some(DROPOUT));
    assert_ne!(both, losses(BATCH, None));
    let (tokens, targets) = (&TOKENS[5..], &TARGETS[5..]);
    let second = Batch { sequences: Sequences { count: 1, length: 5 }, tokens, targets };
    assert_eq!(losses(second, Some(Dropout { first_row: 5, ..DROPOUT })), both[5..]);
    assert_ne!(losses(second, Some(DROPOUT)), both[5..]);
}

#[test]
fn a_frozen_ternary_base_keeps_its_codes_whatever_update_comes() {
    let mut model = adapted::<f32>(ternary(Shadow::F32), false);
    let before = bits(&model, &mut Tape::recording());
    model.requantize(Update { lambda: 0.5, ..Update::hard(9, 3) }).unwrap();
    model.decide_again(Update { lambda: 0.5, ..Update::hard(9, 3) }).unwrap();
    assert_eq!(bits(&model, &mut Tape::recording()), before);
    model.detach().unwrap();
    model.requantize(Update { lambda: 0.5, ..Update::hard(9, 3) }).unwrap();
}

#[test]
fn adapters_that_do_not_fit_leave_the_model_as_it_was() {
    let mut model = model::<f32>(ternary(Shadow::F32), false);
    let expected = bits(&model, &mut Tape::recording());
    let places = model.places();
    let good = adapters::<f32>(&places, |place| place.kind == "attention");
    let scaling = Scaling { alpha: 1.0, rank_stabilised: false };
    let mut wrong = Vec::new();
    for (module, shape, message) in [
        (
            "model.layers.1.linear_attn.in_proj_qkv",
            [32, 12],
            "model.layers.1.linear_attn.in_proj_qkv: layer 1 is attention and has no \
             linear_attn.in_proj_qkv; layers with it: 0, 2",
        ),
        (
            "model.layers.0.mlp.up_proj",
            [13, 12],
            "model.layers.0.mlp.up_proj (layer 0, feed-forward)",
        ),
        ("model.layers.3.mlp.up_proj", [14, 12], "model.layers.3.mlp.up_proj: expected one of"),
        ("model.embed_tokens", [11, 12], "model.embed_tokens: expected a projection of the model"),
    ] {
        let mut adapters = good.clone();
        adapters.insert(module, Adapter::kaiming(module, shape, 2, scaling, 1).unwrap()).unwrap();
        wrong.push((adapters, message));
    }
    wrong.push((dropping(1.5, good.clone()), "dropout: expected"));
    for (adapters, message) in wrong {
        let error = model.attach(&adapters).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
        assert!(model.adapters().is_empty());
        assert_eq!(bits(&model, &mut Tape::recording()), expected);
    }
    model.attach(&good).unwrap();
    let error = model.attach(&good).unwrap_err().to_string();
    assert_eq!(
        error,
        "adapters: expected a model without them, found a model that has some: detach them"
    );
    assert_eq!(model.adapters(), good);
}

#[test]
fn what_cannot_be_merged_leaves_every_adapter_as_it_was() {
    let mut model = model::<f32>(ternary(Shadow::F32), false);
    // On the way from latent to ternary weights.
    model.requantize(Update { lambda: 0.5, ..Update::hard(1, 1) }).unwrap();
    model.attach(&adapters(&model.places(), |_| true)).unwrap();
    let expected = bits(&model, &mut Tape::recording());
    let error = model.merge().unwrap_err().to_string();
    assert!(error.contains("weights to be merged"), "{error}");
    assert_eq!(bits(&model, &mut Tape::recording()), expected);
}
