//! RMSNorm (Zhang and Sennrich, 2019).

use rayon::prelude::*;
use ternary_core::{Real, mutant};

use super::Rowwise;
use super::blocks::{columns_per_block, count_rows, rows_per_block};
use crate::error::{Result, check_size};
use crate::simd::rows_norm::ROWS;
use ternary_core::profile::span;

const OP: &str = "rms_norm";

/// Numbers of each array that a thread's second cache holds while the gradients of a part are made.
const PART: usize = 1 << 14;

/// Rows of a part for all threads: whole groups of those that are summed together, so that no sum depends on parts.
fn rows_per_part(width: usize) -> usize {
    let rows = PART * rayon::current_num_threads() / width.max(1);
    (rows / ROWS).max(1) * ROWS
}

/// The gain of a norm: what the normed entries are multiplied by.
#[derive(Debug, Clone, Copy)]
pub enum Gain<'a, T> {
    /// The numbers themselves, which start at 1.
    Plain(&'a [T]),
    /// One more than the numbers, which start at 0 (weight decay then pulls the gain to 1).
    Shifted(&'a [T]),
}

impl<'a, T: Real> Gain<'a, T> {
    /// The numbers that are stored and trained.
    pub fn values(self) -> &'a [T] {
        match self {
            Self::Plain(values) | Self::Shifted(values) => values,
        }
    }

    /// What is added to each of them: 0 or 1.
    pub fn shift(self) -> T {
        match self {
            Self::Plain(_) => T::ZERO,
            Self::Shifted(_) => T::ONE,
        }
    }
}

/// yᵢ = xᵢ · r · wᵢ with r = 1 / √(mean x² + ε) for each row, and w the gain (g or 1 + g).
///
/// The width of a row is that of the gain. r is written to `inverse_rms`, one for each row, for
/// [`rms_norm_backward`].
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes do not fit.
pub fn rms_norm<T: Rowwise>(
    x: &[T],
    gain: Gain<'_, T>,
    epsilon: T,
    y: &mut [T],
    inverse_rms: &mut [T],
) -> Result<()> {
    let _span = span("norms");
    let width = gain.values().len();
    let rows = count_rows(OP, "input", x.len(), width)?;
    check_size(OP, "output", x.len(), y.len())?;
    check_size(OP, "inverse_rms", rows, inverse_rms.len())?;
    let block = rows_per_block(rows, width);
    let numbers = (block * width).max(1);
    (y.par_chunks_mut(numbers), inverse_rms.par_chunks_mut(block), x.par_chunks(numbers))
        .into_par_iter()
        .for_each(|(y, inverse_rms, x)| T::rms_norm_rows(x, gain, epsilon, y, inverse_rms));
    Ok(())
}

/// The gradients of [`rms_norm`]: with x̂ = x · r,
/// dxᵢ = r · (wᵢ dyᵢ − x̂ᵢ · mean(w dy x̂)), which is written, and, where it is asked for,
/// dgᵢ += Σ over rows of dyᵢ x̂ᵢ.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes do not fit.
pub fn rms_norm_backward<T: Rowwise>(
    x: &[T],
    gain: Gain<'_, T>,
    inverse_rms: &[T],
    dy: &[T],
    dx: &mut [T],
    d_gain: Option<&mut [T]>,
) -> Result<()> {
    let _span = span("norms");
    let width = gain.values().len();
    let rows = count_rows(OP, "input", x.len(), width)?;
    check_size(OP, "inverse_rms", rows, inverse_rms.len())?;
    check_size(OP, "gradient of the output", x.len(), dy.len())?;
    check_size(OP, "gradient of the input", x.len(), dx.len())?;
    if let Some(d_gain) = &d_gain {
        check_size(OP, "gradient of the gain", width, d_gain.len())?;
    }
    let d_gain = d_gain.unwrap_or_default();
    // Both gradients read x and dy: the second one a part at a time, while that is in the second cache.
    let part = if d_gain.is_empty() { rows.max(1) } else { rows_per_part(width) };
    let (block, columns) = (rows_per_block(rows, width), columns_per_block(part, width));
    let [part_numbers, numbers] = [part, block].map(|rows| (rows * width).max(1));
    let parts =
        dx.chunks_mut(part_numbers).zip(x.chunks(part_numbers)).zip(dy.chunks(part_numbers));
    for (((dx, x), dy), r) in parts.zip(inverse_rms.chunks(part)) {
        (dx.par_chunks_mut(numbers), x.par_chunks(numbers), dy.par_chunks(numbers))
            .into_par_iter()
            .zip(r.par_chunks(block))
            .for_each(|((dx, x, dy), r)| T::rms_norm_input_gradient(x, gain, r, dy, dx));
        d_gain.par_chunks_mut(columns).enumerate().for_each(|(index, d_gain)| {
            T::rms_norm_gain_gradient(x, r, dy, width, index * columns, d_gain);
        });
    }
    Ok(())
}

