//! Tests of the whole layer.

use std::sync::Arc;

use half::bf16;
use ste::Mode;
use ternary_core::quantize::{Absmean, FixedThreshold, Ttq};
use ternary_core::{Granularity, Quantizer, Weights};

use super::*;
use crate::module::{Module, Values, ValuesMut};
use crate::ops::fake_quantize;
use crate::projection::{Activations, LearnedLevels, LearnedRule, Projection, TernaryLinear};
use crate::{Error, Gradients, Input, Tape};

const SHAPE: [usize; 2] = [5, 24];

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; count];
    ternary_core::noise::Noise::new(seed, 0, 0).fill_normal(0, &mut numbers);
    numbers
}

fn layer<P: ShadowPrecision>(options: BitLinearOptions) -> (BitLinear<P>, Parameters) {
    let mut parameters = Parameters::new();
    let layer = BitLinear::random("layer", SHAPE, 0.3, 1, options, &mut parameters).unwrap();
    (layer.with_bias(&mut parameters).unwrap(), parameters)
}

/// Outputs, gradient of the inputs, and those of the parameters after the estimator.
fn run<P: ShadowPrecision>(
    layer: &BitLinear<P>,
    parameters: &Parameters,
    x: &[f32],
    dy: &[f32],
) -> [Vec<f32>; 3] {
    let mut tape = Tape::recording();
    let mut gradients = Gradients::zeros(parameters);
    let mut input = Input::new("layer", x.to_vec(), SHAPE[1]).unwrap();
    let mut y = vec![0.0; input.rows() * SHAPE[0]];
    layer.forward(&mut input, &mut y, &mut tape).unwrap();
    tape.save_input(input);
    let input = tape.restore_input("layer").unwrap();
    let mut dx = vec![0.0; x.len()];
    layer.backward(&input, dy, Some(&mut dx), &mut tape, &mut gradients).unwrap();
    layer.finish_gradients(&mut gradients).unwrap();
    [y, dx, gradients.values().to_vec()]
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-5 * largest, "{found} and {expected}");
    }
}

/// y = x̂·Wᵀ + b, dx = dy·W, dW = dyᵀ·x̂ and db, by plain loops.
fn by_loops(x: &[f32], w: &[f32], bias: &[f32], dy: &[f32]) -> [Vec<f32>; 3] {
    let [outputs, inputs] = SHAPE;
    let rows = x.len() / inputs;
    let mut y = vec![0.0; rows * outputs];
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
    let mut db = vec![0.0; outputs];
    for r in 0..rows {
        for o in 0..outputs {
            let upstream = dy[r * outputs + o];
            for i in 0..inputs {
                y[r * outputs + o] += x[r * inputs + i] * w[o * inputs + i];
                dx[r * inputs + i] += upstream * w[o * inputs + i];
                dw[o * inputs + i] += upstream * x[r * inputs + i];
            }
            y[r * outputs + o] += bias[o];
            db[o] += upstream;
        }
    }
    dw.extend(db);
    [y, dx, dw]
}

/// Symmetric rules of every granularity, and one with a magnitude of its own for each sign and group.
fn rules() -> Vec<Arc<dyn Quantizer>> {
    let group = Granularity::group(8).unwrap();
    let weights = numbers(10, SHAPE[0] * SHAPE[1]);
    let asymmetric =
        Ttq::initialised(group, SHAPE[0], SHAPE[1], Weights::F32(&weights), 0.3).unwrap();
    let symmetric = [Granularity::Tensor, Granularity::Row, group];
    let symmetric = symmetric.map(|granularity| Arc::new(Absmean::new(granularity)) as _);
    symmetric.into_iter().chain([Arc::new(asymmetric) as _]).collect()
}

#[test]
fn forward_and_backward_are_those_of_the_quantised_weights() {
    let rows = 3;
    let (x, dy) = (numbers(2, rows * SHAPE[1]), numbers(3, rows * SHAPE[0]));
    for activations in [Activations::Int8, Activations::Real] {
        for quantizer in rules() {
            let options = BitLinearOptions { quantizer, activations, ..Default::default() };
            let (mut layer, parameters) = layer::<f32>(options);
            layer.bias_mut().unwrap().copy_from_slice(&numbers(4, SHAPE[0]));
            let bias = layer.bias_mut().unwrap().to_vec();
            let mut seen = x.clone();
            if activations == Activations::Int8 {
                fake_quantize(&x, rows, &mut seen).unwrap();
            }
            for lambda in [1.0, 0.4, 0.0] {
                layer.decide_codes(Update { lambda, ..Update::hard(0, 1) }).unwrap();
                let shadow = layer.shadow().unwrap();
                let effective: Vec<f32> = shadow
                    .iter()
                    .zip(layer.weight().to_f32())
                    .map(|(w, q)| w + lambda * (q - w))
                    .collect();
                let expected = by_loops(&seen, &effective, &bias, &dy);
                for (found, expected) in run(&layer, &parameters, &x, &dy).iter().zip(&expected) {
                    assert_close(found, expected);
                }
            }
        }
    }
}

