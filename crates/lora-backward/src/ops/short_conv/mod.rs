//! The short convolution in front of a recurrent mixer: a few taps along time, for each channel by itself.

mod backward;
mod shape;
#[cfg(test)]
mod tests;

use nn::Result;
use nn::ternary_core::Real;
use rayon::prelude::*;

pub use self::backward::{ConvInputs, short_conv_backward};
pub use self::shape::ConvShape;

/// With K taps for each channel, the last for the row itself:
///
/// ```text
/// yₜ = Σ_j wⱼ ∘ xₜ₋ₖ₊₁₊ⱼ
/// ```
///
/// Rows are `[tokens, channels]`, `taps` `[channels, K]`. `columns`, `[sequences, channels, K − 1]` with the oldest
/// first, goes from the rows before the first one of each sequence (zeros where there are none) to the last ones,
/// so that a sequence may come in pieces: a row has the same bits in any of them.
///
/// # Errors
/// [`Error::Shape`](nn::Error::Shape) and [`Error::Setting`](nn::Error::Setting) for what does not fit;
/// nothing is written then.
pub fn short_conv<T: Real>(
    shape: ConvShape,
    taps: &[T],
    x: &[T],
    columns: &mut [T],
    y: &mut [T],
) -> Result<()> {
    shape.check(taps.len(), columns.len())?;
    shape.check_rows("inputs", x.len())?;
    shape.check_rows("outputs", y.len())?;
    if shape.is_empty() {
        return Ok(());
    }
    let (channels, before) = (shape.channels, shape.taps - 1);
    let taps = transposed(taps, channels, shape.taps);
    for sequence in 0..shape.sequences.count {
        let (numbers, own) = (shape.numbers_of(sequence), shape.columns_of(sequence));
        let (x, y, columns) = (&x[numbers.clone()], &mut y[numbers], &mut columns[own]);
        let first = transposed(columns, channels, before);
        let rows = Rows { first: &first, rows: x, channels };
        let block = shape.rows_per_block();
        y.par_chunks_mut(block * channels).enumerate().for_each(|(index, y)| {
            for (t, y) in y.chunks_mut(channels).enumerate() {
                y.fill(T::ZERO);
                for (j, taps) in taps.chunks(channels).enumerate() {
                    add_products(y, taps, rows.get(index * block + t + j));
                }
            }
        });
        for i in 0..before {
            write_column(columns, i, before, rows.get(shape.sequences.length + i));
        }
    }
    Ok(())
}

/// The rows of a sequence behind those before its first one.
struct Rows<'a, T> {
    /// `[K − 1, channels]`.
    first: &'a [T],
    rows: &'a [T],
    channels: usize,
}

impl<'a, T> Rows<'a, T> {
    fn get(&self, index: usize) -> &'a [T] {
        let before = self.first.len() / self.channels;
        let (rows, index) = match index.checked_sub(before) {
            Some(index) => (self.rows, index),
            None => (self.first, index),
        };
        &rows[index * self.channels..][..self.channels]
    }
}

/// `[rows, cols]` as `[cols, rows]`.
fn transposed<T: Real>(values: &[T], rows: usize, cols: usize) -> Vec<T> {
    let mut transposed = vec![T::ZERO; values.len()];
    for (row, values) in values.chunks(cols.max(1)).enumerate() {
        for (col, &value) in values.iter().enumerate() {
            transposed[col * rows + row] = value;
        }
    }
    transposed
}

/// Writes a row to column `column` of `cols`.
fn write_column<T: Real>(columns: &mut [T], column: usize, cols: usize, row: &[T]) {
    let places = columns.iter_mut().skip(column).step_by(cols);
    places.zip(row).for_each(|(place, &x)| *place = x);
}

/// sums += a ∘ b.
fn add_products<T: Real>(sums: &mut [T], a: &[T], b: &[T]) {
    for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}