pub(super) fn rows<T: Real>(
    x: &[T],
    gain: Gain<'_, T>,
    epsilon: T,
    y: &mut [T],
    inverse_rms: &mut [T],
) {
    let (gain, shift) = (gain.values(), gain.shift());
    let width = gain.len().max(1);
    for ((x, y), r) in x.chunks(width).zip(y.chunks_mut(width)).zip(inverse_rms) {
        let squares: T = x.iter().map(|&x| x * x).sum();
        *r = T::ONE / (squares / T::from_usize(width) + epsilon).sqrt();
        for ((y, &x), &gain) in y.iter_mut().zip(x).zip(gain) {
            *y = x * *r * (shift + gain);
        }
    }
}

pub(super) fn input_gradient<T: Real>(
    x: &[T],
    gain: Gain<'_, T>,
    inverse_rms: &[T],
    dy: &[T],
    dx: &mut [T],
) {
    let (gain, shift) = (gain.values(), gain.shift());
    let width = gain.len().max(1);
    let rows = x.chunks(width).zip(dy.chunks(width)).zip(dx.chunks_mut(width));
    for (((x, dy), dx), &r) in rows.zip(inverse_rms) {
        let weighted = |index: usize| {
            dy[index] * mutant!("rms_norm/gain left out", shift + gain[index], T::ONE)
        };
        let sum: T = (0..x.len()).map(|index| weighted(index) * (x[index] * r)).sum();
        let mean = mutant!("rms_norm/mean term missing", sum / T::from_usize(width), T::ZERO);
        for index in 0..x.len() {
            dx[index] = r * (weighted(index) - x[index] * r * mean);
        }
    }
}

