//! AVX2 and FMA: 256-bit registers, two for a block of sixteen lanes.
//!
//! Bytes are multiplied by `vpmaddubsw`, whose 16-bit sums are exact because a code is at most 2:
//! 2 · 2 · 128 = 512 a step, so up to 63 steps fit before they must be widened to 32 bits.

pub(super) mod squares;

use std::arch::x86_64::*;

use super::activations;
use super::arch::{Arch, Operands, QUAD, StripSums, Tile};
use super::instantiate::{shared_kernels, vector_operations};
use super::lanes::{Dot, Lanes};
use super::portable::Portable;
use super::register_tile::register_tile;
use super::scaling::Place;
use super::scratch::Words;
use super::unpack::{self, LaneScales, Plane};
use crate::packing::{LANES, Line};
use crate::weights::Weights;

pub(crate) struct Avx2;

/// Two products of i16s: `vpmaddwd`, `vpaddd`.
struct Pairs;
/// One fused product of floats.
struct Floats;

/// Steps whose 16-bit sums are exact.
const NARROW_STEPS: usize = 60;

/// Eight lanes in a register.
struct Ymm;

impl Lanes for Ymm {
    type Vector = __m256i;
    const PARTS: usize = 2;

    #[inline(always)]
    unsafe fn load(words: &Words, part: usize) -> __m256i {
        // SAFETY: `part` is 0 or 1, so the eight words are inside the sixteen.
        unsafe { _mm256_load_si256(words.0.as_ptr().add(8 * part).cast()) }
    }

    #[inline(always)]
    unsafe fn store(vector: __m256i, words: &mut Words, part: usize) {
        // SAFETY: as for `load`.
        unsafe { _mm256_store_si256(words.0.as_mut_ptr().add(8 * part).cast(), vector) }
    }

    #[inline(always)]
    unsafe fn weights(codes: __m256i, negative: __m256i, positive: __m256i) -> __m256i {
        // SAFETY: the caller has AVX2.
        unsafe {
            let trits = _mm256_sub_epi32(codes, _mm256_set1_epi32(1));
            let above = _mm256_cmpgt_epi32(trits, _mm256_setzero_si256());
            let magnitudes = _mm256_castsi256_ps(_mm256_blendv_epi8(negative, positive, above));
            _mm256_castps_si256(_mm256_mul_ps(_mm256_cvtepi32_ps(trits), magnitudes))
        }
    }

    vector_operations! {
        __m256i,
        splat(word: u32) => _mm256_set1_epi32(word as i32);
        shift_right(a: __m256i, count: usize) => _mm256_srl_epi32(a, _mm_cvtsi32_si128(count as i32));
        shift_right_each(a: __m256i, b: __m256i) => _mm256_srlv_epi32(a, b);
        shift_left(a: __m256i, count: usize) => _mm256_sll_epi32(a, _mm_cvtsi32_si128(count as i32));
        and(a: __m256i, b: __m256i) => _mm256_and_si256(a, b);
        or(a: __m256i, b: __m256i) => _mm256_or_si256(a, b);
        xor(a: __m256i, b: __m256i) => _mm256_xor_si256(a, b);
        add(a: __m256i, b: __m256i) => _mm256_add_epi32(a, b);
    }
}

macro_rules! avx2_dot {
    ($name:ty, |$sums:ident, $weights:ident, $activations:ident| $dot:expr) => {
        impl Dot for $name {
            type Lanes = Ymm;

            #[inline(always)]
            unsafe fn dot($sums: __m256i, $weights: __m256i, $activations: __m256i) -> __m256i {
                // SAFETY: the caller has AVX2 and FMA.
                unsafe { $dot }
            }
        }
    };
}

avx2_dot!(Pairs, |sums, w, x| _mm256_add_epi32(sums, _mm256_madd_epi16(w, x)));
avx2_dot!(Floats, |sums, w, x| _mm256_castps_si256(_mm256_fmadd_ps(
    _mm256_castsi256_ps(w),
    _mm256_castsi256_ps(x),
    _mm256_castsi256_ps(sums),
)));

#[inline(always)]
unsafe fn tile_of<D: Dot>(width: usize, panels: &[&[Words]], x: &[u32], tile: &mut Tile) {
    // SAFETY: the caller has AVX2 and FMA.
    unsafe {
        match width {
            2 => register_tile::<D, 2, 1, 2>(panels, x, tile),
            4 => register_tile::<D, 2, 1, 4>(panels, x, tile),
            _ => register_tile::<D, 2, 1, 6>(panels, x, tile),
        }
    }
}

