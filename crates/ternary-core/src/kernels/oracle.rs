//! Naive oracles: each product in a few lines, straight from its formula.

use super::DenseOperand;
use crate::matrix::TernaryMatrix;
use crate::packing::PackedTrits;

/// Σ_k x[m][k] · t[n][k] in 64-bit integers.
pub(crate) fn sums<T: Copy + Into<i64>>(x: &[T], rows: usize, w: &PackedTrits) -> Vec<i64> {
    let (n, k) = (w.layout().rows(), w.layout().cols());
    let t = w.to_trits();
    let sum = |m: usize, n: usize| -> i64 {
        (0..k).map(|c| x[m * k + c].into() * i64::from(t[n * k + c])).sum()
    };
    (0..rows * n).map(|i| sum(i / n, i % n)).collect()
}

/// Σ_n x[m][n] · t[n][k] in 64-bit integers.
pub(crate) fn sums_transposed<T: Copy + Into<i64>>(
    x: &[T],
    rows: usize,
    w: &PackedTrits,
) -> Vec<i64> {
    let (n, k) = (w.layout().rows(), w.layout().cols());
    let t = w.to_trits();
    let sum = |m: usize, c: usize| -> i64 {
        (0..n).map(|r| x[m * n + r].into() * i64::from(t[r * k + c])).sum()
    };
    (0..rows * k).map(|i| sum(i / k, i % k)).collect()
}

/// y = s · Σ_g scale_g · sum_g as the module page of [`super::scaling`] spells it.
pub(crate) fn scaled(codes: &[i8], activation_scales: &[f32], w: &TernaryMatrix) -> Vec<f32> {
    let (n, k) = (w.rows(), w.cols());
    let layout = w.codes().layout();
    let (columns, segments) = (layout.segment_columns(), layout.segments());
    let t = w.to_trits();
    let output = |m: usize, n: usize| {
        let term = |g: usize| {
            let (mut plus, mut minus) = (0_i64, 0_i64);
            for c in g * columns..(g + 1) * columns {
                match t[n * k + c] {
                    1 => plus += i64::from(codes[m * k + c]),
                    -1 => minus += i64::from(codes[m * k + c]),
                    _ => {}
                }
            }
            let scales = w.scales();
            let i = scales.granularity().index(n, g, segments);
            let (positive, negative) = (scales.positive()[i], scales.negative()[i]);
            if scales.is_symmetric() {
                positive * (plus - minus) as f32
            } else {
                positive * plus as f32 - negative * minus as f32
            }
        };
        (0..segments).map(term).reduce(|sum, term| sum + term).unwrap_or(0.0) * activation_scales[m]
    };
    (0..activation_scales.len() * n).map(|i| output(i / n, i % n)).collect()
}

/// Σ_k x[m][k] · w[n][k] in `f64`, with Σ |x · w| beside it for an error bound.
pub(crate) fn product(x: &[f32], rows: usize, w: &TernaryMatrix) -> Vec<(f64, f64)> {
    let (n, k) = (w.rows(), w.cols());
    let weights = w.to_f32();
    let terms = |m: usize, n: usize| (0..k).map(move |c| (m * k + c, n * k + c));
    (0..rows * n)
        .map(|i| {
            terms(i / n, i % n).fold((0.0, 0.0), |(sum, size), (a, b)| {
                let term = f64::from(x[a]) * f64::from(weights[b]);
                (sum + term, size + term.abs())
            })
        })
        .collect()
}

/// Σ_n x[m][n] · w[n][k] in `f64`, with Σ |x · w| beside it for an error bound.
pub(crate) fn product_transposed(x: &[f32], rows: usize, w: &TernaryMatrix) -> Vec<(f64, f64)> {
    let (n, k) = (w.rows(), w.cols());
    let weights = w.to_f32();
    (0..rows * k)
        .map(|i| {
            (0..n).fold((0.0, 0.0), |(sum, size), row| {
                let term = f64::from(x[i / k * n + row]) * f64::from(weights[row * k + i % k]);
                (sum + term, size + term.abs())
            })
        })
        .collect()
}

/// c[m][n] + Σ_k a[m][k] · b[n][k] in `f64`, with |c| + Σ |a · b| beside it for an error bound.
pub(crate) fn dense(a: DenseOperand<'_>, b: DenseOperand<'_>, c: &[f32]) -> Vec<(f64, f64)> {
    let n = b.rows();
    let output = |(i, &c): (usize, &f32)| {
        let start = (f64::from(c), f64::from(c).abs());
        (0..a.cols()).fold(start, |(sum, size), k| {
            let term = f64::from(a.at(i / n, k)) * f64::from(b.at(i % n, k));
            (sum + term, size + term.abs())
        })
    };
    c.iter().enumerate().map(output).collect()
}

/// The same in `f32`, one term after the other, each added by `add(sum, a, b)`.
pub(crate) fn dense_chain(
    a: DenseOperand<'_>,
    b: DenseOperand<'_>,
    c: &[f32],
    add: impl Fn(f32, f32, f32) -> f32,
) -> Vec<f32> {
    let n = b.rows();
    let output = |(i, &c): (usize, &f32)| {
        (0..a.cols()).fold(c, |sum, k| add(sum, a.at(i / n, k), b.at(i % n, k)))
    };
    c.iter().enumerate().map(output).collect()
}
