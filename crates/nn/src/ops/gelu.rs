//! GELU (Hendrycks and Gimpel, 2016), in its tanh form.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

use rayon::prelude::*;
use ternary_core::{Real, mutant};

use super::Rowwise;
use super::blocks::numbers_per_block;
use super::swiglu::sigmoid;
use crate::error::{Result, check_size};

const OP: &str = "gelu";

/// 2 · √(2/π), what multiplies x in the argument of the sigmoid.
pub(crate) const LINEAR: f64 = FRAC_2_SQRT_PI * SQRT_2;

/// What multiplies x³ there.
pub(crate) const CUBIC: f64 = 0.044_715 * LINEAR;

/// y = ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))): the tanh form, which stays within 5e-4 of x · Φ(x).
///
/// Computed as x · σ(2√(2/π) (x + 0.044715 x³)), which is the same since ½ (1 + tanh u) = σ(2u).
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn gelu<T: Rowwise>(x: &[T], y: &mut [T]) -> Result<()> {
    check_size(OP, "output", x.len(), y.len())?;
    let block = numbers_per_block(x.len());
    y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| T::gelu_numbers(x, y));
    Ok(())
}

/// Writes the gradient of [`gelu`]: with u = 2√(2/π) (x + 0.044715 x³) and σ = σ(u),
/// dx = dy · σ · (1 + x · (1 − σ) · u′).
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn gelu_backward<T: Rowwise>(x: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    check_size(OP, "gradient of the output", x.len(), dy.len())?;
    check_size(OP, "gradient of the input", x.len(), dx.len())?;
    let block = numbers_per_block(x.len());
    (dx.par_chunks_mut(block), x.par_chunks(block), dy.par_chunks(block))
        .into_par_iter()
        .for_each(|(dx, x, dy)| T::gelu_numbers_backward(x, dy, dx));
    Ok(())
}

/// u, the argument of the sigmoid.
fn argument<T: Real>(x: T) -> T {
    x * (T::from_f64(LINEAR) + T::from_f64(CUBIC) * x * x)
}

pub(super) fn plain<T: Real>(x: &[T], y: &mut [T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x * sigmoid(argument(x));
    }
}

pub(super) fn plain_backward<T: Real>(x: &[T], dy: &[T], dx: &mut [T]) {
    for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
        let sigma = sigmoid(argument(x));
        let cubic = mutant!("gelu/slope of the cubic term", 3.0, 1.0) * CUBIC;
        let slope = T::from_f64(LINEAR) + T::from_f64(cubic) * x * x;
        let rest = mutant!("gelu/slope of the sigmoid left out", x * (T::ONE - sigma), T::ZERO);
        *dx = dy * sigma * (T::ONE + rest * slope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;
    use crate::simd::on_every_isa;

    #[test]
    fn the_sigmoid_form_is_the_tanh_form() {
        let x: Vec<f64> = (-60..=60).map(|i| f64::from(i) / 10.0).collect();
        let mut y = vec![0.0; x.len()];
        gelu(&x, &mut y).unwrap();
        for (x, y) in x.into_iter().zip(y) {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            let expected = 0.5 * x * (1.0 + inner.tanh());
            assert!((y - expected).abs() < 1e-15, "gelu({x}) = {y}, not {expected}");
        }
    }

    #[test]
    fn every_entry_of_the_gradient_is_the_slope_of_the_forward() {
        let numbers = numbers::<f64>;
        let (x, dy, mut dx) = (numbers(1, 23), numbers(2, 23), numbers(3, 23));
        gelu_backward(&x, &dy, &mut dx).unwrap();
        let by_x = slopes(&x, |x| {
            let mut y = [0.0; 23];
            gelu(x, &mut y).unwrap();
            inner(&y, &dy)
        });
        assert_slopes("x", &dx, &[0.0; 23], &by_x);
    }

    /// Output, and gradient over whatever it held.
    fn run<T: Rowwise>(x: &[T]) -> [Vec<T>; 2] {
        let (mut y, mut dx) = (vec![T::ZERO; x.len()], numbers(3, x.len()));
        gelu(x, &mut y).unwrap();
        gelu_backward(x, &numbers(2, x.len()), &mut dx).unwrap();
        [y, dx]
    }

    #[test]
    fn f32_keeps_to_the_plain_formula_at_every_length() {
        on_every_isa(|| {
            for count in 1..=70 {
                let found = run(&scaled::<f32>(1, count));
                let x = scaled::<f64>(1, count);
                let exact = run(&x);
                // u is within 4 ulp of itself, so σ within 4 + (1 − σ) 4 |u|, where (1 − σ) |u| matters
                // for negative u only, down to e^u; the slope multiplies by 1 + |x| (1 − σ) u′.
                let ulp = f64::from(f32::EPSILON);
                let size = |x: f64| 8.0 + 4.0 * argument(x).abs();
                let bound = |i: usize| size(x[i]) * ulp * exact[0][i].abs() + 1e-37;
                assert_within("y", &found[0], &exact[0], bound);
                let slope = |x: f64| x.abs() * (LINEAR + 3.0 * CUBIC * x * x);
                let bound = |i: usize| {
                    let sigma = sigmoid(argument(x[i]));
                    // As of y, what lies below the smallest normal number is lost.
                    let of_itself = ulp * exact[1][i].abs() + 1e-37;
                    2.0 * ulp * sigma * (1.0 + slope(x[i])) * size(x[i]) + of_itself
                };
                assert_within("dx", &found[1], &exact[1], bound);
            }
        });
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads_and_wherever_a_number_stands() {
        let x = scaled::<f32>(1, 40_001);
        let all = same_on_any_number_of_threads(|| run(&x).concat());
        let mut y = vec![0.0; 7];
        for start in (0..x.len() - 7).step_by(501) {
            gelu(&x[start..start + 7], &mut y).unwrap();
            assert_same_bits(&y, &all[start..start + 7]);
        }
    }

    #[test]
    fn sizes_that_differ_are_named() {
        let error = gelu(&[0.0; 3], &mut [0.0; 2]).unwrap_err();
        assert_eq!(error.to_string(), "gelu: output: expected 3, found 2");
        assert!(gelu_backward(&[0.0; 3], &[0.0; 2], &mut [0.0; 3]).is_err());
        gelu::<f32>(&[], &mut []).unwrap();
    }
}
