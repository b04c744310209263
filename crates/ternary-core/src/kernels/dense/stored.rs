//! How the numbers of the second operand are stored, and how they become words of a panel.

use std::ops::Range;

use half::bf16;

use super::super::arch::Arch;
use super::operand::DenseOperand;
use super::packing::transpose_rows;
use crate::packing::LANES;
use crate::weights::Weights;

/// A number of the second operand of a product. The products are those of the `f32` it stands for, bit for bit.
pub(super) trait Stored: Copy + Sync {
    /// For each of the columns `terms`, writes a word of each of up to sixteen rows, then zeros up to sixteen.
    ///
    /// # Safety
    /// The processor has `A`.
    unsafe fn pack<A: Arch>(
        matrix: &DenseOperand<'_, Self>,
        rows: Range<usize>,
        terms: Range<usize>,
        out: &mut [u32],
    );

    /// sums\[n\] += Σ_k a\[k\] · rows\[n\]\[k\], see [`super::add_rows`].
    ///
    /// # Safety
    /// The processor has `A`.
    unsafe fn add_rows<A: Arch>(a: &[f32], rows: &[Self], sums: &mut [f32]);
}

impl Stored for f32 {
    unsafe fn pack<A: Arch>(
        matrix: &DenseOperand<'_>,
        rows: Range<usize>,
        terms: Range<usize>,
        out: &mut [u32],
    ) {
        // SAFETY: passed on from the caller.
        unsafe { matrix.pack::<A>(rows, terms, LANES, out) }
    }

    unsafe fn add_rows<A: Arch>(a: &[f32], rows: &[f32], sums: &mut [f32]) {
        // SAFETY: passed on from the caller.
        unsafe { A::add_rows(a, rows, sums) }
    }
}

/// Terms of sixteen rows that are widened at a time: they stay in the first-level cache until they are turned.
const TOGETHER: usize = 128;

impl Stored for bf16 {
    unsafe fn pack<A: Arch>(
        matrix: &DenseOperand<'_, bf16>,
        rows: Range<usize>,
        terms: Range<usize>,
        out: &mut [u32],
    ) {
        if matrix.transposed {
            return widen_runs(matrix.values, matrix.rows(), rows, terms, out);
        }
        let mut widened = [0.0; LANES * TOGETHER];
        for first in terms.clone().step_by(TOGETHER) {
            let count = (terms.end - first).min(TOGETHER);
            for (row, widened) in rows.clone().zip(widened.chunks_exact_mut(TOGETHER)) {
                let values = &matrix.values[row * matrix.cols() + first..][..count];
                // SAFETY: passed on from the caller.
                unsafe { A::widen(Weights::Bf16(values), &mut widened[..count]) }
            }
            let out = &mut out[(first - terms.start) * LANES..];
            let words = bytemuck::cast_slice(&widened);
            // SAFETY: passed on from the caller.
            unsafe { transpose_rows::<A, LANES>(words, TOGETHER, 0..rows.len(), 0..count, out) }
        }
    }

    unsafe fn add_rows<A: Arch>(a: &[f32], rows: &[bf16], sums: &mut [f32]) {
        let terms = a.len();
        let mut widened = [0.0; LANES * TOGETHER];
        for (rows, sums) in rows.chunks(LANES * terms).zip(sums.chunks_mut(LANES)) {
            for (part, a) in a.chunks(TOGETHER).enumerate() {
                let count = a.len();
                for (row, widened) in rows.chunks_exact(terms).zip(widened.chunks_exact_mut(count))
                {
                    let values = &row[part * TOGETHER..][..count];
                    // SAFETY: passed on from the caller.
                    unsafe { A::widen(Weights::Bf16(values), widened) }
                }
                // SAFETY: passed on from the caller.
                unsafe { A::add_rows(a, &widened[..sums.len() * count], sums) }
            }
        }
    }
}

/// The numbers of a term lie side by side, those of the next term `stride` further on.
fn widen_runs(
    values: &[bf16],
    stride: usize,
    rows: Range<usize>,
    terms: Range<usize>,
    out: &mut [u32],
) {
    let (out, _) = out.as_chunks_mut::<LANES>();
    let lines = terms.map(|term| &values[term * stride..][rows.clone()]);
    for (out, line) in out.iter_mut().zip(lines) {
        match line.first_chunk::<LANES>() {
            // Of a known length, for the compiler.
            Some(line) => widen_words(line, out),
            None => {
                widen_words(line, out);
                out[line.len()..].fill(0);
            }
        }
    }
}

/// A `bf16` is the upper half of an `f32`.
#[inline(always)]
fn widen_words(values: &[bf16], out: &mut [u32]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out = u32::from(value.to_bits()) << 16;
    }
}
