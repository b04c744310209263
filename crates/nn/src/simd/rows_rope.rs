//! Rotations of pairs.

use super::rows::each_vector;
use super::{LANES, Lanes, simd_function};
use crate::ops::RotaryTable;
use ternary_core::mutant;

#[inline(always)]
unsafe fn rope_lanes<L: Lanes>(
    table: &RotaryTable<f32>,
    heads: usize,
    start: usize,
    x: &[f32],
    y: &mut [f32],
) {
    let (head_width, half) = (table.head_width(), table.pairs());
    let width = heads * head_width;
    assert!(x.len() == y.len());
    if width == 0 {
        return;
    }
    for (row, (x, y)) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).enumerate() {
        let (cosines, sines) = table.at(start + row);
        for (x, y) in x.chunks_exact(head_width).zip(y.chunks_exact_mut(head_width)) {
            let (low, rest) = x.split_at(half);
            let (y_low, y_rest) = y.split_at_mut(half);
            y_rest[half..].copy_from_slice(&rest[half..]);
            // SAFETY: the caller has the instruction set, and every slice has `half` numbers at least.
            unsafe {
                each_vector!(
                    L, half, (a = low, b = rest, c = cosines, s = sines), (),
                    a.mul(c).sub(b.mul(s)), b.mul(c).add(a.mul(s)) => y_low, y_rest
                );
            }
        }
    }
}

#[inline(always)]
unsafe fn rope_backward_lanes<L: Lanes>(
    table: &RotaryTable<f32>,
    heads: usize,
    start: usize,
    dy: &[f32],
    dx: &mut [f32],
) {
    let (head_width, half) = (table.head_width(), table.pairs());
    let width = heads * head_width;
    assert!(dx.len() == dy.len());
    if width == 0 {
        return;
    }
    for (row, (dy, dx)) in dy.chunks_exact(width).zip(dx.chunks_exact_mut(width)).enumerate() {
        let (cosines, sines) = table.at(start + row);
        for (dy, dx) in dy.chunks_exact(head_width).zip(dx.chunks_exact_mut(head_width)) {
            let (low, rest) = dy.split_at(half);
            let (x_low, x_rest) = dx.split_at_mut(half);
            x_rest[half..].copy_from_slice(&rest[half..]);
            // SAFETY: the caller has the instruction set, and every slice has `half` numbers at least.
            unsafe {
                each_vector!(
                    L, half,
                    (a = low, b = rest, c = cosines, s = sines),
                    (s = mutant!("rope/f32 turned forward", s, L::splat(0.0).sub(s))),
                    a.mul(c).add(b.mul(s)), b.mul(c).sub(a.mul(s))
                    => x_low, x_rest
                );
            }
        }
    }
}

simd_function! {
    /// [`rope`](crate::ops::rope).
    pub(crate) fn rope(
        table: &RotaryTable<f32>, heads: usize, start: usize, x: &[f32], y: &mut [f32],
    ) = rope_lanes;

    /// [`rope_backward`](crate::ops::rope_backward).
    pub(crate) fn rope_backward(
        table: &RotaryTable<f32>, heads: usize, start: usize, dy: &[f32], dx: &mut [f32],
    ) = rope_backward_lanes;
}
