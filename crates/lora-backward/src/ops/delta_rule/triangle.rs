//! The two triangular systems of a chunk, in blocks of rows: products do most of the work.

use std::ops::Range;

use nn::ternary_core::Real;
use nn::ternary_core::kernels::Store;
use nn::{Compute, Result};

use super::products::{add_scaled, matrix, multiply};

/// Rows of a block.
const BLOCK: usize = 16;

/// Row by row, with A the part of `square` below its diagonal: eᵢ −= Σ_j<i A_ij·uⱼ, then uᵢ = βᵢ·eᵢ. `residual` goes
/// from what e begins with to e; u is what is given back.
pub(super) fn solve<T: Compute>(
    square: &[T],
    write: &[T],
    width: usize,
    residual: &mut [T],
) -> Result<Vec<T>> {
    let count = write.len();
    let mut update = vec![T::ZERO; residual.len()];
    for start in (0..count).step_by(BLOCK) {
        let end = count.min(start + BLOCK);
        let (before, own) = update.split_at_mut(start * width);
        if start > 0 {
            let mut part = part(square, count, start..end, 0..start);
            part.iter_mut().for_each(|a| *a = -*a);
            let rows = &mut residual[start * width..end * width];
            multiply(matrix(&part, start)?, matrix(before, width)?, rows, Store::Add)?;
        }
        for i in start..end {
            let e = &mut residual[i * width..][..width];
            for j in start..i {
                add_scaled(e, -square[i * count + j], &own[(j - start) * width..][..width]);
            }
            let u = &mut own[(i - start) * width..][..width];
            u.iter_mut().zip(&*e).for_each(|(u, &e)| *u = write[i] * e);
        }
    }
    Ok(update)
}

/// From the last row: deᵢ = βᵢ·duᵢ, then duⱼ −= A_ij·deᵢ for j < i. `d_update` goes from what du begins with to du; −de is
/// written to `negative`.
pub(super) fn solve_transposed<T: Compute>(
    square: &[T],
    write: &[T],
    width: usize,
    d_update: &mut [T],
    negative: &mut [T],
) -> Result<()> {
    let count = write.len();
    for start in (0..count).step_by(BLOCK).rev() {
        let end = count.min(start + BLOCK);
        let own = &mut d_update[start * width..end * width];
        if end < count {
            let part = part(square, count, end..count, start..end);
            let after = matrix(&negative[end * width..], width)?;
            multiply(matrix(&part, end - start)?.transposed(), after, own, Store::Add)?;
        }
        for i in (start..end).rev() {
            let (before, own) = own.split_at_mut((i - start) * width);
            let negative = &mut negative[i * width..][..width];
            negative.iter_mut().zip(&*own).for_each(|(d, &du)| *d = -(write[i] * du));
            for (j, du) in (start..i).zip(before.chunks_mut(width)) {
                add_scaled(du, square[i * count + j], negative);
            }
        }
    }
    Ok(())
}

/// Some rows and columns of a square matrix.
fn part<T: Real>(square: &[T], size: usize, rows: Range<usize>, cols: Range<usize>) -> Vec<T> {
    let mut part = Vec::with_capacity(rows.len() * cols.len());
    for row in rows {
        part.extend_from_slice(&square[row * size..][cols.clone()]);
    }
    part
}
