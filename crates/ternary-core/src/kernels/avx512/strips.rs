//! Matrix × vector: the sums of a strip of blocks, straight from its lines.

use std::arch::x86_64::*;

use super::Zmm;
use crate::kernels::arch::StripSums;
use crate::kernels::lanes::Lanes;
use crate::kernels::unpack::{self, Plane};
use crate::packing::{FIVE_TRITS_DIGITS, LANES, Line};

/// Bytes ahead of the load that a stream is prefetched into the second and the first cache. Each of
/// the two alone leaves DRAM idle for a few percent of the time.
const AHEAD: [usize; 2] = [1024, 256];

#[inline(always)]
unsafe fn load_line(lines: &[Line], index: usize) -> __m512i {
    // SAFETY: the caller keeps `index` inside; a prefetch may point anywhere.
    unsafe {
        let line = lines.as_ptr().add(index);
        _mm_prefetch::<_MM_HINT_T1>(line.wrapping_byte_add(AHEAD[0]).cast());
        _mm_prefetch::<_MM_HINT_T0>(line.wrapping_byte_add(AHEAD[1]).cast());
        _mm512_load_si512(line.cast())
    }
}

#[inline(always)]
unsafe fn splat_words<const N: usize>(words: &[u32], first: usize) -> [__m512i; N] {
    // SAFETY: the caller keeps `first + N` inside and has AVX-512.
    unsafe { std::array::from_fn(|n| Zmm::splat(*words.get_unchecked(first + n))) }
}

#[inline(always)]
unsafe fn store_sums(sums: &mut [i32; LANES], found: __m512i) {
    // SAFETY: sixteen words; the caller has AVX-512.
    unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), found) }
}

/// The blocks of a strip and their lines, all of one length, with `words` activations for each line.
#[inline(always)]
fn check_strip<'a, 'b, const BLOCKS: usize>(
    blocks: &'b [&'a [Line]],
    activations: &[u32],
    words: usize,
) -> (&'b [&'a [Line]; BLOCKS], usize) {
    let blocks: &[&[Line]; BLOCKS] =
        blocks.try_into().expect("as many blocks as the caller matched");
    let lines = blocks[0].len();
    assert!(blocks.iter().all(|block| block.len() == lines) && activations.len() == words * lines);
    (blocks, lines)
}

/// The sum of fields that were multiplied in place, times 1, 4, 16 and 64.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_fields(sums: [__m512i; 4]) -> __m512i {
    let low = _mm512_add_epi32(sums[0], _mm512_srai_epi32::<2>(sums[1]));
    let high = _mm512_add_epi32(_mm512_srai_epi32::<4>(sums[2]), _mm512_srai_epi32::<6>(sums[3]));
    _mm512_add_epi32(low, high)
}

/// (3·c − next)/256: the sum of digits of which c and 3·c mod 256 were summed.
#[inline]
#[target_feature(enable = "avx512f")]
fn raw_digits(c: __m512i, next: __m512i) -> __m512i {
    let tripled = _mm512_add_epi32(c, _mm512_add_epi32(c, c));
    _mm512_srai_epi32::<8>(_mm512_sub_epi32(tripled, next))
}

/// Each 2-bit field is multiplied where it sits, times 1, 4, 16 or 64, into sums of its own, which
/// are shifted back at the end: exact, as every term has the factor.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn two_bit_strip<const BLOCKS: usize>(
    plane: Plane,
    blocks: &[&[Line]],
    activations: &[u32],
    strip: &mut StripSums,
) {
    let (mask, shift) = match plane {
        Plane::Codes => (0x03, 0),
        Plane::Positive => (0x02, 1),
        Plane::Zero => (0x01, 0),
    };
    let (blocks, lines) = check_strip::<BLOCKS>(blocks, activations, 4);
    // SAFETY: indices are below the lengths asserted above; the caller has AVX-512 and VNNI.
    unsafe {
        let masks: [__m512i; 4] =
            std::array::from_fn(|f| _mm512_set1_epi8((mask << (2 * f)) as i8));
        let mut sums = [[_mm512_setzero_si512(); 4]; BLOCKS];
        for line in 0..lines {
            let x = splat_words::<4>(activations, 4 * line);
            for (sums, block) in sums.iter_mut().zip(blocks) {
                let word = load_line(block, line);
                for f in 0..4 {
                    sums[f] = _mm512_dpbusd_epi32(sums[f], _mm512_and_si512(word, masks[f]), x[f]);
                }
            }
        }
        for (total, sums) in strip.iter_mut().zip(sums) {
            let sum = add_fields(sums);
            store_sums(total, _mm512_sra_epi32(sum, _mm_cvtsi32_si128(shift)));
        }
    }
}