/// A tile of bytes: 16-bit sums in registers, widened into the tile before they could overflow.
#[inline(always)]
unsafe fn tile_of_bytes<const TOKENS: usize>(panel: &[Words], x: &[u32], tile: &mut Tile) {
    // SAFETY: the caller has AVX2; loads and stores are of whole `Words`.
    unsafe {
        for (panel, x) in panel.chunks(NARROW_STEPS).zip(x.chunks(NARROW_STEPS * TOKENS)) {
            let mut narrow = [[_mm256_setzero_si256(); 2]; TOKENS];
            for (weights, x) in panel.iter().zip(x.chunks_exact(TOKENS)) {
                let weights = [Ymm::load(weights, 0), Ymm::load(weights, 1)];
                for (narrow, &x) in narrow.iter_mut().zip(x) {
                    let x = _mm256_set1_epi32(x as i32);
                    for (narrow, weights) in narrow.iter_mut().zip(weights) {
                        *narrow = _mm256_add_epi16(*narrow, _mm256_maddubs_epi16(weights, x));
                    }
                }
            }
            for (narrow, tile) in narrow.iter().zip(tile.iter_mut()) {
                widen(narrow[0], &mut tile[0], 0);
                widen(narrow[1], &mut tile[0], 1);
            }
        }
    }
}

/// sums += narrow, the two halves of each lane added.
#[inline(always)]
unsafe fn widen(narrow: __m256i, sums: &mut Words, part: usize) {
    // SAFETY: the caller has AVX2.
    unsafe {
        let sum = Pairs::dot(Ymm::load(sums, part), narrow, _mm256_set1_epi16(1));
        Ymm::store(sum, sums, part);
    }
}

/// Asks for the line that will be read sixteen lines later: blocks are walked one after the other here.
#[inline(always)]
fn prefetch(line: &Line) {
    let ahead = std::ptr::from_ref(line).wrapping_add(16);
    // SAFETY: a hint, which may point anywhere; every x86-64 processor has it.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) }
}

/// Lines whose in-place sums fit 16 bits: 2 fields · 2 · 8 · 128 = 4096 a line, and −8 · 4096 is just there.
const IN_PLACE_LINES: usize = 8;

/// Σ field · activation of both halves of a block, where `masks` cut the field out of the lowest two bits and of the
/// next two. The halves share the broadcasts, and each has sums of its own, so that no addition waits for the one before.
///
/// # Safety
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn code_sums(
    lines: &[Line],
    activations: &[u32],
    [low, high]: [__m256i; 2],
) -> [__m256i; 2] {
    let runs = lines.chunks(4 * IN_PLACE_LINES).zip(activations.chunks(16 * IN_PLACE_LINES));
    // SAFETY: the caller has AVX2; loads are of whole lines.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let [mut units, mut fours] = [[_mm256_setzero_si256(); 2]; 2];
        for (lines, x) in runs {
            let mut narrow = [_mm256_setzero_si256(); 2];
            for (lines, x) in lines.chunks(IN_PLACE_LINES).zip(x.chunks(4 * IN_PLACE_LINES)) {
                let mut in_place = [_mm256_setzero_si256(); 2];
                for (line, x) in lines.iter().zip(x.as_chunks::<4>().0) {
                    prefetch(line);
                    let x = x.map(|x| _mm256_set1_epi32(x as i32));
                    for part in 0..2 {
                        let word = Ymm::load(unpack::words(line), part);
                        let next = _mm256_srli_epi16::<4>(word);
                        let product =
                            |word, mask, x| _mm256_maddubs_epi16(_mm256_and_si256(word, mask), x);
                        let (n, p) = (narrow[part], in_place[part]);
                        let n = _mm256_add_epi16(n, product(word, low, x[0]));
                        let p = _mm256_add_epi16(p, product(word, high, x[1]));
                        narrow[part] = _mm256_add_epi16(n, product(next, low, x[2]));
                        in_place[part] = _mm256_add_epi16(p, product(next, high, x[3]));
                    }
                }
                for part in 0..2 {
                    fours[part] = Pairs::dot(fours[part], in_place[part], ones);
                }
            }
            for part in 0..2 {
                units[part] = Pairs::dot(units[part], narrow[part], ones);
            }
        }
        let total = |part| _mm256_add_epi32(units[part], _mm256_srai_epi32::<2>(fours[part]));
        [total(0), total(1)]
    }
}

impl Arch for Avx2 {
    #[cfg(test)]
    const ISA: super::Isa = super::Isa::Avx2;
    const WIDTHS: [usize; 3] = [2, 4, 6];
    const BLOCKS: usize = 1;
    const STREAMS: bool = false;

