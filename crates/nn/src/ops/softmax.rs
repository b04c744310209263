//! Softmax over rows.

use rayon::prelude::*;
use ternary_core::{Real, mutant};

use super::Rowwise;
use super::blocks::{count_rows, rows_per_block};
use crate::error::{Result, check_size};

const OP: &str = "softmax";

/// yᵢ = e^(xᵢ − max x) / Σⱼ e^(xⱼ − max x) in each row.
///
/// An entry of −∞ gets 0. A row with a NaN or +∞, or of −∞ alone, becomes NaN.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes do not fit.
pub fn softmax<T: Rowwise>(x: &[T], width: usize, y: &mut [T]) -> Result<()> {
    let rows = count_rows(OP, "input", x.len(), width)?;
    check_size(OP, "output", x.len(), y.len())?;
    let numbers = (rows_per_block(rows, width) * width).max(1);
    y.par_chunks_mut(numbers)
        .zip(x.par_chunks(numbers))
        .for_each(|(y, x)| T::softmax_rows(x, width, y));
    Ok(())
}

/// Adds the gradient of [`softmax`], from its output: dxᵢ += yᵢ · (dyᵢ − Σⱼ yⱼ dyⱼ) in each row.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes do not fit.
pub fn softmax_backward<T: Rowwise>(y: &[T], dy: &[T], width: usize, dx: &mut [T]) -> Result<()> {
    let rows = count_rows(OP, "output", y.len(), width)?;
    check_size(OP, "gradient of the output", y.len(), dy.len())?;
    check_size(OP, "gradient of the input", y.len(), dx.len())?;
    let numbers = (rows_per_block(rows, width) * width).max(1);
    (dx.par_chunks_mut(numbers), y.par_chunks(numbers), dy.par_chunks(numbers))
        .into_par_iter()
        .for_each(|(dx, y, dy)| T::softmax_rows_backward(y, dy, width, dx));
    Ok(())
}

pub(super) fn rows<T: Real>(x: &[T], width: usize, y: &mut [T]) {
    for (x, y) in x.chunks(width.max(1)).zip(y.chunks_mut(width.max(1))) {
        let maximum = row_maximum(x);
        let mut sum = T::ZERO;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (x - maximum).exp();
            sum += *y;
        }
        y.iter_mut().for_each(|y| *y /= sum);
    }
}

/// The largest number of a row that is not empty.
pub(super) fn row_maximum<T: Real>(x: &[T]) -> T {
    x.iter().fold(x[0], |largest, &x| if x > largest { x } else { largest })
}

pub(super) fn rows_backward<T: Real>(y: &[T], dy: &[T], width: usize, dx: &mut [T]) {
    let width = width.max(1);
    for ((y, dy), dx) in y.chunks(width).zip(dy.chunks(width)).zip(dx.chunks_mut(width)) {
        let sum: T = y.iter().zip(dy).map(|(&y, &dy)| y * dy).sum();
        let sum = mutant!("softmax/other entries left out", sum, T::ZERO);
        for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
            let gradient = y * mutant!("softmax/sign of the sum", dy - sum, dy + sum);
            *dx = mutant!("softmax/overwritten", *dx + gradient, gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;
    use crate::simd::on_every_isa;

    #[test]
    fn rows_become_shares_of_their_exponentials() {
        let mut y = [0.0; 6];
        let x = [0.0, 2.0_f64.ln(), 5.0_f64.ln(), 1000.0, 1000.0, f64::NEG_INFINITY];
        softmax(&x, 3, &mut y).unwrap();
        for (y, expected) in y.into_iter().zip([0.125, 0.25, 0.625, 0.5, 0.5, 0.0]) {
            assert!((y - expected).abs() < 1e-15, "{y} {expected}");
        }
    }

    #[test]
    fn every_entry_of_the_gradient_is_the_slope_of_the_forward() {
        let (x, dy) = (numbers::<f64>(1, 15), numbers::<f64>(2, 15));
        let mut y = [0.0; 15];
        let by_x = slopes(&x, |x| {
            softmax(x, 5, &mut y).unwrap();
            inner(&y, &dy)
        });
        softmax(&x, 5, &mut y).unwrap();
        let mut dx = numbers(3, 15);
        softmax_backward(&y, &dy, 5, &mut dx).unwrap();
        assert_slopes("x", &dx, &numbers(3, 15), &by_x);
    }

    #[test]
    fn f32_keeps_to_the_plain_formula_at_every_width() {
        on_every_isa(|| {
            for width in 1..=70 {
                let count = 3 * width;
                let (mut y, mut y64) = (vec![0.0; count], vec![0.0; count]);
                softmax(&numbers::<f32>(1, count), width, &mut y).unwrap();
                softmax(&numbers::<f64>(1, count), width, &mut y64).unwrap();
                // The differences, below 4, are exact; the exponential is within 2 ulp, the sum within
                // its number of terms.
                let relative = (width as f64 + 6.0) * f64::from(f32::EPSILON);
                assert_within("y", &y, &y64, |i| relative * y64[i]);
                let (mut dx, mut dx64) = (numbers::<f32>(3, count), numbers(3, count));
                softmax_backward(&y, &numbers(2, count), width, &mut dx).unwrap();
                softmax_backward(&y64, &numbers(2, count), width, &mut dx64).unwrap();
                // |dy|, the sum (a mean of dy) and what dx held before are at most 2.
                let ulp = f64::from(f32::EPSILON);
                assert_within("dx", &dx, &dx64, |i| 8.0 * relative * y64[i] + 3.0 * ulp);
            }
        });
    }

    #[test]
    fn what_is_no_number_spoils_its_row_and_no_other() {
        on_every_isa(|| {
            for (bad, width) in [(f32::NAN, 5), (f32::INFINITY, 5), (f32::NAN, 70)] {
                for at in 0..width {
                    let mut x = vec![1.0; 2 * width];
                    x[at] = bad;
                    let mut y = x.clone();
                    softmax(&x, width, &mut y).unwrap();
                    assert!(y[..width].iter().all(|y| y.is_nan()), "{bad} at {at}");
                    assert!(y[width..].iter().all(|&y| y > 0.0));
                }
            }
            let mut y = [0.0; 3];
            softmax(&[f32::NEG_INFINITY; 3], 3, &mut y).unwrap();
            assert!(y.iter().all(|y| y.is_nan()));
        });
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads_and_rows() {
        let (rows, width) = (300, 131);
        let x = numbers::<f32>(1, rows * width);
        let all = same_on_any_number_of_threads(|| {
            let (mut y, mut dx) = (vec![0.0; x.len()], x.clone());
            softmax(&x, width, &mut y).unwrap();
            softmax_backward(&y, &x, width, &mut dx).unwrap();
            [y, dx].concat()
        });
        let mut y = vec![0.0; width];
        for row in 0..rows {
            softmax(&x[row * width..(row + 1) * width], width, &mut y).unwrap();
            assert_same_bits(&y, &all[row * width..(row + 1) * width]);
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_named() {
        let error = softmax(&[0.0; 7], 3, &mut [0.0; 7]).unwrap_err();
        assert_eq!(error.to_string(), "softmax: input: expected 9, found 7");
        assert!(softmax(&[0.0; 6], 3, &mut [0.0; 5]).is_err());
        assert!(softmax(&[0.0; 6], 0, &mut [0.0; 6]).is_err());
        assert!(softmax_backward(&[0.0; 6], &[0.0; 5], 3, &mut [0.0; 6]).is_err());
        softmax::<f32>(&[], 0, &mut []).unwrap();
        softmax_backward::<f64>(&[], &[], 3, &mut []).unwrap();
    }
}
