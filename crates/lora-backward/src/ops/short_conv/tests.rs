use nn::ternary_core::noise::Noise;
use nn::{Error, Sequences};

use super::*;

fn shape(count: usize, length: usize, taps: usize) -> ConvShape {
    ConvShape { sequences: Sequences { count, length }, channels: 5, taps }
}

fn numbers(stream: u32, count: usize) -> Vec<f64> {
    let mut numbers = vec![0.0; count];
    Noise::new(3, stream, 0).fill_normal(0, &mut numbers);
    numbers.into_iter().map(f64::from).collect()
}

/// Taps, rows and columns.
fn inputs(shape: ConvShape) -> [Vec<f64>; 3] {
    let ConvShape { sequences, channels, taps } = shape;
    [
        numbers(0, channels * taps),
        numbers(1, sequences.rows() * channels),
        numbers(2, sequences.count * channels * (taps - 1)),
    ]
}

/// Number by number, straight from the formula: outputs and last columns.
fn oracle(shape: ConvShape, [taps, x, columns]: &[Vec<f64>; 3]) -> [Vec<f64>; 2] {
    let ConvShape { sequences: Sequences { count, length }, channels, taps: k } = shape;
    let at = |sequence: usize, t: isize, channel: usize| match usize::try_from(t) {
        Ok(t) => x[(sequence * length + t) * channels + channel],
        Err(_) => {
            let column = (t + k as isize - 1) as usize;
            columns[(sequence * channels + channel) * (k - 1) + column]
        }
    };
    let (mut y, mut last) = (vec![0.0; x.len()], vec![0.0; columns.len()]);
    for (sequence, channel) in (0..count).flat_map(|s| (0..channels).map(move |c| (s, c))) {
        for t in 0..length {
            y[(sequence * length + t) * channels + channel] = (0..k)
                .map(|j| {
                    let from = (t + j) as isize - (k as isize - 1);
                    taps[channel * k + j] * at(sequence, from, channel)
                })
                .sum();
        }
        for i in 0..k - 1 {
            let from = (length + i) as isize - (k as isize - 1);
            last[(sequence * channels + channel) * (k - 1) + i] = at(sequence, from, channel);
        }
    }
    [y, last]
}

fn run(shape: ConvShape, [taps, x, columns]: &[Vec<f64>; 3]) -> [Vec<f64>; 2] {
    let (mut y, mut columns) = (vec![7.0; x.len()], columns.clone());
    short_conv(shape, taps, x, &mut columns, &mut y).unwrap();
    [y, columns]
}

#[test]
fn any_length_and_any_number_of_taps_give_what_the_formula_says() {
    for taps in 1..=4 {
        for length in [1, 2, 3, 7] {
            let shape = shape(2, length, taps);
            let inputs = inputs(shape);
            let (found, expected) = (run(shape, &inputs), oracle(shape, &inputs));
            assert_eq!(found[1], expected[1]);
            for (found, expected) in found[0].iter().zip(&expected[0]) {
                assert!((found - expected).abs() < 1e-14);
            }
        }
    }
}

/// ⟨u, y⟩ + ⟨v, last columns⟩ is linear in rows and columns, and in the taps: its gradients answer for both.
#[test]
fn the_backward_is_the_transpose_of_the_forward() {
    for taps in 1..=4 {
        for length in [1, 2, 7, 100] {
            let shape = shape(2, length, taps);
            let [w, x, columns] = inputs(shape);
            let (dy, d_last) = (numbers(8, x.len()), numbers(9, columns.len()));
            let (mut d_columns, mut dx) = (d_last.clone(), vec![1.0; x.len()]);
            let mut d_taps = vec![1.0; w.len()];
            let held = ConvInputs { taps: &w, x: &x, columns: &columns };
            short_conv_backward(shape, held, &dy, &mut d_columns, &mut dx, Some(&mut d_taps))
                .unwrap();
            let [y, last] = run(shape, &[w.clone(), x.clone(), columns.clone()]);
            let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let added = |d: &[f64], x: &[f64]| inner(d, x) - x.iter().sum::<f64>();
            let of_y = inner(&dy, &y);
            let by_rows = added(&dx, &x) + inner(&d_columns, &columns);
            assert!((of_y + inner(&d_last, &last) - by_rows).abs() < 1e-10);
            assert!((of_y - added(&d_taps, &w)).abs() < 1e-10);
        }
    }
}

#[test]
fn a_sequence_in_pieces_has_the_bits_of_the_whole_and_threads_change_none() {
    let whole = ConvShape { channels: 900, ..shape(1, 60, 4) };
    let [w, x, mut columns] = inputs(whole);
    let all = run(whole, &[w.clone(), x.clone(), columns.clone()]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(pool.install(|| run(whole, &[w.clone(), x.clone(), columns.clone()])), all);
    let mut pieces = Vec::new();
    for rows in [1, 2, 57] {
        let start = pieces.len();
        let sequences = Sequences { count: 1, length: rows };
        let x = &x[start..start + rows * 900];
        let mut y = vec![0.0; x.len()];
        short_conv(ConvShape { sequences, ..whole }, &w, x, &mut columns, &mut y).unwrap();
        pieces.extend(y);
    }
    assert_eq!([pieces, columns], all);
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let good = shape(1, 3, 2);
    for (shape, columns, outputs, what) in [
        (ConvShape { taps: 0, ..good }, 5, 15, "taps"),
        (ConvShape { taps: 3, ..good }, 5, 15, "taps"),
        (ConvShape { channels: usize::MAX, ..good }, 5, 15, "sizes"),
        (good, 6, 15, "columns"),
        (good, 5, 14, "outputs"),
        (shape(1, 4, 2), 5, 20, "inputs"),
    ] {
        let (mut columns, mut y) = (vec![7.0; columns], vec![7.0; outputs]);
        let error = short_conv(shape, &[1.0; 10], &[1.0; 15], &mut columns, &mut y).unwrap_err();
        assert!(error.to_string().starts_with(&format!("short_conv: {what}: ")), "{error}");
        assert!(matches!(error, Error::Shape { .. } | Error::Setting { .. }));
        assert!(columns.iter().chain(&y).all(|&x| x == 7.0));
    }
    let inputs = ConvInputs { taps: &[1.0; 10], x: &[1.0; 15], columns: &[0.0; 5] };
    let (mut columns, mut dx, mut taps) = ([0.0; 5], [0.0; 15], [0.0; 9]);
    let wrong = Some(&mut taps[..]);
    assert!(short_conv_backward(good, inputs, &[0.0; 15], &mut columns, &mut dx, wrong).is_err());
    assert!(short_conv_backward(good, inputs, &[0.0; 14], &mut columns, &mut dx, None).is_err());
}

#[test]
fn without_rows_the_columns_stay() {
    for shape in [shape(0, 3, 2), shape(2, 0, 3), ConvShape { channels: 0, ..shape(1, 2, 2) }] {
        let [w, x, columns] = inputs(shape);
        assert_eq!(run(shape, &[w, x, columns.clone()]), [vec![], columns]);
    }
}
