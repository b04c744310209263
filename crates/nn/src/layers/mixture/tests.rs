use ternary_core::quantize::Absmean;
use ternary_core::{Granularity, Packing, Weights};

use super::*;
use crate::layers::{FeedForwardProjections, Nonlinearity};
use crate::parameters::Parameters;
use crate::projection::{Activations, BitLinear, BitLinearOptions, Dense};
use ternary_core::noise::Noise;

const WIDTH: usize = 6;
const INNER: usize = 10;
const PLAIN: MixtureOptions = MixtureOptions { used: 1, balance: 0.0, z: 0.0 };

fn expert(name: &str, is_ternary: bool, parameters: &mut Parameters) -> FeedForward<f32> {
    let mut project = |part: &str, shape| -> Box<dyn Projection<f32>> {
        let name = format!("{name}.{part}");
        if is_ternary {
            let options = BitLinearOptions::default();
            let layer = BitLinear::<f32>::random(&name, shape, 0.5, 3, options, parameters);
            Box::new(layer.unwrap().with_bias(parameters).unwrap())
        } else {
            Box::new(Dense::random(&name, shape, 0.5, 3, parameters).unwrap())
        }
    };
    let projections = FeedForwardProjections {
        gate: Some(project("gate", [INNER, WIDTH])),
        up: project("up", [INNER, WIDTH]),
        down: project("down", [WIDTH, INNER]),
    };
    FeedForward::new(name, Nonlinearity::SwiGlu, projections, None).unwrap()
}

/// A router that reads the score of an expert off the column of its number.
fn router(experts: usize, parameters: &mut Parameters) -> Box<dyn Projection<f32>> {
    let weight = (0..experts * WIDTH).map(|i| f32::from(u8::from(i / WIDTH == i % WIDTH)));
    Box::new(Dense::from_weight("router", WIDTH, weight.collect(), parameters).unwrap())
}

fn mixture(
    is_ternary: bool,
    is_shared: bool,
    options: MixtureOptions,
) -> (BitMoe<f32>, Parameters) {
    let mut parameters = Parameters::new();
    let experts = ["e0", "e1", "e2"].map(|name| expert(name, is_ternary, &mut parameters)).into();
    let shared = is_shared.then(|| SharedExpert {
        expert: expert("shared", is_ternary, &mut parameters),
        gate: Box::new(Dense::random("gate", [1, WIDTH], 0.5, 3, &mut parameters).unwrap()),
    });
    let router = router(3, &mut parameters);
    (BitMoe::new("mixture", router, experts, shared, options).unwrap(), parameters)
}

/// Rows of which row `r` prefers expert `order[r]`, and likes expert 2 least but where it is preferred.
fn rows(order: &[usize]) -> Vec<f32> {
    let mut x = numbers(7, order.len() * WIDTH);
    for (x, &expert) in x.chunks_mut(WIDTH).zip(order) {
        x[..3].copy_from_slice(&[0.25, 0.0, -2.0]);
        x[expert] = 1.5;
    }
    x
}

/// Normal numbers.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; count];
    Noise::new(seed, 0, 0).fill_normal(0, &mut numbers);
    numbers
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn one_expert_a_row_is_that_expert_bit_for_bit() {
    for is_ternary in [false, true] {
        let (layer, _) = mixture(is_ternary, false, PLAIN);
        let order = [1, 0, 2, 1, 1];
        let x = rows(&order);
        let y = layer.forward(x.clone(), alone(5), &mut Tape::inference()).unwrap();
        for (row, &index) in order.iter().enumerate() {
            let columns = row * WIDTH..(row + 1) * WIDTH;
            let x = x[columns.clone()].to_vec();
            let own = layer.experts()[index].forward(x, alone(1), &mut Tape::inference()).unwrap();
            assert_eq!(bits(&own), bits(&y[columns]), "row {row}");
        }
    }
}

#[test]
fn a_sum_of_one_term_keeps_the_sign_of_a_zero() {
    let mut parameters = Parameters::new();
    let mut dense = |name: &str, inputs, weight: &[f32]| -> Box<dyn Projection<f32>> {
        let layer = Dense::from_weight(name, inputs, weight.to_vec(), &mut parameters);
        Box::new(layer.unwrap())
    };
    let projections = FeedForwardProjections {
        gate: None,
        up: dense("up", 1, &[1.0]),
        down: dense("down", 1, &[-1.0]),
    };
    let router = dense("router", 1, &[1.0]);
    let net = FeedForward::new("net", Nonlinearity::Gelu, projections, None).unwrap();
    let alone_y = net.forward(vec![0.0], alone(1), &mut Tape::inference()).unwrap();
    let layer = BitMoe::new("mixture", router, vec![net], None, PLAIN).unwrap();
    let y = layer.forward(vec![0.0], alone(1), &mut Tape::inference()).unwrap();
    assert_eq!(bits(&y), bits(&alone_y));
}

