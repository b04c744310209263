//! The backward of the short convolution.

use nn::Result;
use nn::ternary_core::{Real, mutant};
use rayon::prelude::*;

use super::{ConvShape, Rows, add_products, transposed, write_column};

/// Rows whose share of the gradient of the taps is summed before it is added: both sums stay short.
const ROWS: usize = 64;

/// What the backward of a [`short_conv`](super::short_conv()) needs of its forward.
#[derive(Debug, Clone, Copy)]
pub struct ConvInputs<'a, T> {
    /// `[channels, K]`.
    pub taps: &'a [T],
    /// The rows.
    pub x: &'a [T],
    /// The columns before the first rows.
    pub columns: &'a [T],
}

/// Adds the gradients of [`short_conv`](super::short_conv()) to `dx` and, where it is wanted, `d_taps`; with what is
/// before the first row and behind the last left out:
///
/// ```text
/// dxₜ += Σ_j wⱼ ∘ dyₜ₊ₖ₋₁₋ⱼ          dwⱼ += Σₜ dyₜ ∘ xₜ₋ₖ₊₁₊ⱼ
/// ```
///
/// `d_columns` goes from the gradient of the last columns to that of the first.
///
/// # Errors
/// As [`short_conv`](super::short_conv()).
pub fn short_conv_backward<T: Real>(
    shape: ConvShape,
    inputs: ConvInputs<'_, T>,
    dy: &[T],
    d_columns: &mut [T],
    dx: &mut [T],
    mut d_taps: Option<&mut [T]>,
) -> Result<()> {
    let ConvInputs { taps, x, columns } = inputs;
    shape.check(taps.len(), columns.len())?;
    shape.check(taps.len(), d_columns.len())?;
    shape.check_rows("inputs", x.len())?;
    shape.check_rows("gradients of outputs", dy.len())?;
    shape.check_rows("gradients of inputs", dx.len())?;
    if let Some(d_taps) = &d_taps {
        shape.check_taps(d_taps.len())?;
    }
    if shape.is_empty() {
        return Ok(());
    }
    let (channels, before) = (shape.channels, shape.taps - 1);
    let by_row = transposed(taps, channels, shape.taps);
    for sequence in 0..shape.sequences.count {
        let (numbers, own) = (shape.numbers_of(sequence), shape.columns_of(sequence));
        let (x, dy, dx) = (&x[numbers.clone()], &dy[numbers.clone()], &mut dx[numbers]);
        let last = transposed(&d_columns[own.clone()], channels, before);
        let upstream = Upstream { taps: &by_row, dy, last: &last, channels };
        let block = shape.rows_per_block();
        dx.par_chunks_mut(block * channels).enumerate().for_each(|(index, dx)| {
            for (t, dx) in dx.chunks_mut(channels).enumerate() {
                mutant!("short_conv/overwritten", { dx.fill(T::ZERO) });
                upstream.add_gradient(before + index * block + t, dx);
            }
        });
        if let Some(d_taps) = &mut d_taps {
            let first = transposed(&columns[own.clone()], channels, before);
            add_taps(&Rows { first: &first, rows: x, channels }, dy, shape.taps, d_taps);
        }
        let mut first = vec![T::ZERO; channels];
        for i in 0..before {
            first.fill(T::ZERO);
            upstream.add_gradient(i, &mut first);
            write_column(&mut d_columns[own.clone()], i, before, &first);
        }
    }
    Ok(())
}

/// What the gradient of a row is a sum of.
struct Upstream<'a, T> {
    /// `[K, channels]`.
    taps: &'a [T],
    dy: &'a [T],
    /// The gradients of the last columns, `[K − 1, channels]`.
    last: &'a [T],
    channels: usize,
}

impl<T: Real> Upstream<'_, T> {
    /// Adds the gradient of row `index` of [`Rows`].
    fn add_gradient(&self, index: usize, sum: &mut [T]) {
        let length = self.dy.len() / self.channels;
        let count = self.taps.len() / self.channels;
        for j in 0..count {
            let Some(t) = index.checked_sub(j).filter(|&t| t < length) else { continue };
            let tap = mutant!("short_conv/taps reversed", j, count - 1 - j);
            let taps = &self.taps[tap * self.channels..][..self.channels];
            add_products(sum, taps, &self.dy[t * self.channels..][..self.channels]);
        }
        if let Some(column) = index.checked_sub(length) {
            let own = &self.last[column * self.channels..][..self.channels];
            let own = mutant!("short_conv/gradient of the columns lost", own, &own[..0]);
            sum.iter_mut().zip(own).for_each(|(sum, &d)| *sum += d);
        }
    }
}

/// Adds dw, summed in blocks of rows.
fn add_taps<T: Real>(rows: &Rows<'_, T>, dy: &[T], taps: usize, d_taps: &mut [T]) {
    let channels = rows.channels;
    let mut sums = vec![T::ZERO; channels];
    for (block, dy) in dy.chunks(ROWS * channels).enumerate() {
        for j in 0..taps {
            sums.fill(T::ZERO);
            for (t, dy) in dy.chunks(channels).enumerate() {
                let index = block * ROWS + t + mutant!("short_conv/taps out of step", j, 0);
                add_products(&mut sums, dy, rows.get(index));
            }
            let places = d_taps.iter_mut().skip(j).step_by(taps);
            places.zip(&sums).for_each(|(d, &sum)| *d += sum);
        }
    }
}
