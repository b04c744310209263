//! Latent weights to codes.

use std::arch::x86_64::*;

use crate::kernels::arch::QUAD;
use crate::packing::{LANES, Line};

/// Bytes ahead of the load that a row is prefetched: a quarter faster from memory than without.
const AHEAD: usize = 2048;

/// Ternarises four rows, four lines at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn ternarize_rows(
    rows: [&[f32]; QUAD],
    thresholds: [f32; QUAD],
    quad: usize,
    lines: &mut [Line],
) -> bool {
    assert!(quad < LANES / QUAD && rows.iter().all(|row| row.len() >= LANES * lines.len()));
    // SAFETY: columns are inside the rows and words inside the lines as asserted; the caller has
    // AVX-512.
    unsafe {
        // w · 0 is NaN where w is not finite, and stays in the sum.
        let mut finite = [_mm512_setzero_ps(); QUAD];
        let mut whole = lines.chunks_exact_mut(4);
        let mut column = 0;
        for lines in &mut whole {
            let mut fields = [_mm512_setzero_si512(); 4];
            for fields in &mut fields {
                *fields = fields_of_rows(rows, column, thresholds, &mut finite);
                column += LANES;
            }
            // OR the four fields of each row together: lanes (0|2, 1|3), then (even|odd).
            let a = or_halves(fields[0], fields[1]);
            let b = or_halves(fields[2], fields[3]);
            let even = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
            let words = _mm512_or_si512(even, _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b));
            store_words(&mut lines[0], quad, _mm512_extracti32x4_epi32::<0>(words));
            store_words(&mut lines[1], quad, _mm512_extracti32x4_epi32::<1>(words));
            store_words(&mut lines[2], quad, _mm512_extracti32x4_epi32::<2>(words));
            store_words(&mut lines[3], quad, _mm512_extracti32x4_epi32::<3>(words));
        }
        for line in whole.into_remainder() {
            let fields = fields_of_rows(rows, column, thresholds, &mut finite);
            column += LANES;
            let halves = or_halves(fields, fields);
            let words =
                _mm512_or_si512(halves, _mm512_shuffle_i32x4::<0b11_01_11_01>(halves, halves));
            store_words(line, quad, _mm512_castsi512_si128(words));
        }
        let sum =
            _mm512_add_ps(_mm512_add_ps(finite[0], finite[1]), _mm512_add_ps(finite[2], finite[3]));
        _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(sum, sum) == 0
    }
}

/// The codes of sixteen columns of four rows, where they belong in their words: 128-bit lane f holds
/// field f (columns 4f ‥ 4f+3) of the rows, one after the other.
///
/// w > Δ where Δ − w is negative, and w < −Δ where Δ + w is: signs survive packing with saturation, so
/// the rows are packed to bytes before their signs are read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn fields_of_rows(
    rows: [&[f32]; QUAD],
    column: usize,
    thresholds: [f32; QUAD],
    finite: &mut [__m512; QUAD],
) -> __m512i {
    let mut above = [_mm512_setzero_si512(); QUAD];
    let mut below = [_mm512_setzero_si512(); QUAD];
    for n in 0..QUAD {
        // SAFETY: the caller keeps `column + 16` inside the rows; a prefetch may point anywhere.
        let w = unsafe {
            let w = rows[n].as_ptr().add(column);
            _mm_prefetch::<_MM_HINT_T1>(w.wrapping_byte_add(AHEAD).cast());
            _mm512_loadu_ps(w)
        };
        let threshold = _mm512_set1_ps(thresholds[n]);
        finite[n] = _mm512_fmadd_ps(w, _mm512_setzero_ps(), finite[n]);
        above[n] = _mm512_castps_si512(_mm512_sub_ps(threshold, w));
        below[n] = _mm512_castps_si512(_mm512_add_ps(threshold, w));
    }
    let places = _mm512_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2, 4, 4, 4, 4, 6, 6, 6, 6);
    let codes = _mm512_mask_mov_epi8(_mm512_set1_epi8(1), signs(above), _mm512_set1_epi8(2));
    let codes = _mm512_mask_mov_epi8(codes, signs(below), _mm512_setzero_si512());
    _mm512_sllv_epi32(codes, places)
}

/// The signs of four rows, in the order of [`fields_of_rows`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn signs(rows: [__m512i; QUAD]) -> __mmask64 {
    let low = _mm512_packs_epi32(rows[0], rows[1]);
    let high = _mm512_packs_epi32(rows[2], rows[3]);
    _mm512_movepi8_mask(_mm512_packs_epi16(low, high))
}

/// 128-bit lanes 0|2 and 1|3 of both.
#[inline]
#[target_feature(enable = "avx512f")]
fn or_halves(a: __m512i, b: __m512i) -> __m512i {
    let low = _mm512_shuffle_i32x4::<0b01_00_01_00>(a, b);
    _mm512_or_si512(low, _mm512_shuffle_i32x4::<0b11_10_11_10>(a, b))
}

/// Stores the words of four rows.
#[inline]
#[target_feature(enable = "avx512f")]
fn store_words(line: &mut Line, quad: usize, words: __m128i) {
    let bytes = &mut line.0[4 * QUAD * quad..][..4 * QUAD];
    // SAFETY: sixteen bytes.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), words) }
}
