use nn::ternary_core::noise::Noise;
use nn::ternary_core::quantize::Absmean;
use nn::ternary_core::{Granularity, Packing, Real};
use nn::{
    Bf16Linear, BitLinear, BitLinearOptions, Dense, Dropout, Gradients, GridLinear, Input, Tape,
    TernaryLinear, Update,
};

use super::*;
use crate::Scaling;

const SHAPE: [usize; 2] = [OUTPUTS, INPUTS];
const OUTPUTS: usize = 12;
const INPUTS: usize = 40;
const ROWS: usize = 5;
const SCALING: Scaling = Scaling { alpha: 6.0, rank_stabilised: false };
const KINDS: [Kind; 5] = [Kind::Dense, Kind::Bf16, Kind::Ternary, Kind::BitLinear, Kind::Grid];
const DROPOUT: Dropout = Dropout { seed: 7, step: 2, first_row: 0 };

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Dense,
    Bf16,
    Ternary,
    BitLinear,
    Grid,
}

fn numbers<T: Real>(stream: u32, count: usize) -> Vec<T> {
    let mut numbers = vec![0.0; count];
    Noise::new(5, stream, 0).fill_normal(0, &mut numbers);
    numbers.into_iter().map(T::from_f32).collect()
}

/// A frozen projection that sees int8 codes where it is ternary.
fn base<T: Compute>(kind: Kind, parameters: &mut Parameters) -> Box<dyn Projection<T>> {
    parameters.freeze();
    let (weight, options) = (numbers::<f32>(1, OUTPUTS * INPUTS), BitLinearOptions::default());
    let base: Box<dyn Projection<T>> = match kind {
        Kind::Dense => {
            let weight = numbers(1, OUTPUTS * INPUTS);
            let dense = Dense::from_weight("up", INPUTS, weight, parameters).unwrap();
            let mut dense = dense.with_bias(parameters).unwrap();
            dense.bias_mut().unwrap().copy_from_slice(&numbers(2, OUTPUTS));
            Box::new(dense)
        }
        Kind::Bf16 => {
            let layer = Bf16Linear::round("up", INPUTS, &weight[..]).unwrap();
            Box::new(layer.with_bias(numbers(2, OUTPUTS)).unwrap())
        }
        Kind::Ternary => {
            let rule = Absmean::new(Granularity::Row);
            let layer = TernaryLinear::quantize("up", SHAPE, &weight[..], &rule, Packing::TwoBit);
            Box::new(layer.unwrap().with_bias(numbers(2, OUTPUTS)).unwrap())
        }
        Kind::BitLinear => {
            Box::new(BitLinear::from_weight("up", INPUTS, weight, options, parameters).unwrap())
        }
        Kind::Grid => {
            Box::new(GridLinear::quantize("up", SHAPE, &weight, &options, parameters).unwrap())
        }
    };
    parameters.thaw();
    base
}

fn adapter<T: Real>() -> Adapter<T> {
    Adapter::new("up", SHAPE, 3, [numbers(3, 3 * INPUTS), numbers(4, OUTPUTS * 3)], SCALING)
        .unwrap()
}

fn lora<T: Compute>(kind: Kind, dropout: f64) -> (Lora<T>, Parameters) {
    let mut parameters = Parameters::new();
    let base = base(kind, &mut parameters);
    (Lora::new(base, adapter(), dropout, &mut parameters).unwrap(), parameters)
}

/// What a step gives: the outputs, dx added to numbers and dx over numbers, and the gradients of the parameters.
fn step<T: Compute>(
    layer: &dyn Projection<T>,
    parameters: &Parameters,
    tape: &mut Tape<T>,
) -> [Vec<T>; 4] {
    let mut gradients = Gradients::zeros(parameters);
    let (mut y, dy) = (vec![T::ZERO; ROWS * OUTPUTS], numbers(7, ROWS * OUTPUTS));
    let mut dx = [numbers(8, ROWS * INPUTS), numbers(9, ROWS * INPUTS)];
    for (is_set, dx) in dx.iter_mut().enumerate() {
        let mut x = tape.take(ROWS * INPUTS);
        x.copy_from_slice(&numbers(6, ROWS * INPUTS));
        let mut input = Input::new("test", x, INPUTS).unwrap();
        layer.forward(&mut input, &mut y, tape).unwrap();
        tape.save_input(input);
        let input = tape.restore_input("test").unwrap();
        if is_set == 1 {
            layer.backward_setting(&input, &dy, dx, tape, &mut gradients).unwrap();
        } else {
            layer.backward(&input, &dy, Some(dx), tape, &mut gradients).unwrap();
        }
        tape.recycle(input);
    }
    assert!(tape.is_empty());
    let [added, set] = dx;
    [y, added, set, gradients.values().to_vec()]
}

