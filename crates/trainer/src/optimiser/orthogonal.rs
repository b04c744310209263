//! The orthogonal matrix next to a matrix, by Newton and Schulz.

use nn::{Compute, sum_of_squares};
use rayon::prelude::*;
use ternary_core::Result;
use ternary_core::kernels::{DenseOperand, Store};

use super::RUN;

/// Iterations.
const STEPS: usize = 5;

/// a, b, c of the polynomial a·s + b·s³ + c·s⁵, which all singular values pass through: it is steep at zero, so
/// that small ones grow fast, and leaves those near 1 between 0.68 and 1.13 (Jordan, 2024).
const POLYNOMIAL: [f64; 3] = [3.4445, -4.775, 2.0315];

/// Keeps a matrix of zeros from being divided by zero.
const SMALLEST_NORM: f64 = 1e-30;

/// Buffers of [`orthogonalise`], used again for the next matrix.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch<T> {
    gram: Vec<T>,
    polynomial: Vec<T>,
    next: Vec<T>,
}

/// Replaces X = U·S·Vᵀ, row-major, by a matrix near U·Vᵀ: by five steps of
///
/// ```text
/// X ← X / ‖X‖,   then   A = X·Xᵀ,   X ← a·X + (b·A + c·A²)·X
/// ```
///
/// on the side that has fewer rows. Its singular values are then about 1, those that were below a thousandth of
/// the norm less. Zeros stay zeros.
///
/// # Errors
/// When the matrix has not `rows · cols` numbers.
pub(super) fn orthogonalise<T: Compute>(
    x: &mut [T],
    rows: usize,
    cols: usize,
    scratch: &mut Scratch<T>,
) -> Result<()> {
    let norm = sum_of_squares(x).sqrt().max(SMALLEST_NORM);
    let shorten = T::from_f64(1.0 / norm);
    x.iter_mut().for_each(|x| *x = *x * shorten);
    let side = rows.min(cols);
    let Scratch { gram, polynomial, next } = scratch;
    gram.resize(side * side, T::ZERO);
    polynomial.resize(side * side, T::ZERO);
    next.resize(rows * cols, T::ZERO);
    let [a, b, c] = POLYNOMIAL.map(T::from_f64);
    for _ in 0..STEPS {
        let whole = DenseOperand::new(x, rows, cols)?;
        // The smaller of X·Xᵀ and Xᵀ·X.
        let factor = if rows <= cols { whole } else { whole.transposed() };
        T::product(factor, factor, gram, Store::Set)?;
        let square = DenseOperand::new(gram, side, side)?;
        T::product(square, square.transposed(), polynomial, Store::Set)?;
        each_pair(polynomial, gram, |polynomial, gram| b * gram + c * polynomial);
        let polynomial = DenseOperand::new(polynomial, side, side)?;
        // As the polynomial is symmetric, P·X = P·(Xᵀ)ᵀ, and X·P = X·Pᵀ.
        if rows <= cols {
            T::product(polynomial, whole.transposed(), next, Store::Set)?;
        } else {
            T::product(whole, polynomial, next, Store::Set)?;
        }
        each_pair(x, next, |x, next| a * x + next);
    }
    Ok(())
}

