use nn::ternary_core::noise::Noise;
use nn::{Context, Dense, Error, Layer, Projection, Recurrence, Sequences};

use super::*;
use crate::ops::CHUNK;

const WIDTH: usize = 10;
const OPTIONS: DeltaNetOptions = DeltaNetOptions {
    key_heads: 2,
    value_heads: 4,
    key_width: 6,
    value_width: 5,
    kernel: 3,
    epsilon: 1e-6,
};

fn numbers<T: Real>(stream: u32, count: usize) -> Vec<T> {
    let mut numbers = vec![0.0; count];
    Noise::new(11, stream, 0).fill_normal(0, &mut numbers);
    numbers.into_iter().map(T::from_f32).collect()
}

fn dense<T: Compute>(
    name: &str,
    outputs: usize,
    inputs: usize,
    parameters: &mut Parameters,
) -> Box<dyn Projection<T>> {
    let deviation = 1.0 / (inputs as f64).sqrt();
    Box::new(Dense::random(name, [outputs, inputs], deviation, 3, parameters).unwrap())
}

fn weights<T: Real>() -> DeltaNetWeights<T> {
    DeltaNetWeights {
        conv: numbers(1, OPTIONS.channels() * OPTIONS.kernel),
        a_log: numbers(2, OPTIONS.value_heads),
        dt_bias: numbers(3, OPTIONS.value_heads),
        gain: numbers(4, OPTIONS.value_width),
    }
}

fn separate<T: Compute>(parameters: &mut Parameters) -> DeltaNetProjections<T> {
    let mut input = |name: &str, outputs| dense(name, outputs, WIDTH, parameters);
    let input = DeltaNetInputs::Separate {
        qkv: input("qkv", OPTIONS.channels()),
        z: input("z", OPTIONS.value_row()),
        b: input("b", OPTIONS.value_heads),
        a: input("a", OPTIONS.value_heads),
    };
    let output = dense("out", WIDTH, OPTIONS.value_row(), parameters);
    DeltaNetProjections { input, output }
}

fn layer<T: Compute>(parameters: &mut Parameters) -> GatedDeltaNet<T> {
    let projections = separate(parameters);
    GatedDeltaNet::new("mixer", projections, weights(), OPTIONS, parameters).unwrap()
}

fn sequences(count: usize, length: usize) -> Sequences {
    Sequences { count, length }
}

/// Outputs, last states, dx, first states' gradients and those of the parameters, on some threads.
fn run<T: Compute>(sequences: Sequences, mask: Option<&[bool]>, threads: usize) -> Vec<Vec<T>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut parameters = Parameters::new();
        let layer = layer::<T>(&mut parameters);
        let context = Context { mask, ..Context::from(sequences) };
        let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(&parameters));
        let mut state = layer.zeros(sequences.count);
        let x = numbers(5, sequences.rows() * WIDTH);
        let y = layer.forward_from(x, context, &mut state, &mut tape).unwrap();
        let mut d = layer.zeros(sequences.count);
        let dy = numbers(6, y.len());
        let dx = layer.backward_from(dy, context, &mut d, &mut tape, &mut gradients).unwrap();
        assert!(tape.is_empty());
        let gradients = gradients.values().to_vec();
        vec![y, state.recurrent, state.conv, dx, d.recurrent, d.conv, gradients]
    })
}

fn largest<T: Real>(values: impl IntoIterator<Item = T>) -> f64 {
    values.into_iter().fold(0.0, |max, x| max.max(x.to_f64().abs()))
}

fn assert_near<T: Real>(found: &[T], expected: &[T], share: f64) {
    assert_eq!(found.len(), expected.len());
    let off = largest(found.iter().zip(expected).map(|(&a, &b)| a - b));
    let scale = largest(expected.iter().copied());
    assert!(off <= share * scale, "{off} of {scale}");
}

fn forward<T: Compute>(
    layer: &GatedDeltaNet<T>,
    sequences: Sequences,
    recurrence: Recurrence,
) -> Vec<T> {
    let context = Context { recurrence, ..Context::from(sequences) };
    let x = numbers(5, sequences.rows() * WIDTH);
    layer.forward(x, context, &mut Tape::inference()).unwrap()
}

#[test]
fn chunks_and_tokens_agree_for_any_length() {
    let mut parameters = Parameters::new();
    let (single, double) = (layer::<f32>(&mut parameters), layer::<f64>(&mut Parameters::new()));
    for length in [1, 2, CHUNK, CHUNK + 1, 2 * CHUNK + 5] {
        let sequences = sequences(2, length);
        let both = |recurrence| forward(&single, sequences, recurrence);
        assert_near(&both(Recurrence::Chunks), &both(Recurrence::Tokens), 1e-4);
        let both = |recurrence| forward(&double, sequences, recurrence);
        assert_near(&both(Recurrence::Chunks), &both(Recurrence::Tokens), 1e-12);
    }
}