#[test]
fn a_row_is_the_same_alone_and_among_others() {
    let options = MixtureOptions { used: 2, balance: 0.1, z: 0.1 };
    for is_ternary in [false, true] {
        let (layer, _) = mixture(is_ternary, true, options);
        let x = rows(&[0, 2, 1, 0, 1, 1, 2]);
        let all = layer.forward(x.clone(), alone(7), &mut Tape::recording()).unwrap();
        for (x, y) in x.chunks(WIDTH).zip(all.chunks(WIDTH)) {
            let own = layer.forward(x.to_vec(), alone(1), &mut Tape::inference()).unwrap();
            assert_eq!(bits(&own), bits(y));
        }
    }
    let (layer, _) = mixture(false, true, options);
    assert!(layer.forward(Vec::new(), alone(0), &mut Tape::recording()).unwrap().is_empty());
}

#[test]
fn an_expert_without_rows_leaves_its_gradients_untouched_and_zero() {
    for (is_ternary, used, is_shared) in [(true, 1, false), (true, 2, true), (false, 2, true)] {
        let options = MixtureOptions { used, balance: 0.1, z: 0.1 };
        let (mut layer, parameters) = mixture(is_ternary, is_shared, options);
        let mut gradients = Gradients::zeros(&parameters);
        let mut tape = Tape::recording();
        let x = rows(&[0, 1, 1, 0]);
        let y = layer.forward(x, alone(4), &mut tape).unwrap();
        layer.backward(y, alone(4), &mut tape, &mut gradients).unwrap();
        assert!(tape.is_empty());
        layer.finish_gradients(&mut gradients).unwrap();
        for id in parameters.ids() {
            let (name, own) = (parameters.name(id), gradients.get(id));
            let is_idle = name.starts_with("e2.");
            assert_eq!(gradients.is_touched(id), !is_idle, "{name}");
            assert_eq!(own.iter().all(|&g| g.to_bits() == 0), is_idle, "{name}: {own:?}");
        }
        layer.requantize(crate::module::Update::hard(1, 1)).unwrap();
    }
}

#[test]
fn the_losses_of_the_router_are_those_of_its_ops_and_only_a_recording_forward_adds_them() {
    let (x, even) = (rows(&[0, 1, 2]), alone(3));
    let loss = |balance, z| {
        let (layer, _) = mixture(false, false, MixtureOptions { used: 1, balance, z });
        let mut tape = Tape::recording();
        layer.forward(x.clone(), even, &mut tape).unwrap();
        layer.forward(x.clone(), even, &mut tape).unwrap();
        let twice = tape.auxiliary_loss();
        tape.clear();
        assert_eq!(tape.auxiliary_loss(), 0.0);
        let mut silent = Tape::inference();
        layer.forward(x.clone(), even, &mut silent).unwrap();
        assert_eq!(silent.auxiliary_loss(), 0.0);
        twice / 2.0
    };
    // Even shares have the loss 1 whatever the probabilities are.
    assert!((loss(0.5, 0.0) - 0.5).abs() < 1e-6);
    let scores: Vec<f32> = x.chunks(WIDTH).flat_map(|x| x[..3].to_vec()).collect();
    let z = z_loss(&scores, 3).unwrap();
    assert!((loss(0.0, 0.25) - 0.25 * z).abs() < 1e-6);
    assert!((loss(0.5, 0.25) - 0.5 - 0.25 * z).abs() < 1e-6);
    assert_eq!(loss(0.0, 0.0), 0.0);
}

