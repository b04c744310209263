//! Vectors of sixteen floats, the same code for every instruction set.
//!
//! A loop is written once over [`Lanes`] and compiled for each instruction set by
//! [`simd_function!`](instantiate::simd_function); which one runs is what `ternary_core::kernels` chose
//! for the process. Rows are walked in whole vectors; the last, partial one is padded, so lanes and
//! tails are the same arithmetic.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod exp;
mod instantiate;
mod lanes;
mod portable;
mod rows;
pub(crate) mod rows_gates;
pub(crate) mod rows_norm;
pub(crate) mod rows_rope;
pub(crate) mod rows_softmax;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use exp::exp;
pub(crate) use instantiate::simd_function;
pub(crate) use lanes::{LANES, Lanes};
pub(crate) use portable::Portable;

use ternary_core::kernels::{Isa, Kernels};

/// The instruction set of the process. Where the variable that forces one asks for the impossible,
/// the portable code runs; the first product then reports the error.
#[inline]
pub(crate) fn active() -> Isa {
    #[cfg(test)]
    if let Some(isa) = FORCED.get() {
        return isa;
    }
    Kernels::detect().map_or(Isa::Portable, Kernels::isa)
}

#[cfg(test)]
thread_local! {
    /// What [`on_every_isa`] has the code of this thread run on.
    static FORCED: std::cell::Cell<Option<Isa>> = const { std::cell::Cell::new(None) };
}

/// Calls `check` once for each instruction set of this processor, on a single thread, whose code runs
/// on it.
#[cfg(test)]
pub(crate) fn on_every_isa(check: impl Fn() + Sync) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for isa in Isa::available() {
            FORCED.set(Some(isa));
            check();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(always)]
    unsafe fn polynomial<L: Lanes>(x: &[f32; LANES]) -> ([f32; LANES], f32, f32) {
        // SAFETY: passed on from the caller.
        unsafe {
            let x = L::from_array(x);
            let y =
                x.mul_add(x, L::splat(0.5)).sub(x.div(L::splat(4.0))).round().max(L::splat(-2.0));
            let y = x.select_less(L::splat(0.0), y, x.scale(L::splat(3.0)));
            (y.to_array(), y.sum(), y.largest())
        }
    }

    simd_function! {
        fn run(x: &[f32; LANES]) -> ([f32; LANES], f32, f32) = polynomial;
    }

    #[inline(always)]
    unsafe fn transpose_square<L: Lanes>(from: &[f32; 272], columns: usize, to: &mut [f32; 320]) {
        // SAFETY: sixteen rows of 17 and of 20.
        unsafe { L::transpose(from.as_ptr(), 17, columns, to.as_mut_ptr(), 20) }
    }

    simd_function! {
        fn transpose(from: &[f32; 272], columns: usize, to: &mut [f32; 320]) = transpose_square;
    }

    #[test]
    fn columns_become_rows() {
        on_every_isa(|| {
            let from = std::array::from_fn(|i| i as f32);
            for columns in 0..=LANES {
                let mut to = [-1.0; 320];
                transpose(&from, columns, &mut to);
                for (index, to) in to.into_iter().enumerate() {
                    let (column, row) = (index / 20, index % 20);
                    let moved = column < columns && row < LANES;
                    assert_eq!(to, if moved { from[row * 17 + column] } else { -1.0 });
                }
            }
        });
    }

    #[test]
    fn every_instruction_set_does_the_same_in_each_lane() {
        let x: [f32; LANES] = std::array::from_fn(|i| i as f32 - 7.5);
        // SAFETY: the portable code needs no feature.
        let expected = unsafe { polynomial::<Portable>(&x) };
        assert_eq!(run(&x), expected);
        assert_eq!(expected.0[15], 60.0);
        assert_eq!(expected.0[0], 59.0);
    }
}
