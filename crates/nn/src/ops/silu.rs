//! SiLU (Elfwing, Uchibe and Doya, 2018), also known as Swish.

use rayon::prelude::*;
use ternary_core::{Real, mutant};

use super::Rowwise;
use super::blocks::numbers_per_block;
use super::swiglu::sigmoid;
use crate::error::{Result, check_size};

const OP: &str = "silu";

/// y = x · σ(x) with σ(x) = 1 / (1 + e⁻ˣ).
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn silu<T: Rowwise>(x: &[T], y: &mut [T]) -> Result<()> {
    check_size(OP, "output", x.len(), y.len())?;
    let block = numbers_per_block(x.len());
    y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| T::silu_numbers(x, y));
    Ok(())
}

/// Writes the gradient of [`silu`]: with σ = σ(x), dx = dy · σ · (1 + x · (1 − σ)).
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn silu_backward<T: Rowwise>(x: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    check_size(OP, "gradient of the output", x.len(), dy.len())?;
    check_size(OP, "gradient of the input", x.len(), dx.len())?;
    let block = numbers_per_block(x.len());
    (dx.par_chunks_mut(block), x.par_chunks(block), dy.par_chunks(block))
        .into_par_iter()
        .for_each(|(dx, x, dy)| T::silu_numbers_backward(x, dy, dx));
    Ok(())
}

pub(super) fn plain<T: Real>(x: &[T], y: &mut [T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x * sigmoid(x);
    }
}

pub(super) fn plain_backward<T: Real>(x: &[T], dy: &[T], dx: &mut [T]) {
    for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
        let sigma = sigmoid(x);
        let rest = mutant!("silu/slope of the sigmoid left out", x * (T::ONE - sigma), T::ZERO);
        *dx = dy * sigma * (T::ONE + mutant!("silu/sign of the slope", rest, -rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;
    use crate::simd::on_every_isa;

    #[test]
    fn far_from_zero_it_is_the_identity_or_nothing() {
        let (x, mut y) = ([3.0_f64.ln(), 0.0, 1e4, -1e4], [7.0; 4]);
        silu(&x, &mut y).unwrap();
        // σ(ln 3) = ¾.
        assert!((y[0] - 0.75 * x[0]).abs() < 1e-15);
        assert_eq!(y[1..], [0.0, 1e4, 0.0]);
    }

    #[test]
    fn every_entry_of_the_gradient_is_the_slope_of_the_forward() {
        let numbers = numbers::<f64>;
        let (x, dy, mut dx) = (numbers(1, 23), numbers(2, 23), numbers(3, 23));
        silu_backward(&x, &dy, &mut dx).unwrap();
        let by_x = slopes(&x, |x| {
            let mut y = [0.0; 23];
            silu(x, &mut y).unwrap();
            inner(&y, &dy)
        });
        assert_slopes("x", &dx, &[0.0; 23], &by_x);
    }

    /// Output, and gradient over whatever it held, of numbers up to 16.
    fn run<T: Rowwise>(count: usize) -> [Vec<T>; 2] {
        let (x, mut y, mut dx) = (scaled(1, count), vec![T::ZERO; count], numbers(3, count));
        silu(&x, &mut y).unwrap();
        silu_backward(&x, &numbers(2, count), &mut dx).unwrap();
        [y, dx]
    }

    #[test]
    fn f32_keeps_to_the_plain_formula_at_every_length() {
        on_every_isa(|| {
            for count in 1..=70 {
                let (found, exact) = (run::<f32>(count), run::<f64>(count));
                // As in SwiGLU, whose gate this is: the sigmoid is within 4 ulp, one product follows. The
                // slope is at most 1 + 16 with σ, times dy below 2.
                let ulp = f64::from(f32::EPSILON);
                assert_within("y", &found[0], &exact[0], |i| 8.0 * ulp * exact[0][i].abs());
                assert_within("dx", &found[1], &exact[1], |_| 10.0 * ulp * 17.0 * 2.0);
            }
        });
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads_and_wherever_a_number_stands() {
        let count = 40_001;
        let all = same_on_any_number_of_threads(|| run::<f32>(count).concat());
        let (x, mut y) = (scaled::<f32>(1, count), [0.0; 7]);
        for start in (0..count - 7).step_by(501) {
            silu(&x[start..start + 7], &mut y).unwrap();
            assert_same_bits(&y, &all[start..start + 7]);
        }
    }

    #[test]
    fn sizes_that_differ_are_named() {
        let error = silu(&[0.0; 3], &mut [0.0; 2]).unwrap_err();
        assert_eq!(error.to_string(), "silu: output: expected 3, found 2");
        assert!(silu_backward(&[0.0; 3], &[0.0; 2], &mut [0.0; 3]).is_err());
        assert!(silu_backward(&[0.0; 3], &[0.0; 3], &mut [0.0; 2]).is_err());
        silu::<f32>(&[], &mut []).unwrap();
    }
}
