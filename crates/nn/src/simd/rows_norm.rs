//! RMSNorm, and sums over rows.

use super::rows::{each_vector, fold_vectors};
use super::{LANES, Lanes, simd_function};
use crate::ops::Gain;
use ternary_core::mutant;

#[inline(always)]
unsafe fn rms_norm_lanes<L: Lanes>(
    x: &[f32],
    gain: Gain<'_, f32>,
    epsilon: f32,
    y: &mut [f32],
    inverse_rms: &mut [f32],
) {
    let (gain, shift) = (gain.values(), gain.shift());
    let width = gain.len();
    assert!(x.len() == width * inverse_rms.len() && y.len() == x.len());
    if width == 0 {
        return;
    }
    let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(inverse_rms);
    for ((x, y), inverse) in rows {
        // SAFETY: the caller has the instruction set, and every slice has `width` numbers.
        unsafe {
            let zero = L::splat(0.0);
            let squares =
                fold_vectors!(L, width, sum = zero, (a = x), 0.0, a.mul_add(a, sum), add).sum();
            *inverse = 1.0 / (squares / width as f32 + epsilon).sqrt();
            let (r, shift) = (L::splat(*inverse), L::splat(shift));
            each_vector!(L, width, (a = x, g = gain), (), a.mul(r).mul(g.add(shift)) => y);
        }
    }
}

#[inline(always)]
unsafe fn rms_norm_backward_lanes<L: Lanes>(
    x: &[f32],
    gain: Gain<'_, f32>,
    inverse_rms: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    let (gain, shift) = (gain.values(), gain.shift());
    let width = gain.len();
    assert!(x.len() == width * inverse_rms.len() && dy.len() == x.len() && dx.len() == x.len());
    if width == 0 {
        return;
    }
    let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
    for (((x, dy), dx), &r) in rows.zip(inverse_rms) {
        // SAFETY: the caller has the instruction set, and every slice has `width` numbers.
        unsafe {
            let shift = L::splat(shift);
            let sum = fold_vectors!(
                L,
                width,
                sum = L::splat(0.0),
                (a = x, d = dy, g = gain),
                0.0,
                d.mul(g.add(shift)).mul_add(a, sum),
                add
            );
            // One factor at a time: r³ would leave the range of f32 long before the product does.
            let along = r * (r * (r * (sum.sum() / width as f32)));
            let along = L::splat(mutant!("rms_norm/f32 sign of the mean term", -along, along));
            let r = L::splat(r);
            each_vector!(
                L, width, (a = x, d = dy, g = gain), (),
                d.mul(g.add(shift)).mul_add(r, a.mul(along)) => dx
            );
        }
    }
}

/// Columns whose sums over a block of rows stay in the first cache.
const STRIP: usize = 256;

/// Rows that are summed before the sum is added to the total: both kinds of sum stay short.
pub(crate) const ROWS: usize = 32;

/// Adds to each sum its column of `rows`, or, with `scaled` = (x, 1/rms), of rows · x / rms.
#[inline(always)]
unsafe fn add_columns_lanes<L: Lanes>(
    rows: &[f32],
    scaled: Option<(&[f32], &[f32])>,
    width: usize,
    first: usize,
    sums: &mut [f32],
) {
    if width == 0 {
        return;
    }
    assert!(rows.len().is_multiple_of(width) && first + sums.len() <= width);
    let count = rows.len() / width;
    assert!(scaled.is_none_or(|(x, inverse)| x.len() == rows.len() && inverse.len() == count));
    for (strip, sums) in sums.chunks_mut(STRIP).enumerate() {
        let length = sums.len();
        for block in (0..count).step_by(ROWS) {
            let mut partial = [0.0; STRIP];
            let partial = &mut partial[..length];
            for row in block..count.min(block + ROWS) {
                let start = row * width + first + strip * STRIP;
                let d = &rows[start..start + length];
                // SAFETY: the caller has the instruction set, and every slice has `length` numbers.
                unsafe {
                    if let Some((x, inverse)) = scaled {
                        let (x, r) = (&x[start..start + length], L::splat(inverse[row]));
                        each_vector!(
                            L, length, (a = x, d = d, sum = partial), (),
                            d.mul_add(mutant!("rms_norm/f32 input not normed", a.mul(r), a), sum)
                            => partial
                        );
                    } else {
                        each_vector!(
                            L, length, (d = d, sum = partial), (),
                            d.add(mutant!("bias/f32 last row of a block", sum, L::splat(0.0)))
                            => partial
                        );
                    }
                }
            }
            // SAFETY: the caller has the instruction set, and both slices have `length` numbers.
            unsafe {
                each_vector!(L, length, (sum = sums, part = partial), (), sum.add(part) => sums);
            }
        }
    }
}

#[inline(always)]
unsafe fn column_sums_lanes<L: Lanes>(rows: &[f32], width: usize, first: usize, sums: &mut [f32]) {
    // SAFETY: passed on from the caller.
    unsafe { add_columns_lanes::<L>(rows, None, width, first, sums) }
}

#[inline(always)]
unsafe fn gain_gradient_lanes<L: Lanes>(
    x: &[f32],
    inverse_rms: &[f32],
    dy: &[f32],
    width: usize,
    first: usize,
    d_gain: &mut [f32],
) {
    // SAFETY: passed on from the caller.
    unsafe { add_columns_lanes::<L>(dy, Some((x, inverse_rms)), width, first, d_gain) }
}

simd_function! {
    /// [`rms_norm`](crate::ops::rms_norm).
    pub(crate) fn rms_norm(
        x: &[f32], gain: Gain<'_, f32>, epsilon: f32, y: &mut [f32], inverse_rms: &mut [f32],
    ) = rms_norm_lanes;

    /// The gradient of [`rms_norm`](crate::ops::rms_norm) by its input.
    pub(crate) fn rms_norm_backward(
        x: &[f32], gain: Gain<'_, f32>, inverse_rms: &[f32], dy: &[f32], dx: &mut [f32],
    ) = rms_norm_backward_lanes;

    /// The gradient of [`rms_norm`](crate::ops::rms_norm) by its gain, from column `first` on.
    pub(crate) fn gain_gradient(
        x: &[f32], inverse_rms: &[f32], dy: &[f32], width: usize, first: usize, d_gain: &mut [f32],
    ) = gain_gradient_lanes;

    /// Adds the sums over all rows of the columns from `first` on.
    pub(crate) fn column_sums(rows: &[f32], width: usize, first: usize, sums: &mut [f32])
        = column_sums_lanes;
}
