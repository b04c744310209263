//! Sixteen floats in an array, which the compiler puts into whatever registers the target has.

use super::lanes::{LANES, Lanes};

#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; LANES]);

/// Functions that do the same in each lane.
macro_rules! lane_by_lane {
    ($(fn $name:ident($this:ident $(, $argument:ident)*) { $lane:expr })*) => {
        $(
            #[inline(always)]
            unsafe fn $name(self $(, $argument: Self)*) -> Self {
                let mut result = [0.0; LANES];
                for lane in 0..LANES {
                    let $this = self.0[lane];
                    $(let $argument = $argument.0[lane];)*
                    result[lane] = $lane;
                }
                Self(result)
            }
        )*
    };
}

impl Lanes for Portable {
    const TILE: (usize, usize) = (4, 1);

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    unsafe fn from_array(values: &[f32; LANES]) -> Self {
        Self(*values)
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [f32; LANES] {
        self.0
    }

    #[inline(always)]
    unsafe fn read(values: *const f32) -> Self {
        // SAFETY: the caller hands in sixteen readable floats.
        Self(unsafe { values.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn write(self, values: *mut f32) {
        // SAFETY: the caller hands in sixteen writable floats.
        unsafe { values.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }

    lane_by_lane! {
        fn add(a, b) { a + b }
        fn sub(a, b) { a - b }
        fn mul(a, b) { a * b }
        fn div(a, b) { a / b }
        fn mul_add(a, b, c) { a * b + c }
        fn max(a, b) { if a > b { a } else { b } }
        fn select_less(a, bound, then, otherwise) { if a < bound { then } else { otherwise } }
        // Adding 1.5 · 2²³ leaves the number, rounded to even, in the low bits of the sum.
        fn round(a) { (a + 12_582_912.0) - 12_582_912.0 }
        fn scale(a, n) { f32::from_bits(a.to_bits().wrapping_add((n as i32 as u32) << 23)) }
    }
}
