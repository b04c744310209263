//! Sums of products of two rows, in order.

use ternary_core::Real;

/// Σ a·b.
pub(crate) fn inner<T: Real>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).map(|(&a, &b)| a * b).sum()
}

/// sums += factor · values.
pub(crate) fn add_scaled<T: Real>(sums: &mut [T], factor: T, values: &[T]) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += factor * value;
    }
}
