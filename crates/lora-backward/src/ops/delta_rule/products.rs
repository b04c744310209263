//! Products of the small matrices of a chunk, in plain loops over contiguous rows.

use nn::ternary_core::Real;

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

/// X·M, for rows of X as long as M has rows.
pub(super) fn rows_by<T: Real>(x: &[T], m: &[T], [rows, cols]: [usize; 2]) -> Vec<T> {
    let mut product = vec![T::ZERO; x.len() / rows * cols];
    for (product, x) in product.chunks_mut(cols).zip(x.chunks(rows)) {
        for (&x, m) in x.iter().zip(m.chunks(cols)) {
            add_scaled(product, x, m);
        }
    }
    product
}

/// X·Mᵀ, for rows of X as long as those of M, row i times `scale`\[i\].
pub(super) fn rows_by_transposed<T: Real>(
    x: &[T],
    m: &[T],
    [rows, cols]: [usize; 2],
    scale: &[T],
) -> Vec<T> {
    let mut product = Vec::with_capacity(x.len() / cols * rows);
    for (x, &scale) in x.chunks(cols).zip(scale) {
        product.extend(m.chunks(cols).map(|m| scale * inner(x, m)));
    }
    product
}

/// M += Σ_i scale\[i\] · xᵢ·yᵢᵀ.
pub(super) fn add_outer<T: Real>(
    m: &mut [T],
    scale: impl Iterator<Item = T>,
    (x, rows): (&[T], usize),
    (y, cols): (&[T], usize),
) {
    for ((scale, x), y) in scale.zip(x.chunks(rows)).zip(y.chunks(cols)) {
        for (m, &x) in m.chunks_mut(cols).zip(x) {
            add_scaled(m, scale * x, y);
        }
    }
}

/// The products of row i of X with row j of Y where j < i, or j ≤ i with the diagonal; 0 elsewhere.
pub(super) fn lower<T: Real>(x: &[T], y: &[T], width: usize, has_diagonal: bool) -> Vec<T> {
    let count = x.len() / width;
    let mut product = vec![T::ZERO; count * count];
    for (i, x) in x.chunks(width).enumerate() {
        for (j, y) in y.chunks(width).take(i + usize::from(has_diagonal)).enumerate() {
            product[i * count + j] = inner(x, y);
        }
    }
    product
}
