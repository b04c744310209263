//! Tests of weights that are zero as a bias.

use half::bf16;

use super::*;
use crate::module::Values;
use crate::projection::TernaryLinear;

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
