//! A number added to each column.

use rayon::prelude::*;
use ternary_core::{Real, mutant};

use super::Rowwise;
use super::blocks::{columns_per_block, count_rows, rows_per_block};
use crate::error::Result;

const OP: &str = "bias";

/// yᵢ += bᵢ in each row. The width of a row is that of the bias.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where rows of this width do not fill `y`.
pub fn bias<T: Real>(bias: &[T], y: &mut [T]) -> Result<()> {
    let width = bias.len();
    let rows = count_rows(OP, "rows", y.len(), width)?;
    y.par_chunks_mut((rows_per_block(rows, width) * width).max(1)).for_each(|y| {
        for row in y.chunks_exact_mut(width) {
            row.iter_mut().zip(bias).for_each(|(y, &bias)| *y += bias);
        }
    });
    Ok(())
}

/// Adds the gradient of [`bias`]: dbᵢ += Σ over rows of dyᵢ. The gradient of what the bias was added to
/// is dy itself, where it lies.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where rows of this width do not fill `dy`.
pub fn bias_backward<T: Rowwise>(dy: &[T], d_bias: &mut [T]) -> Result<()> {
    let width = d_bias.len();
    let rows = count_rows(OP, "gradient of the rows", dy.len(), width)?;
    let columns = columns_per_block(rows, width);
    d_bias.par_chunks_mut(columns).enumerate().for_each(|(index, d_bias)| {
        T::add_column_sums(dy, width, index * columns, d_bias);
    });
    Ok(())
}

pub(super) fn add_column_sums<T: Real>(rows: &[T], width: usize, first: usize, sums: &mut [T]) {
    for row in rows.chunks_exact(width.max(1)) {
        for (index, sum) in sums.iter_mut().enumerate() {
            let column = first + index;
            let number = row[mutant!("bias/columns reversed", column, width - 1 - column)];
            let number = mutant!("bias/sign", number, -number);
            *sum = mutant!("bias/overwritten", *sum + number, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;
    use crate::simd::on_every_isa;

    #[test]
    fn each_row_gets_the_bias_and_the_bias_gets_the_sum_over_rows() {
        let mut y = [1.0, 2.0, 3.0, 4.0];
        bias(&[0.5, -1.0], &mut y).unwrap();
        assert_eq!(y, [1.5, 1.0, 3.5, 3.0]);
        let mut d_bias = [100.0, 200.0];
        bias_backward(&y, &mut d_bias).unwrap();
        assert_eq!(d_bias, [105.0, 204.0]);
    }

    #[test]
    fn every_entry_of_the_gradient_is_the_slope_of_the_forward() {
        let (x, dy) = (numbers::<f64>(1, 15), numbers::<f64>(2, 15));
        let by_bias = slopes(&numbers(3, 5), |values| {
            let mut y = x.clone();
            bias(values, &mut y).unwrap();
            inner(&y, &dy)
        });
        let mut d_bias = numbers(4, 5);
        bias_backward(&dy, &mut d_bias).unwrap();
        assert_slopes("bias", &d_bias, &numbers(4, 5), &by_bias);
    }

    #[test]
    fn f32_sums_columns_as_the_plain_formula_at_every_width() {
        on_every_isa(|| {
            for width in (1..=70).chain([256, 300]) {
                let rows = 75;
                let mut sums = numbers::<f32>(2, width);
                let mut exact = numbers::<f64>(2, width);
                bias_backward(&numbers::<f32>(1, rows * width), &mut sums).unwrap();
                bias_backward(&numbers::<f64>(1, rows * width), &mut exact).unwrap();
                // Each of the partial sums is below 2 · 76 and rounds by half an ulp of that.
                let bound = 76.0 * 2.0 * 76.0 * 0.5 * f64::from(f32::EPSILON);
                assert_within("sum", &sums, &exact, |_| bound);
            }
        });
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads_and_however_columns_are_split() {
        let (rows, width) = (300, 333);
        let x = numbers::<f32>(1, rows * width);
        let sums = same_on_any_number_of_threads(|| {
            let (mut y, mut sums) = (x.clone(), numbers(2, width));
            bias(&sums, &mut y).unwrap();
            bias_backward(&y, &mut sums).unwrap();
            [sums, y].concat()
        });
        let mut one_by_one = numbers(2, width);
        for (first, sum) in one_by_one.chunks_mut(1).enumerate() {
            f32::add_column_sums(&sums[width..], width, first, sum);
        }
        assert_same_bits(&sums[..width], &one_by_one);
    }

    #[test]
    fn rows_that_do_not_fit_the_bias_are_an_error() {
        let error = bias(&[0.0; 3], &mut [0.0; 7]).unwrap_err();
        assert_eq!(error.to_string(), "bias: rows: expected 9, found 7");
        assert!(bias_backward(&[0.0; 7], &mut [0.0; 3]).is_err());
        bias::<f32>(&[], &mut []).unwrap();
        bias_backward::<f32>(&[], &mut [0.0; 3]).unwrap();
    }
}