#[test]
fn a_loss_that_is_off_saves_nothing() {
    let held = |balance, z| {
        let (layer, _) = mixture(false, false, MixtureOptions { used: 1, balance, z });
        let mut tape = Tape::recording();
        layer.forward(rows(&[0, 1]), alone(2), &mut tape).unwrap();
        (0..)
            .take_while(|_| {
                tape.restore("test").is_ok()
                    || tape.restore_tokens("test").is_ok()
                    || tape.restore_input("test").is_ok()
            })
            .count()
    };
    assert_eq!([held(0.0, 0.0) + 2, held(0.0, 1.0) + 1, held(1.0, 0.0)], [held(1.0, 0.0); 3]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let build = |experts: usize, options| {
        let mut parameters = Parameters::new();
        let nets = (0..experts).map(|e| expert(&format!("e{e}"), false, &mut parameters)).collect();
        BitMoe::new("mixture", router(3, &mut parameters), nets, None, options).map(|_| ())
    };
    assert_eq!(build(3, PLAIN), Ok(()));
    let error = build(2, PLAIN).unwrap_err().to_string();
    assert_eq!(error, "mixture: outputs of the router: expected 2, found 3");
    for options in [
        MixtureOptions { used: 0, ..PLAIN },
        MixtureOptions { used: 4, ..PLAIN },
        MixtureOptions { balance: -1.0, ..PLAIN },
        MixtureOptions { z: f64::NAN, ..PLAIN },
    ] {
        assert!(matches!(build(3, options), Err(Error::Setting { .. })), "{options:?}");
    }
    let (layer, _) = mixture(false, false, PLAIN);
    let mut x = rows(&[0, 1]);
    x[WIDTH] = f32::NAN;
    let error = layer.forward(x, alone(2), &mut Tape::inference()).unwrap_err().to_string();
    let expected = "mixture: router scores: expected finite numbers, found NaN in row 1";
    assert_eq!(error, expected);
}

#[test]
fn frozen_experts_compute_what_their_trits_say_and_gradients_flow_to_inputs_and_router() {
    let mut parameters = Parameters::new();
    let weights: Vec<Vec<f32>> = (0..6).map(|i| numbers(i, WIDTH * INNER)).collect();
    let expert = |name: &str, weights: &[Vec<f32>]| {
        let of = |i: usize| Weights::F32(&weights[i]);
        let weights = ExpertWeights { gate: Some(of(0)), up: of(1), down: of(2) };
        let (rule, packing) = (Absmean::new(Granularity::Row), Packing::FiveTrits);
        let (f, real) = (Nonlinearity::SwiGlu, Activations::Real);
        TernaryExpert::quantize(name, f, [WIDTH, INNER], weights, &rule, packing, real).unwrap()
    };
    let experts = vec![expert("e0", &weights[..3]), expert("e1", &weights[3..])];
    let dense = |name: &str, inputs, weight: Vec<f32>| -> Box<dyn Projection<f32>> {
        Box::new(Dense::from_weight(name, inputs, weight, &mut Parameters::new()).unwrap())
    };
    // The same net from the floats that the trits stand for.
    let ExpertWeights { gate, up, down } = experts[1].to_f32();
    let projections = FeedForwardProjections {
        gate: gate.map(|gate| dense("gate", WIDTH, gate)),
        up: dense("up", WIDTH, up),
        down: dense("down", INNER, down),
    };
    let net = FeedForward::new("net", Nonlinearity::SwiGlu, projections, None).unwrap();
    let router = router(2, &mut parameters);
    let options = MixtureOptions { used: 2, ..PLAIN };
    let layer: TernaryMoe<f32> = BitMoe::new("mixture", router, experts, None, options).unwrap();
    let x = rows(&[1]);
    let (found, expected) = (&layer.experts()[1], &net);
    let found = found.forward(x.clone(), alone(1), &mut Tape::inference()).unwrap();
    let expected = expected.forward(x.clone(), alone(1), &mut Tape::inference()).unwrap();
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");

    let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(&parameters));
    let y = layer.forward(x, alone(1), &mut tape).unwrap();
    let dx = layer.backward(y, alone(1), &mut tape, &mut gradients).unwrap();
    assert!(dx.iter().all(|&d| d != 0.0) && gradients.norm() > 0.0 && tape.is_empty());
}

#[test]
fn trits_are_kept_as_they_are() {
    let scale = || ternary_core::Scales::tensor(0.25).unwrap();
    let trits: Vec<i8> = (0..WIDTH * INNER).map(|i| (i * 7 % 3) as i8 - 1).collect();
    let weights =
        ExpertWeights { gate: None, up: (&trits[..], scale()), down: (&trits[..], scale()) };
    let (f, int8) = (Nonlinearity::Gelu, Activations::Int8);
    let build = |widths| {
        let weights = weights.clone();
        TernaryExpert::<f32>::from_trits("e", f, widths, weights, Packing::TwoBit, int8)
    };
    let floats = build([WIDTH, INNER]).unwrap().to_f32();
    let expected: Vec<f32> = trits.iter().map(|&trit| 0.25 * f32::from(trit)).collect();
    assert_eq!(floats, ExpertWeights { gate: None, up: expected.clone(), down: expected });
    assert!(matches!(build([WIDTH, 2]), Err(Error::Core { .. })));
}
