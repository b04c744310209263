//! AVX-512 with VNNI: one 512-bit register is a block of sixteen lanes, one `vpdpbusd` multiplies
//! 64 weights. With VBMI, byte permutations look five trits up instead of computing them.

mod strips;
mod ternarize;

use std::arch::x86_64::*;

use super::activations;
use super::arch::{Arch, Operands, QUAD, STRIP, StripSums, Tile};
use super::avx2::squares;
use super::instantiate::{shared_kernels, vector_operations};
use super::lanes::{Dot, Lanes};
use super::register_tile::register_tile;
use super::scaling::Place;
use super::scratch::Words;
use super::unpack::{self, LaneScales, Plane};
use crate::packing::{LANES, Line};
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

macro_rules! avx512_arch {
    ($name:ty, $isa:expr, $five_trits:ident, $(#[$features:meta])*) => {
        impl Arch for $name {
            #[cfg(test)]
            const ISA: super::Isa = $isa;
            const WIDTHS: [usize; 3] = [4, 8, 12];
            const BLOCKS: usize = 2;
            const STREAMS: bool = true;

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
                        1 => strips::two_bit_strip::<1>(plane, blocks, activations, sums),
                        2 => strips::two_bit_strip::<2>(plane, blocks, activations, sums),
                        3 => strips::two_bit_strip::<3>(plane, blocks, activations, sums),
                        _ => strips::two_bit_strip::<STRIP>(plane, blocks, activations, sums),
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
                        1 => strips::$five_trits::<1>(blocks, activations, sums),
                        2 => strips::$five_trits::<2>(blocks, activations, sums),
                        3 => strips::$five_trits::<3>(blocks, activations, sums),
                        _ => strips::$five_trits::<STRIP>(blocks, activations, sums),
                    }
                }
            }

            $(#[$features])*
            unsafe fn transpose_square(
                rows: &[u32],
                stride: usize,
                out: &mut [u32],
                width: usize,
            ) {
                // SAFETY: this function is only called where there is AVX-512, and with it AVX2.
                unsafe { squares::transpose_square(rows, stride, out, width) }
            }

            $(#[$features])*
            unsafe fn add_rows(a: &[f32], rows: &[f32], sums: &mut [f32]) {
                // SAFETY: this function is only called where there is AVX-512, and with it AVX2.
                unsafe { squares::add_rows(a, rows, sums) }
            }

            $(#[$features])*
            unsafe fn ternarize(
                rows: [&[f32]; QUAD],
                thresholds: [f32; QUAD],
                quad: usize,
                lines: &mut [Line],
            ) -> bool {
                // SAFETY: this function is only called where there is AVX-512.
                unsafe { ternarize::ternarize_rows(rows, thresholds, quad, lines) }
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