fn bits(arrays: &[Vec<f32>]) -> Vec<Vec<u32>> {
    arrays.iter().map(|values| values.iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn disabled_is_the_base_bit_for_bit_even_on_a_tape_that_an_adapter_used() {
    for kind in KINDS {
        let mut parameters = Parameters::new();
        let alone = base::<f32>(kind, &mut parameters);
        let expected = step(&*alone, &parameters, &mut Tape::recording());

        let (mut layer, parameters) = lora::<f32>(kind, 0.5);
        let mut tape = Tape::recording();
        tape.set_dropout(Some(DROPOUT));
        let adapted = step(&layer, &parameters, &mut tape);
        assert!((0..4).all(|part| adapted[part] != expected[part]), "{kind:?}");
        // A forward whose backward never came: its things lie at the bottom of the tape.
        let mut input = Input::new("test", numbers(6, ROWS * INPUTS), INPUTS).unwrap();
        layer.forward(&mut input, &mut [0.0; ROWS * OUTPUTS], &mut tape).unwrap();
        tape.save_input(input);
        tape.clear();

        layer.set_mode(AdapterMode::Disabled).unwrap();
        let mut disabled = step(&layer, &parameters, &mut tape);
        assert!(disabled[3].iter().all(|&d| d == 0.0), "{kind:?}");
        disabled[3].clear();
        assert_eq!(bits(&disabled), bits(&expected), "{kind:?}");
        layer.set_mode(AdapterMode::Enabled).unwrap();
        assert_eq!(bits(&step(&layer, &parameters, &mut tape)), bits(&adapted), "{kind:?}");
    }
}

#[test]
fn a_forward_keeps_the_real_inputs_beside_a_base_that_keeps_nothing() {
    // dA of a ternary base is that of a dense one with the same weights but for the rounding of dy·B alone.
    let [dense, ternary] = [Kind::Dense, Kind::Ternary].map(|kind| {
        let (layer, parameters) = lora::<f64>(kind, 0.0);
        step(&layer, &parameters, &mut Tape::recording())[3].clone()
    });
    assert_eq!(dense, ternary);
}

#[test]
fn merging_gives_the_same_outputs_and_unmerging_the_same_bits() {
    for kind in KINDS {
        let (mut layer, parameters) = lora::<f32>(kind, 0.0);
        let mut tape = Tape::recording();
        let apart = step(&layer, &parameters, &mut tape);
        layer.set_mode(AdapterMode::Merged).unwrap();
        let merged = step(&layer, &parameters, &mut tape);
        assert!(merged[3].iter().all(|&d| d == 0.0));
        // Int8 codes are off by half a step of 1/127 of the largest input.
        let tolerance = if matches!(kind, Kind::Dense | Kind::Bf16) { 1e-4 } else { 0.6 };
        for part in 0..3 {
            let tolerance = if part == 0 { tolerance } else { 1e-4 };
            for (merged, apart) in merged[part].iter().zip(&apart[part]) {
                assert!((merged - apart).abs() < tolerance, "{kind:?}: {merged} and {apart}");
            }
        }
        let weight = layer.merged_weight().unwrap();
        let mut input = Input::new("test", numbers(6, ROWS * INPUTS), INPUTS).unwrap();
        let mut y = [0.0; ROWS * OUTPUTS];
        layer.forward(&mut input, &mut y, &mut Tape::inference()).unwrap();
        let added = merged[0][0] - inner(&numbers(6, INPUTS), &weight[..INPUTS]);
        let has_bias = matches!(kind, Kind::Dense | Kind::Bf16 | Kind::Ternary);
        let bias = if has_bias { numbers(2, 1)[0] } else { 0.0 };
        assert!((added - bias).abs() < 1e-4, "{kind:?}: {added}");
        let mut handed = 0;
        layer.visit_mut(&mut |id, _| handed += usize::from(!id.is_frozen()));
        assert_eq!(handed, 0, "{kind:?}");
        assert!(layer.memory().total() >= OUTPUTS * INPUTS * size_of::<f32>());

        layer.set_mode(AdapterMode::Enabled).unwrap();
        assert_eq!(bits(&step(&layer, &parameters, &mut tape)), bits(&apart), "{kind:?}");
        layer.visit_mut(&mut |id, _| handed += usize::from(!id.is_frozen()));
        assert_eq!(handed, 2, "{kind:?}");
    }
}

fn inner(x: &[f32], w: &[f32]) -> f32 {
    x.iter().zip(w).map(|(x, w)| x * w).sum()
}

#[test]
fn weights_that_the_base_does_not_compute_with_are_not_merged() {
    let mut parameters = Parameters::new();
    let weight = numbers::<f32>(1, OUTPUTS * INPUTS);
    let options = BitLinearOptions::default();
    let mut soft = BitLinear::from_weight("up", INPUTS, weight, options, &mut parameters).unwrap();
    soft.decide_codes(Update { lambda: 0.5, ..Update::hard(1, 1) }).unwrap();
    let mut layer = Lora::<f32>::new(Box::new(soft), adapter(), 0.0, &mut parameters).unwrap();
    let error = layer.set_mode(AdapterMode::Merged).unwrap_err().to_string();
    assert!(
        error.starts_with("up: weights to be merged: expected those that it computes"),
        "{error}"
    );
    assert_eq!(layer.mode(), AdapterMode::Enabled);
}

/// What the adapter adds to the outputs of a forward on this tape.
fn added(layer: &mut Lora<f64>, x: Vec<f64>, tape: &mut Tape<f64>) -> Vec<f64> {
    let rows = x.len() / INPUTS;
    let [with, without] = [AdapterMode::Enabled, AdapterMode::Disabled].map(|mode| {
        layer.set_mode(mode).unwrap();
        let mut input = Input::new("test", x.clone(), INPUTS).unwrap();
        let mut y = vec![0.0; rows * OUTPUTS];
        layer.forward(&mut input, &mut y, tape).unwrap();
        y
    });
    layer.set_mode(AdapterMode::Enabled).unwrap();
    with.iter().zip(&without).map(|(with, without)| with - without).collect()
}

#[test]
fn dropout_drops_its_share_and_leaves_the_mean_as_it_was() {
    const STEPS: u32 = 4000;
    let (mut layer, _) = lora::<f64>(Kind::Dense, 0.25);
    let x: Vec<f64> = numbers(6, INPUTS);
    let mut tape = Tape::inference();
    let plain = added(&mut layer, x.clone(), &mut tape);
    let (mut sum, mut squares) = (vec![0.0; OUTPUTS], vec![0.0; OUTPUTS]);
    for step in 0..STEPS {
        tape.set_dropout(Some(Dropout { step, ..DROPOUT }));
        let found = added(&mut layer, x.clone(), &mut tape);
        assert_ne!(found, plain);
        for (found, (sum, square)) in found.iter().zip(sum.iter_mut().zip(&mut squares)) {
            *sum += found;
            *square += found * found;
        }
    }
    let n = f64::from(STEPS);
    for (output, plain) in plain.iter().enumerate() {
        let mean = sum[output] / n;
        let deviation = ((squares[output] / n - mean * mean) / n).sqrt();
        assert!((mean - plain).abs() < 4.0 * deviation, "{output}: {mean} and {plain}");
    }
    tape.set_dropout(None);
    assert_eq!(added(&mut layer, x, &mut tape), plain);
}

#[test]
fn a_mask_is_that_of_the_row_however_rows_are_split_and_handed_on() {
    let (mut layer, _) = lora::<f64>(Kind::Dense, 0.5);
    let x: Vec<f64> = numbers(6, ROWS * INPUTS);
    let on = |layer: &mut Lora<f64>, rows: &[usize], first_row, numbers: Option<&[u32]>| {
        let x = rows.iter().flat_map(|row| x[row * INPUTS..(row + 1) * INPUTS].to_vec()).collect();
        let mut tape = Tape::inference();
        tape.set_dropout(Some(Dropout { first_row, ..DROPOUT }));
        if let Some(numbers) = numbers {
            tape.number_rows(numbers.iter().copied());
        }
        added(layer, x, &mut tape)
    };
    let whole = on(&mut layer, &[0, 1, 2, 3, 4], 0, None);
    let of = |rows: std::ops::Range<usize>| &whole[rows.start * OUTPUTS..rows.end * OUTPUTS];
    assert_eq!(on(&mut layer, &[2, 3, 4], 2, None), of(2..5));
    assert_eq!(on(&mut layer, &[3, 1], 0, Some(&[3, 1])), [of(3..4), of(1..2)].concat());
    assert_ne!(on(&mut layer, &[2, 3, 4], 3, None), of(2..5));
    // The last number of rows that there can be.
    on(&mut layer, &[0, 1], u64::MAX, None);
}

#[test]
fn the_backward_has_the_mask_of_the_forward() {
    // What the adapter adds is linear in B, in A and in x, so each gradient times its array is dy times what is added.
    let (mut layer, parameters) = lora::<f64>(Kind::Dense, 0.5);
    let x: Vec<f64> = numbers(6, ROWS * INPUTS);
    let mut tape = Tape::recording();
    tape.set_dropout(Some(DROPOUT));
    let added = added(&mut layer, x.clone(), &mut tape);
    tape.clear();
    let [_, with, _, gradients] = step(&layer, &parameters, &mut tape);
    layer.set_mode(AdapterMode::Disabled).unwrap();
    let [_, without, ..] = step(&layer, &parameters, &mut tape);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let expected = dot(&numbers(7, ROWS * OUTPUTS), &added);
    // Two backwards were added up.
    let (da, db) = gradients.split_at(3 * INPUTS);
    let dx: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with - without).collect();
    let found =
        [dot(da, &layer.adapter().a) / 2.0, dot(db, &layer.adapter().b) / 2.0, dot(&dx, &x)];
    for found in found {
        assert!((found - expected).abs() < 1e-9 * expected.abs(), "{found} and {expected}");
    }
}

#[test]
fn a_place_has_its_projection_again_once_the_adapter_is_taken_out() {
    let mut parameters = Parameters::new();
    let mut place = base::<f32>(Kind::Ternary, &mut parameters);
    let expected = step(&*place, &parameters, &mut Tape::recording());
    assert_eq!(Lora::detach(&mut place), Ok(None));
    Lora::attach(&mut place, adapter(), 0.0, &mut parameters).unwrap();
    let twice = Lora::attach(&mut place, adapter(), 0.0, &mut parameters).unwrap_err();
    assert_eq!(twice.to_string(), "up: expected one adapter, found a second");
    assert_eq!(Lora::of(&*place).unwrap().adapter(), &adapter());
    Lora::of_mut(&mut *place).unwrap().set_mode(AdapterMode::Merged).unwrap();
    assert_eq!(Lora::detach(&mut place), Ok(Some(adapter())));
    let found = step(&*place, &parameters, &mut Tape::recording());
    assert_eq!(bits(&found[..3]), bits(&expected[..3]));
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_declared() {
    let mut parameters = Parameters::new();
    let mut place = base::<f32>(Kind::Dense, &mut parameters);
    let before = parameters.clone();
    let other = |shape: [usize; 2]| Adapter::kaiming("up", shape, 2, SCALING, 1).unwrap();
    let mut attach = |adapter, dropout, parameters: &mut Parameters| {
        Lora::attach(&mut place, adapter, dropout, parameters).unwrap_err().to_string()
    };
    let error = attach(other([OUTPUTS, INPUTS + 1]), 0.0, &mut parameters);
    assert_eq!(error, "up: inputs of the adapter: expected 40, found 41");
    let error = attach(other([OUTPUTS + 1, INPUTS]), 0.0, &mut parameters);
    assert_eq!(error, "up: outputs of the adapter: expected 12, found 13");
    let error = attach(other(SHAPE), 1.0, &mut parameters);
    assert_eq!(error, "dropout: expected a share from 0 to below 1, found 1");
    assert_eq!(parameters, before);
    parameters.declare("up.lora_B.weight", &[1]).unwrap();
    let error = attach(other(SHAPE), 0.0, &mut parameters);
    assert_eq!(error, "parameter \"up.lora_B.weight\" is declared twice");
    assert!(parameters.find("up.lora_A.weight").is_none() && Lora::of(&*place).is_none());
}

#[test]
fn a_backward_without_its_forward_says_so() {
    let (layer, parameters) = lora::<f32>(Kind::Dense, 0.0);
    let mut input = Input::new("test", vec![0.5; INPUTS], INPUTS).unwrap();
    let mut gradients = Gradients::zeros(&parameters);
    let mut tape = Tape::inference();
    layer.forward(&mut input, &mut [0.0; OUTPUTS], &mut tape).unwrap();
    let dy = [1.0; OUTPUTS];
    let error = layer.backward(&input, &dy, None, &mut tape, &mut gradients).unwrap_err();
    assert!(error.to_string().starts_with("up: the tape holds nothing"), "{error}");
}
