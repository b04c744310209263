//! AVX-512 with VNNI: one 512-bit register is a block of sixteen lanes, one `vpdpbusd` multiplies
//! 64 weights. With VBMI, byte permutations look five trits up instead of computing them.

use std::arch::x86_64::*;

use super::activations;
use super::arch::{Arch, Operands, QUAD, STRIP, StripSums, Tile};
use super::instantiate::{shared_kernels, vector_operations};
use super::lanes::{Dot, Lanes};
use super::register_tile::register_tile;
use super::scaling::Place;
use super::scratch::Words;
use super::unpack::{self, LaneScales, Plane};
use crate::packing::{FIVE_TRITS_DIGITS, LANES, Line};
use crate::weights::Weights;

pub(crate) struct Avx512;
pub(crate) struct Avx512Vbmi;

/// Four products of a u8 with an i8: `vpdpbusd`.
struct Bytes;
/// Two products of i16s: `vpdpwssd`.
struct Pairs;
/// One fused product of floats.
struct Floats;

/// Sixteen lanes in a register.
struct Zmm;

impl Lanes for Zmm {
    type Vector = __m512i;
    const PARTS: usize = 1;

    #[inline(always)]
    unsafe fn load(words: &Words, _: usize) -> __m512i {
        // SAFETY: `Words` are 64 aligned bytes.
        unsafe { _mm512_load_si512(words.0.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn store(vector: __m512i, words: &mut Words, _: usize) {
        // SAFETY: `Words` are 64 aligned bytes.
        unsafe { _mm512_store_si512(words.0.as_mut_ptr().cast(), vector) }
    }

    #[inline(always)]
    unsafe fn weights(codes: __m512i, negative: __m512i, positive: __m512i) -> __m512i {
        // SAFETY: the caller has AVX-512.
        unsafe {
            let trits = _mm512_sub_epi32(codes, _mm512_set1_epi32(1));
            let above = _mm512_cmpgt_epi32_mask(trits, _mm512_setzero_si512());
            let magnitudes = _mm512_mask_blend_epi32(above, negative, positive);
            let magnitudes = _mm512_castsi512_ps(magnitudes);
            _mm512_castps_si512(_mm512_mul_ps(_mm512_cvtepi32_ps(trits), magnitudes))
        }
    }

    vector_operations! {
        __m512i,
        splat(word: u32) => _mm512_set1_epi32(word as i32);
        shift_right(a: __m512i, count: usize) => _mm512_srl_epi32(a, _mm_cvtsi32_si128(count as i32));
        shift_right_each(a: __m512i, b: __m512i) => _mm512_srlv_epi32(a, b);
        shift_left(a: __m512i, count: usize) => _mm512_sll_epi32(a, _mm_cvtsi32_si128(count as i32));
        and(a: __m512i, b: __m512i) => _mm512_and_si512(a, b);
        or(a: __m512i, b: __m512i) => _mm512_or_si512(a, b);
        xor(a: __m512i, b: __m512i) => _mm512_xor_si512(a, b);
        add(a: __m512i, b: __m512i) => _mm512_add_epi32(a, b);
    }
}

macro_rules! avx512_dot {
    ($name:ty, |$sums:ident, $weights:ident, $activations:ident| $dot:expr) => {
        impl Dot for $name {
            type Lanes = Zmm;

            #[inline(always)]
            unsafe fn dot($sums: __m512i, $weights: __m512i, $activations: __m512i) -> __m512i {
                // SAFETY: the caller has AVX-512 and VNNI.
                unsafe { $dot }
            }
        }
    };
}

avx512_dot!(Bytes, |sums, w, x| _mm512_dpbusd_epi32(sums, w, x));
avx512_dot!(Pairs, |sums, w, x| _mm512_dpwssd_epi32(sums, w, x));
avx512_dot!(Floats, |sums, w, x| _mm512_castps_si512(_mm512_fmadd_ps(
    _mm512_castsi512_ps(w),
    _mm512_castsi512_ps(x),
    _mm512_castsi512_ps(sums),
)));

#[inline(always)]
unsafe fn tile_of<D: Dot>(width: usize, panels: &[&[Words]], x: &[u32], tile: &mut Tile) {
    // SAFETY: the caller has AVX-512 and VNNI.
    unsafe {
        match (panels.len(), width) {
            (1, 4) => register_tile::<D, 1, 1, 4>(panels, x, tile),
            (1, 8) => register_tile::<D, 1, 1, 8>(panels, x, tile),
            (1, _) => register_tile::<D, 1, 1, 12>(panels, x, tile),
            (_, 4) => register_tile::<D, 1, 2, 4>(panels, x, tile),
            (_, 8) => register_tile::<D, 1, 2, 8>(panels, x, tile),
            (_, _) => register_tile::<D, 1, 2, 12>(panels, x, tile),
        }
    }
}

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
unsafe fn add_sums(sums: &mut [i32; LANES], more: __m512i) {
    // SAFETY: sixteen words; the caller has AVX-512.
    unsafe {
        let pointer = sums.as_mut_ptr().cast();
        _mm512_storeu_si512(pointer, _mm512_add_epi32(_mm512_loadu_si512(pointer), more));
    }
}

/// Each 2-bit field is multiplied where it sits, times 1, 4, 16 or 64, into sums of its own, which
/// are shifted back at the end: exact, as every term has the factor.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn two_bit_strip<const BLOCKS: usize>(
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
    let blocks: &[&[Line]; BLOCKS] =
        blocks.try_into().expect("as many blocks as the caller matched");
    let lines = blocks[0].len();
    assert!(blocks.iter().all(|block| block.len() == lines) && activations.len() == 4 * lines);
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
            let low = _mm512_add_epi32(sums[0], _mm512_srai_epi32::<2>(sums[1]));
            let high =
                _mm512_add_epi32(_mm512_srai_epi32::<4>(sums[2]), _mm512_srai_epi32::<6>(sums[3]));
            let sum = _mm512_add_epi32(low, high);
            add_sums(total, _mm512_sra_epi32(sum, _mm_cvtsi32_si128(shift)));
        }
    }
}