/// With c₀ the byte and c₍ₙ₊₁₎ = 3·cₙ mod 256, digit n is (3·cₙ − c₍ₙ₊₁₎)/256: the raw cₙ are
/// multiplied, and no digit is ever extracted.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn five_trits_strip<const BLOCKS: usize>(
    blocks: &[&[Line]],
    activations: &[u32],
    strip: &mut StripSums,
) {
    let (blocks, lines) = check_strip::<BLOCKS>(blocks, activations, 5);
    // SAFETY: indices are below the lengths asserted above; the caller has AVX-512 and VNNI.
    unsafe {
        let mut sums = [[_mm512_setzero_si512(); 2]; BLOCKS];
        for line in 0..lines {
            let x = splat_words::<5>(activations, 5 * line);
            for (sums, block) in sums.iter_mut().zip(blocks) {
                let mut c = load_line(block, line);
                for x in x {
                    sums[0] = _mm512_dpbusd_epi32(sums[0], c, x);
                    c = _mm512_add_epi8(c, _mm512_add_epi8(c, c));
                    sums[1] = _mm512_dpbusd_epi32(sums[1], c, x);
                }
            }
        }
        for (total, [c, next]) in strip.iter_mut().zip(sums) {
            store_sums(total, raw_digits(c, next));
        }
    }
}

/// Digits 1 ‥ 4 of every byte as the fields of a two-bit byte.
const LAST_FOUR_DIGITS: [Line; 4] = {
    let mut table = [Line([0; 64]); 4];
    let mut byte = 0;
    while byte < 256 {
        let [_, d1, d2, d3, d4] = FIVE_TRITS_DIGITS[byte];
        if d1 < 3 {
            table[byte / 64].0[byte % 64] = d1 | (d2 << 2) | (d3 << 4) | (d4 << 6);
        }
        byte += 1;
    }
    table
};

/// The last four digits are looked up as two-bit fields and multiplied in place, the first one is
/// multiplied raw, as in [`five_trits_strip`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi")]
pub(super) unsafe fn five_trits_strip_by_lookup<const BLOCKS: usize>(
    blocks: &[&[Line]],
    activations: &[u32],
    strip: &mut StripSums,
) {
    let (blocks, lines) = check_strip::<BLOCKS>(blocks, activations, 5);
    // SAFETY: indices are below the lengths asserted above; the caller has AVX-512, VNNI and VBMI.
    unsafe {
        let table: [__m512i; 4] =
            std::array::from_fn(|n| Zmm::load(unpack::words(&LAST_FOUR_DIGITS[n]), 0));
        let masks: [__m512i; 4] = std::array::from_fn(|f| _mm512_set1_epi8((3 << (2 * f)) as i8));
        let mut sums = [[_mm512_setzero_si512(); 6]; BLOCKS];
        for line in 0..lines {
            let x = splat_words::<5>(activations, 5 * line);
            for (sums, block) in sums.iter_mut().zip(blocks) {
                let c = load_line(block, line);
                let next = _mm512_add_epi8(c, _mm512_add_epi8(c, c));
                sums[4] = _mm512_dpbusd_epi32(sums[4], c, x[0]);
                sums[5] = _mm512_dpbusd_epi32(sums[5], next, x[0]);
                let low = _mm512_permutex2var_epi8(table[0], c, table[1]);
                let high = _mm512_permutex2var_epi8(table[2], c, table[3]);
                let fields = _mm512_mask_blend_epi8(_mm512_movepi8_mask(c), low, high);
                for f in 0..4 {
                    let field = _mm512_and_si512(fields, masks[f]);
                    sums[f] = _mm512_dpbusd_epi32(sums[f], field, x[f + 1]);
                }
            }
        }
        for (total, sums) in strip.iter_mut().zip(sums) {
            let [f0, f1, f2, f3, c, next] = sums;
            let fields = add_fields([f0, f1, f2, f3]);
            store_sums(total, _mm512_add_epi32(raw_digits(c, next), fields));
        }
    }
}