#[test]
fn training_and_inference_forward_are_the_same_bits() {
    let (layer, _) = layer::<f32>(BitLinearOptions::default());
    let x = numbers(5, 7 * SHAPE[1]);
    let outputs = [Tape::recording(), Tape::inference()].map(|mut tape| {
        let mut input = Input::new("layer", x.clone(), SHAPE[1]).unwrap();
        let mut y = vec![0.0; 7 * SHAPE[0]];
        layer.forward(&mut input, &mut y, &mut tape).unwrap();
        y
    });
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn the_ramp_mixes_the_gradients_of_both_ends() {
    let mode: Mode = "clipped-hard".parse().unwrap();
    let options = BitLinearOptions {
        estimator: mode.estimator(),
        quantizer: Arc::new(FixedThreshold::new(Granularity::Tensor, 0.1).unwrap()),
        ..Default::default()
    };
    let (mut layer, parameters) = layer::<f32>(options);
    let (x, dy) = (numbers(6, SHAPE[1]), numbers(7, SHAPE[0]));
    let mut at = |lambda| {
        layer.decide_codes(Update { lambda, ..Update::hard(0, 1) }).unwrap();
        run(&layer, &parameters, &x, &dy)[2].clone()
    };
    let [latent, ternary, between] = [0.0, 1.0, 0.25].map(&mut at);
    assert!(latent.iter().zip(&ternary).any(|(l, t)| *l != 0.0 && *t == 0.0));
    let expected: Vec<f32> = latent.iter().zip(&ternary).map(|(l, t)| l + 0.25 * (t - l)).collect();
    assert_close(&between, &expected);
}

#[test]
fn the_shadow_comes_from_the_ternary_weights_and_goes_again() {
    let (mut layer, parameters) = layer::<bf16>(BitLinearOptions::default());
    let (x, dy) = (numbers(8, SHAPE[1]), numbers(9, SHAPE[0]));
    let [y, dx, _] = run(&layer, &parameters, &x, &dy);
    let with_shadow = layer.allocated();
    layer.drop_shadow();
    assert!(layer.shadow().is_none() && layer.allocated().latent == 0);
    assert!(layer.allocated().total() < with_shadow.total());
    let [frozen_y, frozen_dx, gradients] = run(&layer, &parameters, &x, &dy);
    assert_eq!((frozen_y, frozen_dx), (y.clone(), dx));
    assert!(gradients[..SHAPE[0] * SHAPE[1]].iter().all(|&g| g == 0.0));
    let before = layer.weight().clone();
    layer.decide_codes(Update::hard(1, 1)).unwrap();
    assert_eq!(*layer.weight(), before);

    layer.init_shadow_from_ternary().unwrap();
    let shadow: Vec<f32> = layer.shadow().unwrap().iter().map(|w| w.to_f32()).collect();
    let rounded: Vec<f32> =
        before.to_f32().into_iter().map(|w| bf16::from_f32(w).to_f32()).collect();
    assert_eq!(shadow, rounded);
    assert_eq!(run(&layer, &parameters, &x, &dy)[0], y);
    layer.decide_codes(Update::hard(1, 2)).unwrap();
    assert_eq!(layer.weight().to_trits(), before.to_trits());
}

#[test]
fn learned_levels_go_with_the_shadow_and_come_back_from_the_ternary_weights() {
    let rules = [
        LearnedRule::Seq,
        LearnedRule::Lsq,
        LearnedRule::Ttq { threshold: 0.3, is_threshold_learned: false },
        LearnedRule::Ttq { threshold: 0.3, is_threshold_learned: true },
    ];
    for (rule, granularity) in
        rules.into_iter().flat_map(|rule| [(rule, Granularity::Tensor), (rule, Granularity::Row)])
    {
        let learned = Some(LearnedLevels { rule, granularity });
        let (mut layer, parameters) =
            layer::<f32>(BitLinearOptions { learned, ..BitLinearOptions::default() });
        // Learned levels other than those of the start.
        Module::<f32>::visit_mut(&mut layer, &mut |id, values| {
            if let ValuesMut::F32(values) = values
                && parameters.name(id).contains("scale")
            {
                values.iter_mut().for_each(|value| *value *= 1.5);
            }
        });
        layer.decide_codes(Update::hard(0, 1)).unwrap();
        let (x, dy) = (numbers(1, 2 * SHAPE[1]), numbers(2, 2 * SHAPE[0]));
        let names = |layer: &BitLinear<f32>| {
            let mut names = Vec::new();
            Module::<f32>::visit(layer, &mut |tensor| names.push(tensor.name.to_owned()));
            names
        };
        let (before, weight, all) =
            (run(&layer, &parameters, &x, &dy), layer.base.clone(), names(&layer));
        layer.drop_shadow();
        assert_eq!(names(&layer), ["layer.weight", "layer.bias"]);
        let [y, dx, gradients] = run(&layer, &parameters, &x, &dy);
        assert_eq!((&y, &dx), (&before[0], &before[1]));
        assert!(gradients[..SHAPE[0] * SHAPE[1]].iter().all(|&g| g == 0.0));

        layer.init_shadow_from_ternary().unwrap();
        assert_eq!(names(&layer), all);
        layer.decide_codes(Update::hard(0, 2)).unwrap();
        assert_eq!(layer.base.to_trits(), weight.to_trits(), "{rule:?} {granularity:?}");
        assert_close(&layer.base.to_f32(), &weight.to_f32());
        assert_close(&run(&layer, &parameters, &x, &dy)[0], &before[0]);
    }
}

#[test]
fn the_running_average_of_the_scale_is_one() {
    let options = BitLinearOptions { scale_average: 0.75, ..Default::default() };
    let (mut layer, _) = layer::<f32>(options);
    let first = layer.weight().scales().positive()[0];
    let mut average = layer.levels()[0].positive;
    assert_eq!(first, average);
    for step in 1..=20 {
        layer.shadow_mut().unwrap().iter_mut().for_each(|w| *w = 2.0 * first * w.signum());
        layer.decide_codes(Update::hard(1, step)).unwrap();
        average = 0.75 * average + 0.25 * 2.0 * first;
        let found = layer.weight().scales().positive()[0];
        assert!((found - average).abs() < 1e-6 * average, "{found} and {average} at {step}");
        assert_eq!(found, layer.levels()[0].positive);
    }
    assert!((average - 2.0 * first).abs() < 0.01 * first);
}

#[test]
fn boundary_noise_has_no_bias_and_belongs_to_its_step() {
    const THRESHOLD: f32 = 0.25;
    let rule = FixedThreshold::new(Granularity::Tensor, THRESHOLD).unwrap();
    let options =
        BitLinearOptions { quantizer: Arc::new(rule), boundary_noise: 0.5, ..Default::default() };
    let mut parameters = Parameters::new();
    let mut layer =
        BitLinear::<f32>::random("l", [64, 64], 0.3, 1, options, &mut parameters).unwrap();
    // Weights on the border: noise decides, either way equally often. Others are out of its reach.
    let shadow = layer.shadow_mut().unwrap();
    let count = shadow.len() / 2;
    shadow[..count].fill(THRESHOLD);
    shadow[count..].iter_mut().for_each(|w| *w = w.signum() * 1.6 * THRESHOLD);
    let steps = 20;
    let mut ones = 0;
    for step in 1..=steps {
        layer.decide_codes(Update::hard(3, step)).unwrap();
        let trits = layer.weight().to_trits();
        ones += trits[..count].iter().filter(|&&t| t == 1).count();
        assert!(trits[count..].iter().all(|t| t.abs() == 1));
    }
    let draws = count as f64 * f64::from(steps);
    assert!((ones as f64 - 0.5 * draws).abs() < 4.0 * (0.25 * draws).sqrt(), "{ones} of {draws}");

    // Codes that are kept are decided without noise: on the border they are 0.
    layer.decide_codes(Update::hard(3, 30).without_noise()).unwrap();
    assert!(layer.weight().to_trits()[..count].iter().all(|&t| t == 0));

    let again = layer.clone();
    let decide = |mut layer: BitLinear<f32>, step| {
        layer.decide_codes(Update::hard(3, step)).unwrap();
        layer.weight().to_trits()
    };
    assert_eq!(decide(layer.clone(), 60), decide(again.clone(), 60));
    assert_ne!(decide(layer, 60), decide(again, 61));
}

#[test]
fn weights_that_are_not_finite_change_nothing() {
    let (mut layer, _) = layer::<f32>(BitLinearOptions::default());
    let (before, levels) = (layer.weight().clone(), layer.levels().to_vec());
    layer.shadow_mut().unwrap()[7] = f32::NAN;
    let error = layer.decide_codes(Update::hard(1, 1)).unwrap_err();
    assert!(matches!(&error, Error::Core { layer, .. } if layer == "layer"), "{error}");
    assert_eq!((layer.weight(), layer.levels()), (&before, &levels[..]));
    let out_of_range = layer.decide_codes(Update { lambda: 1.5, ..Update::hard(1, 1) });
    assert!(matches!(out_of_range, Err(Error::Setting { .. })));
}

#[test]
fn options_out_of_range_and_wrong_shapes_are_refused() {
    let make = |options, inputs, count| {
        let weight = vec![0.1_f32; count];
        BitLinear::from_weight("l", inputs, weight, options, &mut Parameters::new()).map(|_| ())
    };
    for (scale_average, boundary_noise, dead_bias) in [
        (1.0, 0.0, 0.0),
        (f32::NAN, 0.0, 0.0),
        (0.0, -1.0, 0.0),
        (0.0, 0.0, -1.0),
        (0.0, 0.0, f32::NAN),
    ] {
        let options =
            BitLinearOptions { scale_average, boundary_noise, dead_bias, ..Default::default() };
        assert!(matches!(make(options, 2, 4), Err(Error::Setting { .. })));
    }
    assert!(matches!(make(Default::default(), 3, 4), Err(Error::Shape { .. })));
    let (layer, _) = layer::<f32>(BitLinearOptions::default());
    let mut input = Input::new("x", vec![0.0_f32; 10], 5).unwrap();
    let error = layer.forward(&mut input, &mut [0.0; 10], &mut Tape::inference()).unwrap_err();
    assert_eq!(error.to_string(), "layer: columns of inputs: expected 24, found 5");
}

/// δ·Σ of the latent weights of each output whose trit is 0.
fn dead_sums(layer: &BitLinear<f32>, factor: f64) -> Vec<f32> {
    let trits = layer.weight().to_trits();
    let latent = layer.shadow().unwrap().iter().zip(&trits);
    let dead: Vec<f64> =
        latent.map(|(&w, &trit)| if trit == 0 { f64::from(w) } else { 0.0 }).collect();
    dead.chunks(SHAPE[1]).map(|row| (factor * row.iter().sum::<f64>()) as f32).collect()
}

#[test]
fn weights_that_are_zero_are_a_bias_and_inference_adds_the_same_bits() {
    let options = BitLinearOptions { dead_bias: 0.5, ..Default::default() };
    let (mut layer, parameters) = layer::<f32>(options);
    let own = numbers(4, SHAPE[0]);
    layer.bias_mut().unwrap().copy_from_slice(&own);
    let (x, dy) = (numbers(2, 3 * SHAPE[1]), numbers(3, 3 * SHAPE[0]));
    let mut seen = x.clone();
    fake_quantize(&x, 3, &mut seen).unwrap();
    for lambda in [0.0, 0.25, 1.0] {
        layer.decide_codes(Update { lambda, ..Update::hard(0, 1) }).unwrap();
        let dead = dead_sums(&layer, 0.5);
        assert!(dead.iter().all(|&dead| dead != 0.0));
        let folded: Vec<f32> =
            dead.iter().zip(&own).map(|(dead, own)| lambda * dead + own).collect();
        let shadow = layer.shadow().unwrap().iter().zip(layer.weight().to_f32());
        let weights: Vec<f32> = shadow.map(|(w, q)| w + lambda * (q - w)).collect();
        let [y, dx, mut dw] = by_loops(&seen, &weights, &folded, &dy);
        let [found_y, found_dx, found] = run(&layer, &parameters, &x, &dy);
        // Of the gradients, the second parameter only stores what becomes part of the first.
        let (found_w, found_rest) = found.split_at(SHAPE[0] * SHAPE[1]);
        let (found_dead, found_bias) = found_rest.split_at(SHAPE[0]);
        assert!(found_dead.iter().all(|&d| d == 0.0));
        let db = dw.split_off(SHAPE[0] * SHAPE[1]);
        for (index, (dw, trit)) in dw.iter_mut().zip(layer.weight().to_trits()).enumerate() {
            if trit == 0 {
                *dw += lambda * 0.5 * db[index / SHAPE[1]];
            }
        }
        assert_close(&found_y, &y);
        assert_close(&found_dx, &dx);
        assert_close(found_w, &dw);
        assert_close(found_bias, &db);
    }
    // At λ = 1 the exported weights and bias give the same bits, and so does the layer without its shadow.
    let mut bias = None;
    Module::<f32>::visit(&layer, &mut |tensor| {
        if let Values::Ternary { bias: Some(added), .. } = tensor.values {
            bias = Some(added.to_vec());
        }
    });
    let frozen = TernaryLinear::new("layer", layer.weight().clone()).with_bias(bias.unwrap());
    let frozen = frozen.unwrap();
    let forward = |layer: &dyn Projection<f32>| {
        let mut input = Input::new("layer", x.clone(), SHAPE[1]).unwrap();
        let mut y = vec![0.0; 3 * SHAPE[0]];
        layer.forward(&mut input, &mut y, &mut Tape::inference()).unwrap();
        y
    };
    let y = run(&layer, &parameters, &x, &dy)[0].clone();
    assert_eq!(forward(&frozen), y);
    layer.decide_codes(Update { lambda: 0.25, ..Update::hard(0, 1) }).unwrap();
    assert_ne!(forward(&layer), y);
    layer.drop_shadow();
    assert_eq!(forward(&layer), y);
    assert!(frozen.clone().with_bias(vec![0.0; 4]).is_err());
}

#[test]
fn gradients_of_weights_that_are_zero_add_up_over_batches() {
    let estimator: Mode = "unscaled".parse().unwrap();
    let options = BitLinearOptions {
        dead_bias: 0.5,
        estimator: estimator.estimator(),
        activations: Activations::Real,
        ..Default::default()
    };
    let (layer, parameters) = layer::<bf16>(options);
    let (x, dy) = (numbers(2, 4 * SHAPE[1]), numbers(3, 4 * SHAPE[0]));
    let whole = run(&layer, &parameters, &x, &dy)[2].clone();
    let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(&parameters));
    for (x, dy) in x.chunks(2 * SHAPE[1]).zip(dy.chunks(2 * SHAPE[0])) {
        let mut input = Input::new("layer", x.to_vec(), SHAPE[1]).unwrap();
        layer.forward(&mut input, &mut vec![0.0; dy.len()], &mut tape).unwrap();
        layer.backward(&input, dy, None, &mut tape, &mut gradients).unwrap();
    }
    layer.finish_gradients(&mut gradients).unwrap();
    assert_close(gradients.values(), &whole);
}