#[test]
fn pieces_have_the_bits_of_the_whole_token_by_token() {
    let mut parameters = Parameters::new();
    let layer = layer::<f32>(&mut parameters);
    let all = sequences(2, CHUNK + 9);
    let whole = forward(&layer, all, Recurrence::Tokens);
    let x: Vec<f32> = numbers(5, all.rows() * WIDTH);
    for pieces in [vec![1; CHUNK + 9], vec![2, 1, CHUNK, 6], vec![CHUNK + 9]] {
        let (mut state, mut tape, mut start) = (layer.state(2), Tape::inference(), 0);
        for length in pieces {
            let rows = |sequence: usize| {
                let first = sequence * all.length + start;
                first * WIDTH..(first + length) * WIDTH
            };
            let piece = [&x[rows(0)], &x[rows(1)]].concat();
            let recurrence = Recurrence::Tokens;
            let context = Context { recurrence, ..Context::from(sequences(2, length)) };
            let y = layer.resume(piece, context, &mut state, &mut tape).unwrap();
            assert_eq!(y, [&whole[rows(0)], &whole[rows(1)]].concat());
            start += length;
            assert_eq!(state.position, start);
        }
    }
}

#[test]
fn threads_and_other_sequences_change_no_bit() {
    let (both, alone) = (sequences(2, CHUNK + 3), sequences(1, CHUNK + 3));
    let found = run::<f32>(both, None, 1);
    assert_eq!(run::<f32>(both, None, 3), found);
    let alone = run::<f32>(alone, None, 2);
    for part in 0..6 {
        assert_eq!(alone[part], found[part][..alone[part].len()], "{part}");
    }
}

#[test]
fn a_fused_layer_is_the_separate_one_with_its_rows_in_another_order() {
    let (keys, values) = (OPTIONS.key_width, OPTIONS.group() * OPTIONS.value_width);
    let (mut parameters, mut fused_parameters) = (Parameters::new(), Parameters::new());
    let separate = layer::<f64>(&mut parameters);
    let mut tensors = Vec::new();
    separate.visit(&mut |tensor| {
        if let Values::Real(values) = tensor.values {
            tensors.push(values.to_vec());
        }
    });
    let row = |array: usize, row: usize| tensors[array][row * WIDTH..(row + 1) * WIDTH].to_vec();
    let rows = |array: usize, first: usize, count: usize| {
        (first..first + count).flat_map(|index| row(array, index)).collect::<Vec<_>>()
    };
    let (mut qkvz, mut ba) = (Vec::new(), Vec::new());
    for head in 0..OPTIONS.key_heads {
        qkvz.extend(rows(0, head * keys, keys));
        qkvz.extend(rows(0, OPTIONS.key_row() + head * keys, keys));
        qkvz.extend(rows(0, 2 * OPTIONS.key_row() + head * values, values));
        qkvz.extend(rows(1, head * values, values));
        for array in [2, 3] {
            ba.extend(rows(array, head * OPTIONS.group(), OPTIONS.group()));
        }
    }
    let mut projection = |name, inputs, weight| -> Box<dyn Projection<f64>> {
        Box::new(Dense::from_weight(name, inputs, weight, &mut fused_parameters).unwrap())
    };
    let input = DeltaNetInputs::Fused {
        qkvz: projection("qkvz", WIDTH, qkvz),
        ba: projection("ba", WIDTH, ba),
    };
    let output = projection("out", OPTIONS.value_row(), tensors[4].clone());
    let projections = DeltaNetProjections { input, output };
    let fused = GatedDeltaNet::new("mixer", projections, weights(), OPTIONS, &mut fused_parameters)
        .unwrap();
    let sequences = sequences(2, 5);
    let outputs = [&separate, &fused].map(|layer| forward(layer, sequences, Recurrence::Chunks));
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn padding_is_zeros_whatever_stands_there_and_gets_no_gradient() {
    let sequences = sequences(2, 4);
    let mask = [true, true, false, false, false, true, true, true];
    let found = run::<f64>(sequences, Some(&mask), 1);
    for (row, _) in found[3].chunks(WIDTH).zip(mask).filter(|(_, real)| !real) {
        assert!(row.iter().all(|&d| d == 0.0));
    }
    let mut parameters = Parameters::new();
    let layer = layer::<f64>(&mut parameters);
    let mut x: Vec<f64> = numbers(5, sequences.rows() * WIDTH);
    let run = |x: Vec<f64>, mask| {
        let context = Context { mask, ..Context::from(sequences) };
        layer.forward(x, context, &mut Tape::inference()).unwrap()
    };
    for (row, _) in x.chunks_mut(WIDTH).zip(mask).filter(|(_, real)| !real) {
        row.fill(f64::NAN);
    }
    let y = run(x.clone(), Some(&mask));
    x.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = 0.0);
    assert_eq!(y, run(x, None));
}

