use nn::ternary_core::noise::Noise;
use nn::{Error, Sequences};

use super::*;

fn shape(count: usize, length: usize) -> DeltaShape {
    let sequences = Sequences { count, length };
    DeltaShape { sequences, key_heads: 2, value_heads: 4, key_width: 6, value_width: 5 }
}

/// Inputs as a layer makes them: keys and queries of length 1, 0 < β < 1, and −`decay` < g < 0.
struct Inputs {
    arrays: [Vec<f64>; 5],
    state: Vec<f64>,
}

impl Inputs {
    fn new(shape: DeltaShape, decay: f64) -> Self {
        let tokens = shape.sequences.rows();
        let numbers = |stream: u32, count: usize| {
            let mut numbers = vec![0.0; count];
            Noise::new(5, stream, 0).fill_normal(0, &mut numbers);
            numbers.into_iter().map(f64::from).collect::<Vec<_>>()
        };
        let unit = |stream| {
            let mut rows = numbers(stream, tokens * shape.key_heads * shape.key_width);
            for row in rows.chunks_mut(shape.key_width.max(1)) {
                let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                row.iter_mut().for_each(|x| *x /= length);
            }
            rows
        };
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let heads = tokens * shape.value_heads;
        let decays = numbers(3, heads).into_iter().map(|x| -decay * logistic(x)).collect();
        let writes = numbers(4, heads).into_iter().map(logistic).collect();
        let values = numbers(2, heads * shape.value_width);
        let arrays = [unit(0), unit(1), values, decays, writes];
        // What f32 holds too.
        let arrays = arrays.map(|array| array.iter().map(|&x| f64::from(x as f32)).collect());
        Self { arrays, state: numbers(5, shape.states()) }
    }

    fn narrow(&self) -> [Vec<f32>; 6] {
        let narrow = |array: &[f64]| array.iter().map(|&x| x as f32).collect();
        let [a, b, c, d, e] = &self.arrays;
        [a, b, c, d, e, &self.state].map(|array| narrow(array))
    }
}

fn rows<T>([query, key, value, decay, write]: &[Vec<T>; 5]) -> DeltaRows<'_, T> {
    DeltaRows { query, key, value, decay, write }
}

/// Outputs and the last state, in chunks or token by token.
fn run<T: Compute>(
    shape: DeltaShape,
    rows: DeltaRows<'_, T>,
    state: &[T],
    in_chunks: bool,
) -> [Vec<T>; 2] {
    let mut state = state.to_vec();
    let mut y = vec![T::ONE; rows.value.len()];
    match in_chunks {
        true => delta_rule(shape, rows, &mut state, None, &mut y).unwrap(),
        false => delta_rule_tokens(shape, rows, &mut state, &mut y).unwrap(),
    }
    [y, state]
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max, x| max.max(x.abs()))
}

#[test]
fn chunks_and_tokens_agree_for_any_length_and_any_decay() {
    for length in [1, 3, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 2] {
        // e^−200 is nothing in either type.
        for decay in [1e-3, 1.0, 200.0] {
            let shape = shape(2, length);
            let inputs = Inputs::new(shape, decay);
            let exact = run(shape, rows(&inputs.arrays), &inputs.state, false);
            let chunked = run(shape, rows(&inputs.arrays), &inputs.state, true);
            let [a, b, c, d, e, state] = inputs.narrow();
            let narrow = [a, b, c, d, e];
            let single = run(shape, rows(&narrow), &state, true);
            for (part, expected) in exact.iter().enumerate() {
                let off = |found: f64, expected: f64| (found - expected).abs();
                let of_chunks = chunked[part].iter().zip(expected).map(|(&x, &y)| off(x, y));
                let of_single = single[part].iter().zip(expected);
                let of_single = of_single.map(|(&x, &y)| off(f64::from(x), y));
                let (double, float) =
                    (of_chunks.fold(0.0, f64::max), of_single.fold(0.0, f64::max));
                let scale = largest(expected);
                assert!(double <= 1e-12 * scale, "{length}, {decay}: {double} of {scale}");
                assert!(float <= 1e-5 * scale, "{length}, {decay}: {float} of {scale}");
            }
        }
    }
}

#[test]
fn a_sequence_in_pieces_has_the_bits_of_the_whole() {
    let whole = shape(1, 7);
    let inputs = Inputs::new(whole, 1.0);
    let [y, last] = run(whole, rows(&inputs.arrays), &inputs.state, false);
    let (mut state, mut pieces) = (inputs.state.clone(), Vec::new());
    for token in 0..7 {
        let arrays = inputs.arrays.each_ref().map(|array| {
            let each = array.len() / 7;
            array[token * each..(token + 1) * each].to_vec()
        });
        let [y, next] = run(shape(1, 1), rows(&arrays), &state, false);
        pieces.extend(y);
        state = next;
    }
    assert_eq!((pieces, state), (y, last));
}

