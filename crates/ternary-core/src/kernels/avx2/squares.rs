//! Squares of eight by eight words, turned in registers.

use std::arch::x86_64::*;

use super::super::dense::{self, SQUARE};

/// See [`dense::transpose_square`].
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(in super::super) unsafe fn transpose_square(
    rows: &[u32],
    stride: usize,
    out: &mut [u32],
    width: usize,
) {
    assert!(rows.len() >= (SQUARE - 1) * stride + SQUARE);
    assert!(out.len() >= (SQUARE - 1) * width + SQUARE);
    // SAFETY: the caller has AVX2; eight words from each multiple of `stride` and `width` are inside
    // by the assertions.
    unsafe {
        let columns = columns(rows.as_ptr().cast(), stride);
        for c in 0..SQUARE {
            _mm256_storeu_ps(out.as_mut_ptr().add(c * width).cast(), columns[c]);
        }
    }
}

/// The columns of a square: pairs of rows, pairs of pairs, then halves are exchanged.
///
/// # Safety
/// The processor has AVX2; eight floats can be read from each of eight multiples of `stride`.
#[inline(always)]
unsafe fn columns(rows: *const f32, stride: usize) -> [__m256; SQUARE] {
    // SAFETY: passed on from the caller.
    unsafe {
        let mut r = [_mm256_setzero_ps(); SQUARE];
        for i in 0..SQUARE {
            r[i] = _mm256_loadu_ps(rows.add(i * stride));
        }
        // Columns 0 and 1 (or 2 and 3) of two rows, from either half.
        let mut pairs = [_mm256_setzero_ps(); SQUARE];
        for i in 0..SQUARE / 2 {
            pairs[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        // Column c of four rows, and column c + 4 in the other half.
        let mut quads = [_mm256_setzero_ps(); SQUARE];
        for i in 0..2 {
            for c in 0..2 {
                let (top, bottom) = (pairs[4 * i + c], pairs[4 * i + 2 + c]);
                quads[4 * i + 2 * c] = _mm256_shuffle_ps::<0b01_00_01_00>(top, bottom);
                quads[4 * i + 2 * c + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(top, bottom);
            }
        }
        let mut columns = [_mm256_setzero_ps(); SQUARE];
        for c in 0..4 {
            columns[c] = _mm256_permute2f128_ps::<0x20>(quads[c], quads[4 + c]);
            columns[c + 4] = _mm256_permute2f128_ps::<0x31>(quads[c], quads[4 + c]);
        }
        columns
    }
}

/// Floats of a line of the cache.
const LINE: usize = 16;
/// Lines that are asked for at the start of each row to come. What the processor fetches by itself it does within a
/// page, which many a row is; and it is slow to begin.
const AHEAD: usize = 6;

/// See [`dense::add_rows`]: squares of weights are turned, so that a lane is an output. Eight rows at a time, no more: rows
/// of a power of two compete for the same eight lines of the first cache.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[inline(always)]
pub(in super::super) unsafe fn add_rows(a: &[f32], rows: &[f32], sums: &mut [f32]) {
    let (terms, whole) = (a.len(), a.len() / SQUARE * SQUARE);
    assert!(rows.len() == terms * sums.len());
    let (squares, rest) = sums.as_chunks_mut::<SQUARE>();
    let (above, below) = rows.split_at(squares.len() * SQUARE * terms);
    for (sums, rows) in squares.iter_mut().zip(above.chunks_exact(SQUARE * terms)) {
        // SAFETY: the caller has the features; eight rows of `terms` floats are there, and a prefetch past them is a
        // hint that cannot fault.
        unsafe {
            for row in SQUARE..2 * SQUARE {
                for line in 0..AHEAD {
                    let ahead = rows.as_ptr().wrapping_add(row * terms + line * LINE);
                    _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                }
            }
            let mut totals = _mm256_loadu_ps(sums.as_ptr());
            for k in (0..whole).step_by(SQUARE) {
                let columns = columns(rows.as_ptr().add(k), terms);
                for c in 0..SQUARE {
                    let number = _mm256_set1_ps(*a.get_unchecked(k + c));
                    totals = _mm256_fmadd_ps(columns[c], number, totals);
                }
            }
            _mm256_storeu_ps(sums.as_mut_ptr(), totals);
        }
        for (row, sum) in rows.chunks_exact(terms).zip(sums) {
            *sum = (whole..terms).fold(*sum, |sum, k| a[k].mul_add(row[k], sum));
        }
    }
    dense::add_rows(a, below, rest, |sum, a, b| a.mul_add(b, sum));
}
