//! Held to a dense layer with the same numbers, bit for bit.

use ternary_core::noise::Noise;

use super::*;
use crate::{Dense, ParameterId, Parameters};

const OUTPUTS: usize = 37;
const INPUTS: usize = 150;

fn numbers<T: Real>(stream: u32, count: usize) -> Vec<T> {
    let mut numbers = vec![0.0; count];
    Noise::new(3, stream, 0).fill_normal(0, &mut numbers);
    numbers.into_iter().map(T::from_f32).collect()
}

/// A layer, and the dense one that it is to be equal to.
fn layers<T: Compute>() -> (Bf16Linear, Dense<T>) {
    let bias = numbers::<f32>(2, OUTPUTS);
    let weight = numbers::<f32>(1, OUTPUTS * INPUTS);
    let layer = Bf16Linear::round("up", INPUTS, &weight[..]).unwrap();
    let wide = layer.weight().iter().map(|weight| T::from_f32(weight.to_f32())).collect();
    let mut parameters = Parameters::new();
    parameters.freeze();
    let dense = Dense::from_weight("up", INPUTS, wide, &mut parameters).unwrap();
    let mut dense = dense.with_bias(&mut parameters).unwrap();
    let of_dense = dense.bias_mut().unwrap().iter_mut().zip(&bias);
    of_dense.for_each(|(to, &from)| *to = T::from_f32(from));
    (layer.with_bias(bias).unwrap(), dense)
}

/// Outputs, dx added to numbers and dx over numbers, and what the input holds for the backward.
fn step<T: Compute>(layer: &dyn Projection<T>, rows: usize) -> (Vec<T>, [Vec<T>; 2], usize) {
    let (mut tape, mut none) = (Tape::recording(), Gradients::zeros(&Parameters::new()));
    let mut input = Input::new("up", numbers(3, rows * INPUTS), INPUTS).unwrap();
    let mut y = vec![T::ZERO; rows * OUTPUTS];
    layer.forward(&mut input, &mut y, &mut tape).unwrap();
    tape.save_input(input);
    let input = tape.restore_input("up").unwrap();
    let dy: Vec<T> = numbers(4, rows * OUTPUTS);
    let mut dx = [numbers(5, rows * INPUTS), numbers(6, rows * INPUTS)];
    layer.backward(&input, &dy, Some(&mut dx[0]), &mut tape, &mut none).unwrap();
    layer.backward_setting(&input, &dy, &mut dx[1], &mut tape, &mut none).unwrap();
    layer.backward(&input, &dy, None, &mut tape, &mut none).unwrap();
    assert!(tape.is_empty());
    (y, dx, input.size_bytes())
}

fn check_bits<T: Compute>() {
    let (layer, dense) = layers::<T>();
    // A single row is what decoding sees.
    for rows in [1, 2, 19] {
        let (y, dx, held) = step::<T>(&layer, rows);
        let (of_dense, dx_of_dense, _) = step::<T>(&dense, rows);
        assert_eq!((&y, &dx), (&of_dense, &dx_of_dense));
        assert_eq!(held, 0, "a frozen layer keeps no rows");
        assert!(y.iter().chain(dx.iter().flatten()).all(|number| number.is_finite()));
    }
    let (mut rows, mut of_dense) = (vec![T::ZERO; 3 * INPUTS], vec![T::ONE; 3 * INPUTS]);
    let tokens = [5, 0, OUTPUTS as u32 - 1];
    layer.look_up(&tokens, &mut rows).unwrap();
    dense.look_up(&tokens, &mut of_dense).unwrap();
    assert_eq!(rows, of_dense);
}

#[test]
fn outputs_and_gradients_are_those_of_a_dense_layer_with_the_same_numbers_in_bits() {
    check_bits::<f32>();
    check_bits::<f64>();
}

#[test]
fn half_the_memory_of_a_dense_layer_is_reported_and_nothing_in_it_learns() {
    let (mut layer, dense) = layers::<f32>();
    let (bytes, of_dense) =
        (Module::<f32>::memory(&layer).total(), Module::<f32>::memory(&dense).total());
    // The bias of a dense layer has a name of its own.
    let half = 2 * OUTPUTS * INPUTS;
    assert!((half..half + 64).contains(&(of_dense - bytes)), "{bytes} of {of_dense}");
    let mut seen = Vec::new();
    Module::<f32>::visit(&layer, &mut |tensor| {
        assert_eq!(tensor.id.map(ParameterId::index), None);
        if let Values::Bf16 { values, shape, bias } = tensor.values {
            seen.push((tensor.name.to_owned(), values.len(), shape, bias.map(<[f32]>::len)));
        }
    });
    let expected = ("up.weight".to_owned(), OUTPUTS * INPUTS, [OUTPUTS, INPUTS], Some(OUTPUTS));
    assert_eq!(seen, [expected]);
    Module::<f32>::visit_mut(&mut layer, &mut |_, _| panic!("nothing is to be changed"));
}

#[test]
fn sizes_and_numbers_that_do_not_fit_are_refused_with_the_name_of_the_layer() {
    let error = |result: Result<Bf16Linear>| result.unwrap_err().to_string();
    let partial = Bf16Linear::round("up", 4, &[1.0_f32; 6][..]);
    assert_eq!(error(partial), "up: numbers in rows of weights: expected 4, found 6");
    let layer = || Bf16Linear::round("up", 2, &[1.0_f32; 6][..]);
    let found = error(layer().unwrap().with_bias(vec![0.0; 2]));
    assert_eq!(found, "up: numbers of the bias: expected 3, found 2");
    // The largest f32 is beyond the largest bf16 by less than it is rounded up.
    for bad in [f32::NAN, f32::INFINITY, f32::MAX] {
        let found = error(Bf16Linear::round("up", 2, &[1.0, bad][..]));
        assert!(
            found.starts_with("up: weights in bf16: expected finite numbers, found "),
            "{found}"
        );
        assert!(found.ends_with("at index 1"), "{found}");
    }
    let found = layer().unwrap().look_up(&[3], &mut [0.0_f32; 2]).unwrap_err().to_string();
    assert_eq!(found, "up: token at position 0: expected one of 3, found 3");
}