/// All gradients for an upstream of ones, with what `threads` threads find.
fn gradients(shape: DeltaShape, inputs: &Inputs, threads: usize) -> Vec<Vec<f64>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let (mut state, mut starts) = (inputs.state.clone(), vec![0.0; shape.starts()]);
        let mut y = vec![0.0; inputs.arrays[2].len()];
        let rows = rows(&inputs.arrays);
        delta_rule(shape, rows, &mut state, Some(&mut starts), &mut y).unwrap();
        let mut d = inputs.arrays.each_ref().map(|array| vec![0.0; array.len()]);
        let mut d_state = vec![1.0; state.len()];
        let [query, key, value, decay, write] = &mut d;
        let gradients = DeltaGradients { query, key, value, decay, write };
        let dy = vec![1.0; y.len()];
        delta_rule_backward(shape, rows, &starts, &dy, &mut d_state, gradients).unwrap();
        [d.to_vec(), vec![y, d_state]].concat()
    })
}

#[test]
fn threads_and_other_sequences_change_no_bit() {
    let both = shape(2, CHUNK + 3);
    let inputs = Inputs::new(both, 1.0);
    let found = gradients(both, &inputs, 1);
    assert_eq!(gradients(both, &inputs, 3), found);
    let half = |array: &Vec<f64>| array[..array.len() / 2].to_vec();
    let first = Inputs { arrays: inputs.arrays.each_ref().map(half), state: half(&inputs.state) };
    let alone = gradients(shape(1, CHUNK + 3), &first, 2);
    assert_eq!(alone, found.iter().map(half).collect::<Vec<_>>());
}

#[test]
fn with_a_single_token_from_nothing_the_decay_has_no_gradient() {
    let shape = shape(1, 1);
    let inputs = Inputs { state: vec![0.0; shape.states()], ..Inputs::new(shape, 1.0) };
    assert!(gradients(shape, &inputs, 1)[3].iter().all(|&dg| dg == 0.0));
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let good = shape(1, 3);
    let inputs = Inputs::new(good, 1.0);
    let error = |shape: DeltaShape, states: usize, outputs: usize| {
        let (mut state, mut y) = (vec![7.0; states], vec![7.0; outputs]);
        let error = delta_rule(shape, rows(&inputs.arrays), &mut state, None, &mut y);
        let tokens = delta_rule_tokens(shape, rows(&inputs.arrays), &mut state, &mut y);
        assert!(state.iter().chain(&y).all(|&x| x == 7.0));
        assert_eq!(tokens.as_ref(), error.as_ref());
        error.unwrap_err()
    };
    let (states, outputs) = (good.states(), 3 * 4 * 5);
    for (shape, states, outputs, what) in [
        (DeltaShape { key_heads: 3, ..good }, states, outputs, "value heads"),
        (DeltaShape { key_heads: 0, ..good }, states, outputs, "value heads"),
        (DeltaShape { key_width: 7, ..good }, states, outputs, "queries"),
        (DeltaShape { value_width: 6, ..good }, states, outputs, "values"),
        (DeltaShape { value_width: usize::MAX, ..good }, states, outputs, "sizes"),
        (DeltaShape { key_width: 1 << 40, value_width: 1 << 40, ..shape(0, 0) }, 0, 0, "sizes"),
        (good, states - 1, outputs, "numbers in states"),
        (good, states, outputs + 1, "outputs"),
    ] {
        let error = error(shape, states, outputs);
        assert!(error.to_string().starts_with(&format!("delta_rule: {what}: ")), "{error}");
        assert!(matches!(error, Error::Shape { .. } | Error::Setting { .. }));
    }
}

#[test]
fn nothing_in_is_nothing_out() {
    for shape in [shape(0, 3), shape(2, 0), DeltaShape { value_width: 0, ..shape(1, 2) }] {
        let inputs = Inputs::new(shape, 1.0);
        let before = inputs.state.clone();
        for in_chunks in [true, false] {
            let found = run(shape, rows(&inputs.arrays), &inputs.state, in_chunks);
            assert_eq!(found, [vec![], before.clone()]);
        }
        gradients(shape, &inputs, 1);
    }
    let keyless = DeltaShape { key_width: 0, ..shape(1, 2) };
    let inputs = Inputs::new(keyless, 1.0);
    assert_eq!(run(keyless, rows(&inputs.arrays), &[], true), [vec![0.0; 2 * 4 * 5], vec![]]);
}