pub(super) fn gain_gradient<T: Real>(
    x: &[T],
    inverse_rms: &[T],
    dy: &[T],
    width: usize,
    first: usize,
    d_gain: &mut [T],
) {
    let rows = x.chunks(width.max(1)).zip(dy.chunks(width.max(1))).zip(inverse_rms);
    for ((x, dy), &r) in rows {
        for (index, d_gain) in d_gain.iter_mut().enumerate() {
            let normed = mutant!(
                "rms_norm/gain gradient of the raw input",
                x[first + index] * r,
                x[first + index]
            );
            let product = dy[first + index] * normed;
            *d_gain = mutant!("rms_norm/gain gradient of the last row", *d_gain + product, product);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;
    use crate::simd::on_every_isa;

    const EPSILON: f64 = 0.25;

    /// Outputs of the forward, the gradient written over and the one added to what they held, for inputs from `seed`.
    fn run<T: Rowwise>(rows: usize, width: usize, seed: u64) -> [Vec<T>; 4] {
        let (x, dy) = (numbers::<T>(seed, rows * width), numbers::<T>(seed + 1, rows * width));
        let gain = numbers::<T>(seed + 2, width);
        let gain = Gain::Shifted(&gain);
        let (mut y, mut inverse) = (vec![T::ZERO; x.len()], vec![T::ZERO; rows]);
        let (mut dx, mut d_gain) = (numbers(seed + 3, x.len()), numbers(seed + 4, width));
        rms_norm(&x, gain, T::from_f64(EPSILON), &mut y, &mut inverse).unwrap();
        rms_norm_backward(&x, gain, &inverse, &dy, &mut dx, Some(&mut d_gain)).unwrap();
        [y, inverse, dx, d_gain]
    }

    #[test]
    fn a_row_is_divided_by_its_root_mean_square() {
        let (mut y, mut inverse) = ([0.0; 4], [0.0; 2]);
        // mean x² + ε = 12.5 + 3.5 = 4² in the first row; the second is 0 whatever its scale.
        let x = [3.0, -4.0, 0.0, 0.0];
        rms_norm(&x, Gain::Plain(&[1.0, 2.0]), 3.5, &mut y, &mut inverse).unwrap();
        assert_eq!(y, [0.75, -2.0, 0.0, 0.0]);
        assert_eq!(inverse, [0.25, 1.0 / 3.5_f64.sqrt()]);
        rms_norm(&x, Gain::Shifted(&[0.0, 1.0]), 3.5, &mut y, &mut inverse).unwrap();
        assert_eq!(y, [0.75, -2.0, 0.0, 0.0]);
    }

    #[test]
    fn every_entry_of_both_gradients_is_the_slope_of_the_forward() {
        let (rows, width) = (3, 7);
        let (x, dy) = (numbers::<f64>(1, rows * width), numbers::<f64>(2, rows * width));
        let gain = numbers::<f64>(3, width);
        fn gain_of(values: &[f64], shifted: bool) -> Gain<'_, f64> {
            if shifted { Gain::Shifted(values) } else { Gain::Plain(values) }
        }
        for shifted in [false, true] {
            let mut inverse = vec![0.0; rows];
            let mut objective = |x: &[f64], gain: &[f64]| {
                let mut y = vec![0.0; x.len()];
                rms_norm(x, gain_of(gain, shifted), EPSILON, &mut y, &mut inverse).unwrap();
                inner(&y, &dy)
            };
            let by_x = slopes(&x, |x| objective(x, &gain));
            let by_gain = slopes(&gain, |gain| objective(&x, gain));
            objective(&x, &gain);
            let (mut dx, mut d_gain) = (numbers(4, x.len()), numbers(5, width));
            rms_norm_backward(
                &x,
                gain_of(&gain, shifted),
                &inverse,
                &dy,
                &mut dx,
                Some(&mut d_gain),
            )
            .unwrap();
            assert_slopes("x", &dx, &vec![0.0; x.len()], &by_x);
            assert_slopes("gain", &d_gain, &numbers(5, width), &by_gain);
        }
    }

    #[test]
    fn f32_keeps_to_the_plain_formula_at_every_width() {
        on_every_isa(|| {
            for width in 1..=70 {
                let rows = 5;
                let [y, inverse, dx, d_gain] = run::<f32>(rows, width, 10);
                let [y64, inverse64, dx64, d_gain64] = run::<f64>(rows, width, 10);
                // A sum of K terms is within K ulp of the sum of their magnitudes. For r that halves in
                // the root; in y there are three more products.
                let ulp = f64::from(f32::EPSILON);
                let relative = (width as f64 + 8.0) * ulp;
                assert_within("r", &inverse, &inverse64, |i| relative * inverse64[i]);
                assert_within("y", &y, &y64, |i| relative * y64[i].abs());
                // |x̂| and |w dy| are at most √K and 12 for numbers below 2, and r at most 1/√ε = 2;
                // what the gradient of the gain held before is below 2.
                let terms = 2.0 * (12.0 + (width as f64).sqrt() * 12.0 * (width as f64).sqrt());
                assert_within("dx", &dx, &dx64, |_| relative * terms);
                let terms = (rows as f64 + 8.0) * ulp * rows as f64 * 2.0 * (width as f64).sqrt();
                assert_within("dg", &d_gain, &d_gain64, |_| terms + relative * terms);
            }
        });
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads_and_rows() {
        // More than two parts on one thread, the last of them small.
        let (rows, width) = (300, 130);
        let all = same_on_any_number_of_threads(|| run::<f32>(rows, width, 20).concat());
        let (ys, others) = all.split_at(rows * width);
        let (roots, others) = others.split_at(rows);
        let (dxs, d_gains) = others.split_at(rows * width);
        let [x, dy] = [20, 21].map(|seed| numbers::<f32>(seed, rows * width));
        let gain = numbers::<f32>(22, width);
        let gain = Gain::Shifted(&gain);
        let (mut y, mut inverse, mut dx) = (vec![0.0; width], [0.0], vec![0.0; width]);
        for row in 0..rows {
            let range = row * width..(row + 1) * width;
            let (x, dy) = (&x[range.clone()], &dy[range.clone()]);
            rms_norm(x, gain, EPSILON as f32, &mut y, &mut inverse).unwrap();
            rms_norm_backward(x, gain, &inverse, dy, &mut dx, None).unwrap();
            assert_same_bits(&y, &ys[range.clone()]);
            assert_same_bits(&inverse, &roots[row..=row]);
            assert_same_bits(&dx, &dxs[range]);
        }
        let mut d_gain = numbers(24, width);
        f32::rms_norm_gain_gradient(&x, roots, &dy, width, 0, &mut d_gain);
        assert_same_bits(&d_gain, d_gains);
    }

    #[test]
    fn sizes_that_do_not_fit_are_named_and_no_rows_are_no_work() {
        let gain = Gain::Plain(&[1.0_f32; 4]);
        let error = rms_norm(&[0.0; 6], gain, 0.0, &mut [0.0; 6], &mut [0.0; 1]).unwrap_err();
        assert_eq!(error.to_string(), "rms_norm: input: expected 8, found 6");
        let error = rms_norm(&[0.0; 8], gain, 0.0, &mut [0.0; 8], &mut [0.0; 1]).unwrap_err();
        assert_eq!(error.to_string(), "rms_norm: inverse_rms: expected 2, found 1");
        rms_norm(&[], gain, 0.0, &mut [], &mut []).unwrap();
        rms_norm_backward(&[], gain, &[], &[], &mut [], Some(&mut [0.0; 4])).unwrap();
        rms_norm(&[], Gain::Plain(&[0.0_f64; 0]), 0.0, &mut [], &mut []).unwrap();
    }
}