#[test]
fn an_optimiser_sees_the_latent_weights_and_the_bias() {
    let (mut layer, parameters) = layer::<bf16>(BitLinearOptions::default());
    let mut seen = Vec::new();
    Module::<f32>::visit_mut(&mut layer, &mut |id, values| {
        assert_eq!(matches!(values, ValuesMut::Bf16(_)), parameters.name(id) == "layer.weight");
        seen.push((parameters.name(id).to_owned(), values.len()));
    });
    assert_eq!(seen, [("layer.weight".to_owned(), 120), ("layer.bias".to_owned(), 5)]);
}

#[test]
fn a_frozen_weight_has_no_identity_and_other_scales_make_no_shadow() {
    let (mut layer, parameters) = layer::<f32>(BitLinearOptions::default());
    let identities = |layer: &BitLinear<f32>| {
        let mut identities = Vec::new();
        Module::<f32>::visit(layer, &mut |tensor| identities.push(tensor.id));
        identities
    };
    let ids: Vec<_> = parameters.ids().map(Some).collect();
    assert_eq!(identities(&layer), ids);
    layer.drop_shadow();
    assert_eq!(identities(&layer), [None, ids[1]]);

    let quantizer: Arc<dyn Quantizer> = Arc::new(Absmean::new(Granularity::Row));
    let options = BitLinearOptions { quantizer, ..Default::default() };
    let weight = layer.weight().clone();
    let mut other =
        BitLinear::<f32>::from_ternary("other", weight, options, &mut Parameters::new()).unwrap();
    let error = other.init_shadow_from_ternary().unwrap_err().to_string();
    assert!(error.contains("per Row") && error.contains("per Tensor"), "{error}");
    assert!(other.shadow().is_none() && other.levels().is_empty());
}