/// Replaces each number by a function of it and the one at its place.
fn each_pair<T: Compute>(x: &mut [T], y: &[T], combine: impl Fn(T, T) -> T + Sync) {
    x.par_chunks_mut(RUN).zip(y.par_chunks(RUN)).for_each(|(x, y)| {
        x.iter_mut().zip(y).for_each(|(x, &y)| *x = combine(*x, y));
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normals, on_threads};
    use super::*;

    /// The same steps on plain nested loops.
    pub(super) fn oracle(x: &[f64], rows: usize, cols: usize) -> Vec<f64> {
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let mut x: Vec<f64> = x.iter().map(|x| x / norm).collect();
        let product = |a: &[f64], b: &[f64], [m, k, n]: [usize; 3]| {
            let mut c = vec![0.0; m * n];
            for (i, j, l) in (0..m * n * k).map(|at| (at / (n * k), at / k % n, at % k)) {
                c[i * n + j] += a[i * k + l] * b[l * n + j];
            }
            c
        };
        for _ in 0..5 {
            let mut turned = vec![0.0; rows * cols];
            (0..rows * cols).for_each(|at| turned[at % cols * rows + at / cols] = x[at]);
            // X·Xᵀ on the side of the rows, however many: the polynomial is the same.
            let gram = product(&x, &turned, [rows, cols, rows]);
            let square = product(&gram, &gram, [rows; 3]);
            let mixed: Vec<f64> =
                gram.iter().zip(&square).map(|(a, a2)| -4.7750 * a + 2.0315 * a2).collect();
            let moved = product(&mixed, &x, [rows, rows, cols]);
            x.iter_mut().zip(moved).for_each(|(x, moved)| *x = 3.4445 * *x + moved);
        }
        x
    }

    #[test]
    fn on_either_side_it_is_the_iteration_on_plain_loops() {
        for (rows, cols) in [(1, 1), (1, 7), (7, 1), (5, 9), (9, 5), (6, 6), (33, 64), (64, 33)] {
            let start = normals(1, rows * cols);
            let wide: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
            let expected = oracle(&wide, rows, cols);
            let mut found = wide;
            orthogonalise(&mut found, rows, cols, &mut Scratch::default()).unwrap();
            let mut single = start;
            orthogonalise(&mut single, rows, cols, &mut Scratch::default()).unwrap();
            for ((found, single), expected) in found.iter().zip(&single).zip(&expected) {
                assert!((found - expected).abs() < 1e-10, "{rows}×{cols}: {found}, {expected}");
                let apart = (f64::from(*single) - expected).abs();
                assert!(apart < 2e-4, "{rows}×{cols}: {single}, {expected}");
            }
        }
    }

    #[test]
    fn rows_become_orthogonal_and_about_one_long() {
        let (rows, cols) = (16, 48);
        let mut x = normals(3, rows * cols);
        orthogonalise(&mut x, rows, cols, &mut Scratch::default()).unwrap();
        for i in 0..rows {
            for j in 0..=i {
                let pairs = x[i * cols..][..cols].iter().zip(&x[j * cols..][..cols]);
                let product: f32 = pairs.map(|(a, b)| a * b).sum();
                let expected = if i == j { 0.4..1.5 } else { -0.3..0.3 };
                assert!(expected.contains(&product), "{i}, {j}: {product}");
            }
        }
    }

    #[test]
    fn a_diagonal_matrix_stays_diagonal_with_its_signs() {
        let mut x = [3.0_f64, 0.0, 0.0, -2.0];
        orthogonalise(&mut x, 2, 2, &mut Scratch::default()).unwrap();
        assert_eq!([x[1], x[2]], [0.0, 0.0]);
        assert!((0.6..1.3).contains(&x[0]) && (0.6..1.3).contains(&-x[3]), "{x:?}");
    }

    #[test]
    fn zeros_stay_and_threads_and_used_buffers_change_nothing() {
        let mut zeros = [0.0_f32; 12];
        orthogonalise(&mut zeros, 3, 4, &mut Scratch::default()).unwrap();
        assert_eq!(zeros, [0.0; 12]);
        assert!(orthogonalise(&mut zeros, 3, 5, &mut Scratch::default()).is_err());
        let on = |threads| {
            on_threads(threads, || {
                let mut scratch = Scratch::default();
                orthogonalise(&mut normals(9, 300 * 70), 300, 70, &mut scratch).unwrap();
                let mut x = normals(2, 90 * 260);
                orthogonalise(&mut x, 90, 260, &mut scratch).unwrap();
                x
            })
        };
        let one = on(1);
        assert!(on(2) == one && on(3) == one);
    }
}