/// With c₀ the byte and c₍ₙ₊₁₎ = 3·cₙ mod 256, digit n is (3·cₙ − c₍ₙ₊₁₎)/256: the raw cₙ are
/// multiplied, and no digit is ever extracted.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn five_trits_strip<const BLOCKS: usize>(
    blocks: &[&[Line]],
    activations: &[u32],
    strip: &mut StripSums,
) {
    let blocks: &[&[Line]; BLOCKS] =
        blocks.try_into().expect("as many blocks as the caller matched");
    let lines = blocks[0].len();
    assert!(blocks.iter().all(|block| block.len() == lines) && activations.len() == 5 * lines);
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
            let tripled = _mm512_add_epi32(c, _mm512_add_epi32(c, c));
            add_sums(total, _mm512_srai_epi32::<8>(_mm512_sub_epi32(tripled, next)));
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
unsafe fn five_trits_strip_by_lookup<const BLOCKS: usize>(
    blocks: &[&[Line]],
    activations: &[u32],
    strip: &mut StripSums,
) {
    let blocks: &[&[Line]; BLOCKS] =
        blocks.try_into().expect("as many blocks as the caller matched");
    let lines = blocks[0].len();
    assert!(blocks.iter().all(|block| block.len() == lines) && activations.len() == 5 * lines);
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
            let low = _mm512_add_epi32(sums[0], _mm512_srai_epi32::<2>(sums[1]));
            let high =
                _mm512_add_epi32(_mm512_srai_epi32::<4>(sums[2]), _mm512_srai_epi32::<6>(sums[3]));
            let tripled = _mm512_add_epi32(sums[4], _mm512_add_epi32(sums[4], sums[4]));
            let first = _mm512_srai_epi32::<8>(_mm512_sub_epi32(tripled, sums[5]));
            add_sums(total, _mm512_add_epi32(first, _mm512_add_epi32(low, high)));
        }
    }
}

/// Ternarises four rows, four lines at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn ternarize_rows(
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
        // SAFETY: the caller keeps `column + 16` inside the rows.
        let w = unsafe { _mm512_loadu_ps(rows[n].as_ptr().add(column)) };
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

macro_rules! avx512_arch {
    ($name:ty, $isa:expr, $five_trits:ident, $(#[$features:meta])*) => {
        impl Arch for $name {
            #[cfg(test)]
            const ISA: super::Isa = $isa;
            const WIDTHS: [usize; 3] = [4, 8, 12];
            const BLOCKS: usize = 2;

            $(#[$features])*
            unsafe fn tile(
                operands: Operands,
                width: usize,
                panels: &[&[Words]],
                activations: &[u32],
                tile: &mut Tile,
            ) {
                // SAFETY: this function is only called where there is AVX-512 and VNNI.
                unsafe {
                    match operands {
                        Operands::Bytes => tile_of::<Bytes>(width, panels, activations, tile),
                        Operands::Pairs => tile_of::<Pairs>(width, panels, activations, tile),
                        Operands::Floats => tile_of::<Floats>(width, panels, activations, tile),
                    }
                }
            }

            $(#[$features])*
            unsafe fn gemv_two_bit(
                plane: Plane,
                blocks: &[&[Line]],
                activations: &[u32],
                sums: &mut StripSums,
            ) {
                // SAFETY: this function is only called where there is AVX-512 and VNNI.
                unsafe {
                    match blocks.len() {
                        1 => two_bit_strip::<1>(plane, blocks, activations, sums),
                        2 => two_bit_strip::<2>(plane, blocks, activations, sums),
                        3 => two_bit_strip::<3>(plane, blocks, activations, sums),
                        _ => two_bit_strip::<STRIP>(plane, blocks, activations, sums),
                    }
                }
            }

            $(#[$features])*
            unsafe fn gemv_five_trits(
                blocks: &[&[Line]],
                activations: &[u32],
                sums: &mut StripSums,
            ) {
                // SAFETY: this function is only called where there is all of `ISA`.
                unsafe {
                    match blocks.len() {
                        1 => $five_trits::<1>(blocks, activations, sums),
                        2 => $five_trits::<2>(blocks, activations, sums),
                        3 => $five_trits::<3>(blocks, activations, sums),
                        _ => $five_trits::<STRIP>(blocks, activations, sums),
                    }
                }
            }

            $(#[$features])*
            unsafe fn ternarize(
                rows: [&[f32]; QUAD],
                thresholds: [f32; QUAD],
                quad: usize,
                lines: &mut [Line],
            ) -> bool {
                // SAFETY: this function is only called where there is AVX-512.
                unsafe { ternarize_rows(rows, thresholds, quad, lines) }
            }

            shared_kernels!(Zmm, $(#[$features])*);
        }
    };
}

avx512_arch!(
    Avx512,
    super::Isa::Avx512,
    five_trits_strip,
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
);
avx512_arch!(
    Avx512Vbmi,
    super::Isa::Avx512Vbmi,
    five_trits_strip_by_lookup,
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi")]
);
