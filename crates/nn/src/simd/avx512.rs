//! Sixteen floats in one AVX-512 register.

use std::arch::x86_64::*;

use super::avx2;
use super::instantiate::{constructors, operations};
use super::lanes::{LANES, Lanes};

#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

impl Lanes for Avx512 {
    const TILE: (usize, usize) = (12, 2);

    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        stride: usize,
        columns: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        // SAFETY: passed on from the caller; AVX-512 includes AVX2.
        unsafe { avx2::transpose(from, stride, columns, to, to_stride) }
    }

    constructors! {
        fn splat(value: f32) -> Self { Self(_mm512_set1_ps(value)) }
        fn from_array(values: &[f32; LANES]) -> Self { Self(_mm512_loadu_ps(values.as_ptr())) }
        fn read(values: *const f32) -> Self { Self(_mm512_loadu_ps(values)) }
    }

    operations! {
        fn to_array(a: self) -> [f32; LANES] {
            let mut values = [0.0; LANES];
            _mm512_storeu_ps(values.as_mut_ptr(), a.0);
            values
        }
        fn write(a: self, values: *mut f32) -> () { _mm512_storeu_ps(values, a.0) }
        fn add(a: self, b: Self) -> Self { Self(_mm512_add_ps(a.0, b.0)) }
        fn sub(a: self, b: Self) -> Self { Self(_mm512_sub_ps(a.0, b.0)) }
        fn mul(a: self, b: Self) -> Self { Self(_mm512_mul_ps(a.0, b.0)) }
        fn div(a: self, b: Self) -> Self { Self(_mm512_div_ps(a.0, b.0)) }
        fn mul_add(a: self, b: Self, c: Self) -> Self { Self(_mm512_fmadd_ps(a.0, b.0, c.0)) }
        fn max(a: self, b: Self) -> Self { Self(_mm512_max_ps(a.0, b.0)) }
        fn select_less(a: self, bound: Self, then: Self, otherwise: Self) -> Self {
            let less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a.0, bound.0);
            Self(_mm512_mask_blend_ps(less, otherwise.0, then.0))
        }
        fn round(a: self) -> Self {
            Self(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a.0))
        }
        fn scale(a: self, n: Self) -> Self { Self(_mm512_scalef_ps(a.0, n.0)) }
    }
}
