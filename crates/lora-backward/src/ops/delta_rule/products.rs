//! Products of the small matrices of a chunk.

use nn::ternary_core::Real;
use nn::ternary_core::kernels::{DenseOperand, Store};
use nn::{Compute, Error, Result};

use super::OP;

/// A matrix of `cols` columns, row by row.
pub(super) fn matrix<T: Real>(values: &[T], cols: usize) -> Result<DenseOperand<'_, T>> {
    let rows = values.len() / cols;
    DenseOperand::new(values, rows, cols).map_err(in_op)
}

/// C = A·B, or added to it.
pub(super) fn multiply<T: Compute>(
    a: DenseOperand<'_, T>,
    b: DenseOperand<'_, T>,
    c: &mut [T],
    store: Store,
) -> Result<()> {
    T::product(a, b.transposed(), c, store).map_err(in_op)
}

/// A·B.
pub(super) fn product<T: Compute>(
    a: DenseOperand<'_, T>,
    b: DenseOperand<'_, T>,
) -> Result<Vec<T>> {
    let mut c = vec![T::ZERO; a.rows() * b.cols()];
    multiply(a, b, &mut c, Store::Set)?;
    Ok(c)
}

fn in_op(source: nn::ternary_core::Error) -> Error {
    Error::Core { layer: OP.to_owned(), source }
}

/// y += a·x.
pub(super) fn add_scaled<T: Real>(y: &mut [T], a: T, x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// Σ x·y.
pub(super) fn inner<T: Real>(x: &[T], y: &[T]) -> T {
    x.iter().zip(y).map(|(&x, &y)| x * y).sum()
}

/// Row i times `factors`\[i\], for rows of `width` numbers; the factors begin anew where they end.
pub(super) fn scaled_rows<T: Real>(rows: &[T], width: usize, factors: &[T]) -> Vec<T> {
    let mut scaled = rows.to_vec();
    scale_rows(&mut scaled, width, factors);
    scaled
}

/// The same in place.
pub(super) fn scale_rows<T: Real>(rows: &mut [T], width: usize, factors: &[T]) {
    for (row, &factor) in rows.chunks_mut(width).zip(factors.iter().cycle()) {
        row.iter_mut().for_each(|x| *x *= factor);
    }
}
