//! One row times a matrix as it lies, which is what decoding does: every weight is read once, and turned in registers.

use super::super::arch::Arch;
use super::super::parallel::{self, SharedSlice};
use super::Store;
use super::stored::Stored;

/// Outputs that are handed out together.
const OUTPUTS: usize = 64;

/// c\[n\] = Σ_k a\[k\] · b\[n\]\[k\], or added to it, in the chains of the other products.
///
/// # Safety
/// The processor has `A`.
pub(super) unsafe fn multiply<A: Arch, S: Stored>(a: &[f32], b: &[S], c: &mut [f32], store: Store) {
    if store == Store::Set {
        c.fill(0.0);
    }
    let (terms, outputs) = (a.len(), c.len());
    let cost = terms.saturating_mul(4 * outputs);
    let shared = SharedSlice::new(c);
    parallel::for_each(outputs.div_ceil(OUTPUTS), cost, |group| {
        let first = group * OUTPUTS;
        let count = (outputs - first).min(OUTPUTS);
        let rows = &b[first * terms..][..count * terms];
        // SAFETY: every group has outputs of its own; the caller has `A`.
        unsafe { S::add_rows::<A>(a, rows, shared.range(first, count)) }
    });
}

/// sums\[n\] += Σ_k a\[k\] · rows\[n\]\[k\], a chain for each, with `add(sum, a, b)` for a term.
#[inline(always)]
pub(crate) fn add_rows(a: &[f32], rows: &[f32], sums: &mut [f32], add: fn(f32, f32, f32) -> f32) {
    for (row, sum) in rows.chunks_exact(a.len()).zip(sums) {
        *sum = a.iter().zip(row).fold(*sum, |sum, (&a, &b)| add(sum, a, b));
    }
}
