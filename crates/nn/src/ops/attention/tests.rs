//! Attention against an oracle that keeps the matrix, and the promises about bits.

mod bits;
mod oracle;
mod refusals;

use ternary_core::noise::Noise;

use super::{AttentionKernel, AttentionShape, attention, attention_backward};
use oracle::Oracle;

/// Normal numbers for every array of a call.
#[derive(Clone)]
struct Case<T> {
    shape: AttentionShape,
    scale: T,
    q: Vec<T>,
    k: Vec<T>,
    v: Vec<T>,
    d_out: Vec<T>,
}

/// What forward and backward make of a case; the gradients were added to 1.
#[derive(Debug, Clone, PartialEq)]
struct Results<T> {
    out: Vec<T>,
    log_sums: Vec<T>,
    dq: Vec<T>,
    dk: Vec<T>,
    dv: Vec<T>,
}

/// [sequences, queries, keys, query heads, key heads, width]
fn shape([sequences, queries, keys, query_heads, key_heads, width]: [usize; 6]) -> AttentionShape {
    AttentionShape { sequences, queries, keys, query_heads, key_heads, width }
}

impl<T: AttentionKernel> Case<T> {
    fn new(shape: AttentionShape) -> Self {
        let normal = |parameter: u32, rows: usize, heads: usize| {
            let mut values = vec![0.0; shape.sequences * rows * heads * shape.width];
            Noise::new(11, parameter, 0).fill_normal(0, &mut values);
            values.into_iter().map(T::from_f32).collect()
        };
        Self {
            shape,
            scale: T::ONE / T::from_usize(shape.width).sqrt(),
            q: normal(0, shape.queries, shape.query_heads),
            k: normal(1, shape.keys, shape.key_heads),
            v: normal(2, shape.keys, shape.key_heads),
            d_out: normal(3, shape.queries, shape.query_heads),
        }
    }

    fn inputs(&self) -> [&[T]; 3] {
        [&self.q, &self.k, &self.v]
    }

    fn run(&self) -> Results<T> {
        let mut log_sums = vec![T::ZERO; self.q.len() / self.shape.width];
        let mut out = vec![T::ZERO; self.q.len()];
        attention(self.shape, self.scale, self.inputs(), &mut out, &mut log_sums).unwrap();
        let ones = |like: &[T]| vec![T::ONE; like.len()];
        let (mut dq, mut dk, mut dv) = (ones(&self.q), ones(&self.k), ones(&self.v));
        attention_backward(
            self.shape,
            self.scale,
            self.inputs(),
            [&out, &log_sums, &self.d_out],
            [&mut dq, &mut dk, &mut dv],
        )
        .unwrap();
        Results { out, log_sums, dq, dk, dv }
    }

    /// The same numbers in `f64`.
    fn widened(&self) -> Case<f64> {
        let widen = |values: &[T]| values.iter().map(|value| value.to_f64()).collect();
        Case {
            shape: self.shape,
            scale: self.scale.to_f64(),
            q: widen(&self.q),
            k: widen(&self.k),
            v: widen(&self.v),
            d_out: widen(&self.d_out),
        }
    }
}

fn assert_close<T: AttentionKernel>(
    what: &str,
    shape: AttentionShape,
    found: &[T],
    exact: &[f64],
    bound: f64,
) {
    assert_eq!(found.len(), exact.len());
    for (index, (found, exact)) in found.iter().zip(exact).enumerate() {
        let error = (found.to_f64() - exact).abs();
        assert!(error <= bound, "{what} of {shape:?} at {index}: {found} and {exact}, {bound:e}");
    }
}

fn compare<T: AttentionKernel>(case: &Case<T>) {
    let (shape, found) = (case.shape, case.run());
    let oracle = Oracle::of(&case.widened());
    let bounds = oracle.bounds(T::EPSILON.to_f64() / 2.0);
    assert_close("out", shape, &found.out, &oracle.results.out, bounds.out);
    assert_close("log-sums", shape, &found.log_sums, &oracle.results.log_sums, bounds.log_sums);
    assert_close("dq", shape, &found.dq, &oracle.results.dq, bounds.dq);
    assert_close("dk", shape, &found.dk, &oracle.results.dk, bounds.dk);
    assert_close("dv", shape, &found.dv, &oracle.results.dv, bounds.dv);
}

/// Shapes that divide nothing, around the sizes of vectors and blocks.
const SHAPES: [[usize; 6]; 18] = [
    [1, 1, 1, 1, 1, 1],
    [1, 1, 97, 2, 1, 5],
    [3, 1, 230, 6, 2, 70],
    [2, 1, 16, 2, 2, 128],
    [1, 2, 2, 1, 1, 16],
    [2, 17, 17, 4, 2, 5],
    [1, 63, 63, 3, 1, 40],
    [1, 64, 64, 2, 2, 16],
    [1, 65, 65, 2, 2, 1],
    [3, 13, 29, 4, 2, 16],
    [1, 95, 96, 1, 1, 33],
    [1, 96, 97, 2, 1, 48],
    [1, 130, 130, 2, 1, 64],
    [1, 130, 130, 1, 1, 128],
    [2, 100, 230, 2, 1, 17],
    [1, 7, 200, 6, 3, 8],
    [0, 5, 7, 2, 1, 4],
    [2, 0, 3, 2, 1, 4],
];

#[test]
fn plain_code_agrees_with_the_oracle() {
    for sizes in SHAPES {
        compare(&Case::<f64>::new(shape(sizes)));
    }
}

#[test]
fn fast_code_agrees_with_the_oracle_on_every_instruction_set() {
    crate::simd::on_every_isa(|| {
        for sizes in SHAPES {
            compare(&Case::<f32>::new(shape(sizes)));
        }
    });
}

#[test]
fn large_scores_neither_overflow_nor_lose_the_largest() {
    crate::simd::on_every_isa(|| {
        let mut case = Case::<f32>::new(shape([1, 40, 110, 2, 1, 8]));
        case.q.iter_mut().for_each(|q| *q *= 300.0);
        compare(&case);
    });
}

/// The gradient of ⟨d_out, out⟩ by central differences, all entries.
#[test]
fn gradients_are_those_of_the_forward() {
    let case = Case::<f64>::new(shape([2, 3, 4, 4, 2, 3]));
    let found = case.run();
    let value = |case: &Case<f64>| -> f64 {
        case.run().out.iter().zip(&case.d_out).map(|(out, d)| out * d).sum()
    };
    for (array, gradient) in [&found.dq, &found.dk, &found.dv].into_iter().enumerate() {
        for (index, gradient) in gradient.iter().enumerate() {
            let step = 1e-5;
            let at = |step: f64| {
                let mut case = case.clone();
                [&mut case.q, &mut case.k, &mut case.v][array][index] += step;
                value(&case)
            };
            let numeric = (at(step) - at(-step)) / (2.0 * step);
            // Rounding 1e-16 / 1e-5 and the third derivative times 1e-10, each times a few.
            assert!((gradient - 1.0 - numeric).abs() < 1e-8, "{gradient} {numeric}");
        }
    }
}
