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

/// The columns of a square. Row r + 4 is loaded beside row r, so that only rows within a half are left to be exchanged:
/// pairs of them, then pairs of pairs.
///
/// # Safety
/// The processor has AVX2; eight floats can be read from each of eight multiples of `stride`.
#[inline(always)]
unsafe fn columns(rows: *const f32, stride: usize) -> [__m256; SQUARE] {
    // SAFETY: passed on from the caller.
    unsafe {
        let mut columns = [_mm256_setzero_ps(); SQUARE];
        for first in [0, SQUARE / 2] {
            let mut r = [_mm256_setzero_ps(); SQUARE / 2];
            for i in 0..SQUARE / 2 {
                let low = _mm256_castps128_ps256(_mm_loadu_ps(rows.add(i * stride + first)));
                let high = _mm_loadu_ps(rows.add((i + SQUARE / 2) * stride + first));
                r[i] = _mm256_insertf128_ps::<1>(low, high);
            }
            // Columns 0 and 1, and 2 and 3, of two rows.
            let (top, top_high) = (_mm256_unpacklo_ps(r[0], r[1]), _mm256_unpackhi_ps(r[0], r[1]));
            let (low, low_high) = (_mm256_unpacklo_ps(r[2], r[3]), _mm256_unpackhi_ps(r[2], r[3]));
            columns[first] = _mm256_shuffle_ps::<0b01_00_01_00>(top, low);
            columns[first + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(top, low);
            columns[first + 2] = _mm256_shuffle_ps::<0b01_00_01_00>(top_high, low_high);
            columns[first + 3] = _mm256_shuffle_ps::<0b11_10_11_10>(top_high, low_high);
        }
        columns
    }
}

/// Floats of a line of the cache.
const LINE: usize = 16;
/// Lines that are asked for at the start of each row to come. What the processor fetches by itself it does within a
/// page, which many a row is; and it is slow to begin.
const AHEAD: usize = 6;

/// See [`dense::add_rows`]: squares of weights are turned, so that a lane is an output. Two of them at a time, as a sum is
/// one chain, and each of its terms waits for the one before; no more, because rows of a power of two compete for the
/// same few lines of the first cache.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[inline(always)]
pub(in super::super) unsafe fn add_rows(a: &[f32], rows: &[f32], sums: &mut [f32]) {
    let terms = a.len();
    assert!(rows.len() == terms * sums.len());
    let twos = sums.len() / (2 * SQUARE) * (2 * SQUARE);
    let ones = sums.len() / SQUARE * SQUARE;
    let (sums, rest) = sums.split_at_mut(ones);
    let (above, below) = sums.split_at_mut(twos);
    // SAFETY: passed on from the caller; a row of `terms` floats is there for each sum.
    unsafe {
        add_squares::<2>(a, &rows[..twos * terms], above);
        add_squares::<1>(a, &rows[twos * terms..ones * terms], below);
    }
    dense::add_rows(a, &rows[ones * terms..], rest, |sum, a, b| a.mul_add(b, sum));
}

/// [`add_rows`] for a multiple of `SQUARES` squares of rows.
///
/// # Safety
/// The processor has AVX2 and FMA; there are as many rows as sums.
#[inline(always)]
unsafe fn add_squares<const SQUARES: usize>(a: &[f32], rows: &[f32], sums: &mut [f32]) {
    let (terms, whole) = (a.len(), a.len() / SQUARE * SQUARE);
    let count = SQUARES * SQUARE;
    for (sums, rows) in sums.chunks_exact_mut(count).zip(rows.chunks_exact(count * terms)) {
        // SAFETY: the caller has the features; `count` rows of `terms` floats are there, and a prefetch past them is a
        // hint that cannot fault.
        unsafe {
            for row in count..2 * count {
                for line in 0..AHEAD {
                    let ahead = rows.as_ptr().wrapping_add(row * terms + line * LINE);
                    _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                }
            }
            let mut totals = [_mm256_setzero_ps(); SQUARES];
            for (square, total) in totals.iter_mut().enumerate() {
                *total = _mm256_loadu_ps(sums.as_ptr().add(square * SQUARE));
            }
            for k in (0..whole).step_by(SQUARE) {
                for (square, total) in totals.iter_mut().enumerate() {
                    let columns = columns(rows.as_ptr().add(square * SQUARE * terms + k), terms);
                    for c in 0..SQUARE {
                        let number = _mm256_set1_ps(*a.get_unchecked(k + c));
                        *total = _mm256_fmadd_ps(columns[c], number, *total);
                    }
                }
            }
            for (square, total) in totals.into_iter().enumerate() {
                _mm256_storeu_ps(sums.as_mut_ptr().add(square * SQUARE), total);
            }
        }
        for (row, sum) in rows.chunks_exact(terms).zip(sums) {
            *sum = (whole..terms).fold(*sum, |sum, k| a[k].mul_add(row[k], sum));
        }
    }
}