#[test]
fn what_is_frozen_has_no_gradient_and_changes_none_of_the_others() {
    let sequences = sequences(1, 7);
    let run = |frozen: bool| {
        let mut parameters = Parameters::new();
        let projections = separate::<f64>(&mut parameters);
        if frozen {
            parameters.freeze();
        }
        let layer =
            GatedDeltaNet::new("mixer", projections, weights(), OPTIONS, &mut parameters).unwrap();
        let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(&parameters));
        let x = numbers(5, sequences.rows() * WIDTH);
        let y = layer.forward(x, sequences.into(), &mut tape).unwrap();
        let dx = layer.backward(y, sequences.into(), &mut tape, &mut gradients).unwrap();
        (dx, gradients.values().to_vec())
    };
    let ((dx, all), (frozen_dx, projections)) = (run(false), run(true));
    assert_eq!(dx, frozen_dx);
    assert_eq!(all[..projections.len()], projections);
    let learned = OPTIONS.channels() * OPTIONS.kernel + 2 * OPTIONS.value_heads + 5;
    assert_eq!(all.len(), projections.len() + learned);
}

#[test]
fn a_tape_holds_no_more_after_many_steps_than_after_a_few() {
    let (mut parameters, sequences) = (Parameters::new(), sequences(2, CHUNK + 3));
    let layer = layer::<f32>(&mut parameters);
    let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(&parameters));
    let mut step = || {
        let mut x = tape.take(sequences.rows() * WIDTH);
        x.fill(0.5);
        let y = layer.forward(x, sequences.into(), &mut tape).unwrap();
        let dx = layer.backward(y, sequences.into(), &mut tape, &mut gradients).unwrap();
        tape.give(dx);
        tape.size_bytes()
    };
    let sizes = [(); 6].map(|()| step());
    assert_eq!(sizes[2], sizes[5], "{sizes:?}");
}

#[test]
fn no_tokens_leave_the_states_as_they_are() {
    for sequences in [sequences(0, 3), sequences(0, 1 << 40), sequences(2, 0)] {
        let found = run::<f32>(sequences, None, 1);
        assert!(found[0].is_empty() && found.iter().flatten().all(|&x| x == 0.0));
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let build = |options: DeltaNetOptions, weights: DeltaNetWeights<f32>| {
        let mut parameters = Parameters::new();
        let projections = separate(&mut parameters);
        GatedDeltaNet::new("mixer", projections, weights, options, &mut parameters)
            .unwrap_err()
            .to_string()
    };
    for (options, message) in [
        (DeltaNetOptions { key_heads: 0, ..OPTIONS }, "mixer: key heads: expected at least 1"),
        (DeltaNetOptions { kernel: 0, ..OPTIONS }, "mixer: taps of the convolution: expected"),
        (DeltaNetOptions { value_heads: 3, ..OPTIONS }, "mixer: value heads: expected a multiple"),
        (DeltaNetOptions { key_width: usize::MAX, ..OPTIONS }, "mixer: sizes: expected as many"),
        (DeltaNetOptions { epsilon: f64::NAN, ..OPTIONS }, "mixer: epsilon: expected a finite"),
        (DeltaNetOptions { key_width: 7, ..OPTIONS }, "mixer: outputs of the query, key and value"),
        (DeltaNetOptions { kernel: 4, ..OPTIONS }, "mixer.conv1d.weight: numbers: expected 176"),
    ] {
        let error = build(options, weights());
        assert!(error.starts_with(message), "{error}");
    }
    let error = build(OPTIONS, DeltaNetWeights { gain: vec![1.0; 4], ..weights() });
    assert_eq!(error, "mixer.norm.weight: numbers: expected 5, found 4");

    let mut parameters = Parameters::new();
    let layer = layer::<f32>(&mut parameters);
    let (two, x) = (sequences(1, 2), vec![0.0; 2 * WIDTH]);
    let (mut tape, mut state) = (Tape::inference(), layer.state(2));
    let error = layer.resume(x.clone(), two.into(), &mut state, &mut tape).unwrap_err();
    assert!(error.to_string().starts_with("mixer: numbers in recurrent states: "), "{error}");
    let mut none = State::default();
    let error = layer.resume(x.clone(), two.into(), &mut none, &mut tape).unwrap_err();
    assert_eq!(error.to_string(), "mixer: parts of the state: expected 2, found 0");
    let mut recording = Tape::recording();
    let error = layer.resume(x.clone(), two.into(), &mut layer.state(1), &mut recording);
    assert!(matches!(error, Err(Error::Tape { .. })));
    let context = Context { mask: Some(&[true]), ..Context::from(two) };
    assert!(layer.forward(x.clone(), context, &mut tape).is_err());
    for sequences in [sequences(1, usize::MAX), sequences(usize::MAX, 0), sequences(1 << 60, 1)] {
        assert!(layer.forward(x.clone(), sequences.into(), &mut tape).is_err());
    }
    let dy = vec![0.0; 2 * WIDTH];
    let mut gradients = Gradients::zeros(&parameters);
    assert!(layer.backward(dy, two.into(), &mut recording, &mut gradients).is_err());
}