    #[target_feature(enable = "avx2,fma")]
    unsafe fn tile(
        operands: Operands,
        width: usize,
        panels: &[&[Words]],
        activations: &[u32],
        tile: &mut Tile,
    ) {
        // SAFETY: this function is only called where there is AVX2 and FMA.
        unsafe {
            match (operands, width) {
                (Operands::Bytes, 2) => tile_of_bytes::<2>(panels[0], activations, tile),
                (Operands::Bytes, 4) => tile_of_bytes::<4>(panels[0], activations, tile),
                (Operands::Bytes, _) => tile_of_bytes::<6>(panels[0], activations, tile),
                (Operands::Pairs, _) => tile_of::<Pairs>(width, panels, activations, tile),
                (Operands::Floats, _) => tile_of::<Floats>(width, panels, activations, tile),
            }
        }
    }

    /// Two fields at a time: the word and the word shifted by four give both at once, the second
    /// in place (times 4), so its sums are widened four times as often and shifted back at the end.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn gemv_two_bit(
        plane: Plane,
        blocks: &[&[Line]],
        activations: &[u32],
        sums: &mut StripSums,
    ) {
        let (mask, shift) = match plane {
            Plane::Codes => (0x03, 0),
            Plane::Positive => (0x02, 1),
            Plane::Zero => (0x01, 0),
        };
        // SAFETY: this function is only called where there is AVX2; sums of a block are two registers.
        unsafe {
            let masks = [_mm256_set1_epi8(mask), _mm256_set1_epi8(mask << 2)];
            for (lines, sums) in blocks.iter().zip(sums) {
                let totals = code_sums(lines, activations, masks);
                for (part, total) in totals.into_iter().enumerate() {
                    let total = _mm256_sra_epi32(total, _mm_cvtsi32_si128(shift));
                    _mm256_storeu_si256(sums.as_mut_ptr().add(8 * part).cast(), total);
                }
            }
        }
    }

    /// Digit n of a byte is the high byte of 3·cₙ, found as ⌊(c + ⌊c/2⌋) / 128⌋ in averages.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn gemv_five_trits(blocks: &[&[Line]], activations: &[u32], sums: &mut StripSums) {
        /// Lines whose sums fit 16 bits: 5 digits · 512 a line.
        const NARROW_LINES: usize = 12;
        // SAFETY: this function is only called where there is AVX2; loads are of whole lines.
        unsafe {
            let three = _mm256_set1_epi8(3);
            let one = _mm256_set1_epi8(1);
            for (lines, sums) in blocks.iter().zip(sums) {
                let mut total = Words([0; LANES]);
                for (lines, x) in
                    lines.chunks(NARROW_LINES).zip(activations.chunks(5 * NARROW_LINES))
                {
                    let mut narrow = [_mm256_setzero_si256(); 2];
                    for (line, x) in lines.iter().zip(x.chunks_exact(5)) {
                        prefetch(line);
                        let line = unpack::words(line);
                        for (part, narrow) in narrow.iter_mut().enumerate() {
                            let mut c = Ymm::load(line, part);
                            for &x in x {
                                // 3c/256 = (c + c/2)/128: with c − 1 both averages round down to it.
                                let before = _mm256_subs_epu8(c, one);
                                let half = _mm256_avg_epu8(before, _mm256_setzero_si256());
                                let digit = _mm256_srli_epi16::<6>(_mm256_avg_epu8(before, half));
                                let digit = _mm256_and_si256(digit, three);
                                let x = _mm256_set1_epi32(x as i32);
                                *narrow = _mm256_add_epi16(*narrow, _mm256_maddubs_epi16(digit, x));
                                c = _mm256_add_epi8(c, _mm256_add_epi8(c, c));
                            }
                        }
                    }
                    widen(narrow[0], &mut total, 0);
                    widen(narrow[1], &mut total, 1);
                }
                for (sum, total) in sums.iter_mut().zip(total.0) {
                    *sum = total as i32;
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn transpose_square(rows: &[u32], stride: usize, out: &mut [u32], width: usize) {
        // SAFETY: this function is only called where there is AVX2.
        unsafe { squares::transpose_square(rows, stride, out, width) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn add_rows(a: &[f32], rows: &[f32], sums: &mut [f32]) {
        // SAFETY: this function is only called where there are AVX2 and FMA.
        unsafe { squares::add_rows(a, rows, sums) }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn ternarize(
        rows: [&[f32]; QUAD],
        thresholds: [f32; QUAD],
        quad: usize,
        lines: &mut [Line],
    ) -> bool {
        // SAFETY: the portable code needs no processor feature.
        unsafe { Portable::ternarize(rows, thresholds, quad, lines) }
    }

    shared_kernels!(Ymm, #[target_feature(enable = "avx2,fma")]);
}
