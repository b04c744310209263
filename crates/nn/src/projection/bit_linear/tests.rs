//! Tests of the whole layer.

mod dead_bias;
mod latent;
mod levels;

use std::sync::Arc;

use ste::Mode;
use ternary_core::quantize::{Absmean, FixedThreshold, Ttq};
use ternary_core::{Granularity, Quantizer, Weights};

use super::*;
use crate::module::Module;
use crate::ops::fake_quantize;
use crate::projection::{Activations, Projection};
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
