//! Sixteen floats in two AVX registers.

use std::arch::x86_64::*;

use super::instantiate::{constructors, operations};
use super::lanes::{LANES, Lanes};

#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

/// An operation on both registers.
macro_rules! both {
    ($intrinsic:ident, $($argument:ident),*) => {
        Avx2($intrinsic($($argument.0),*), $intrinsic($($argument.1),*))
    };
}

/// x · 2ⁿ by adding to the exponent's bits.
#[inline(always)]
unsafe fn scale_register(x: __m256, n: __m256) -> __m256 {
    // SAFETY: the caller has AVX2.
    unsafe {
        let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(n));
        _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent))
    }
}

/// Eight rows of eight floats as columns: pairs of rows, then fours, then halves of registers.
#[inline(always)]
unsafe fn transpose_eight(rows: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller has AVX2.
    unsafe {
        let [a, b, c, d, e, f, g, h] = rows;
        let (ab, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (cd, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        let (ef, ef_high) = (_mm256_unpacklo_ps(e, f), _mm256_unpackhi_ps(e, f));
        let (gh, gh_high) = (_mm256_unpacklo_ps(g, h), _mm256_unpackhi_ps(g, h));
        const LOW: i32 = 0b01_00_01_00;
        const HIGH: i32 = 0b11_10_11_10;
        let upper = [
            _mm256_shuffle_ps::<LOW>(ab, cd),
            _mm256_shuffle_ps::<HIGH>(ab, cd),
            _mm256_shuffle_ps::<LOW>(ab_high, cd_high),
            _mm256_shuffle_ps::<HIGH>(ab_high, cd_high),
        ];
        let lower = [
            _mm256_shuffle_ps::<LOW>(ef, gh),
            _mm256_shuffle_ps::<HIGH>(ef, gh),
            _mm256_shuffle_ps::<LOW>(ef_high, gh_high),
            _mm256_shuffle_ps::<HIGH>(ef_high, gh_high),
        ];
        let mut columns = [_mm256_setzero_ps(); 8];
        for i in 0..4 {
            columns[i] = _mm256_permute2f128_ps::<0x20>(upper[i], lower[i]);
            columns[i + 4] = _mm256_permute2f128_ps::<0x31>(upper[i], lower[i]);
        }
        columns
    }
}

/// See [`Lanes::transpose`].
///
/// # Safety
/// The processor has AVX2, and as there.
#[inline(always)]
pub(super) unsafe fn transpose(
    from: *const f32,
    stride: usize,
    columns: usize,
    to: *mut f32,
    to_stride: usize,
) {
    // SAFETY: the caller has AVX2; everything read and written is inside of what it hands in.
    unsafe {
        for first in (0..columns).step_by(8) {
            for half in [0, 8] {
                let mut rows = [_mm256_setzero_ps(); 8];
                for row in 0..8 {
                    rows[row] = _mm256_loadu_ps(from.add((half + row) * stride + first));
                }
                let rows = transpose_eight(rows);
                for column in 0..8 {
                    if first + column < columns {
                        _mm256_storeu_ps(to.add((first + column) * to_stride + half), rows[column]);
                    }
                }
            }
        }
    }
}

impl Lanes for Avx2 {
    const TILE: (usize, usize) = (6, 1);

    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        stride: usize,
        columns: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        // SAFETY: passed on from the caller.
        unsafe { transpose(from, stride, columns, to, to_stride) }
    }

    constructors! {
        fn splat(value: f32) -> Self { Self(_mm256_set1_ps(value), _mm256_set1_ps(value)) }
        fn from_array(values: &[f32; LANES]) -> Self { Self::read(values.as_ptr()) }
        fn read(values: *const f32) -> Self {
            Self(_mm256_loadu_ps(values), _mm256_loadu_ps(values.add(8)))
        }
    }

    operations! {
        fn to_array(a: self) -> [f32; LANES] {
            let mut values = [0.0; LANES];
            a.write(values.as_mut_ptr());
            values
        }
        fn write(a: self, values: *mut f32) -> () {
            _mm256_storeu_ps(values, a.0);
            _mm256_storeu_ps(values.add(8), a.1);
        }
        fn add(a: self, b: Self) -> Self { both!(_mm256_add_ps, a, b) }
        fn sub(a: self, b: Self) -> Self { both!(_mm256_sub_ps, a, b) }
        fn mul(a: self, b: Self) -> Self { both!(_mm256_mul_ps, a, b) }
        fn div(a: self, b: Self) -> Self { both!(_mm256_div_ps, a, b) }
        fn mul_add(a: self, b: Self, c: Self) -> Self { both!(_mm256_fmadd_ps, a, b, c) }
        fn max(a: self, b: Self) -> Self { both!(_mm256_max_ps, a, b) }
        fn select_less(a: self, bound: Self, then: Self, otherwise: Self) -> Self {
            let less = Self(
                _mm256_cmp_ps::<_CMP_LT_OQ>(a.0, bound.0),
                _mm256_cmp_ps::<_CMP_LT_OQ>(a.1, bound.1),
            );
            both!(_mm256_blendv_ps, otherwise, then, less)
        }
        fn round(a: self) -> Self {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            Self(_mm256_round_ps::<NEAREST>(a.0), _mm256_round_ps::<NEAREST>(a.1))
        }
        fn scale(a: self, n: Self) -> Self { both!(scale_register, a, n) }
    }
}
