//! Softmax and cross-entropy.

use super::rows::{each_vector, fold_vectors};
use super::{LANES, Lanes, exp, simd_function};
use crate::ops::IGNORED;
use ternary_core::mutant;

/// The largest number of a row.
#[inline(always)]
unsafe fn row_maximum<L: Lanes>(x: &[f32]) -> f32 {
    let lowest = f32::NEG_INFINITY;
    // SAFETY: passed on from the caller.
    unsafe {
        let lowest_lanes = L::splat(lowest);
        fold_vectors!(L, x.len(), most = lowest_lanes, (a = x), lowest, most.max(a), max).largest()
    }
}

#[inline(always)]
unsafe fn softmax_lanes<L: Lanes>(x: &[f32], width: usize, y: &mut [f32]) {
    assert!(x.len() == y.len());
    if width == 0 {
        return;
    }
    for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
        // SAFETY: the caller has the instruction set, and both slices have `width` numbers.
        unsafe {
            let maximum = L::splat(row_maximum::<L>(x));
            each_vector!(L, width, (a = x), (), exp(a.sub(maximum)) => y);
            let sum =
                fold_vectors!(L, width, sum = L::splat(0.0), (e = y), 0.0, sum.add(e), add).sum();
            let inverse = L::splat(1.0 / sum);
            each_vector!(L, width, (e = y), (), e.mul(inverse) => y);
        }
    }
}

#[inline(always)]
unsafe fn softmax_backward_lanes<L: Lanes>(y: &[f32], dy: &[f32], width: usize, dx: &mut [f32]) {
    assert!(y.len() == dy.len() && dx.len() == dy.len());
    if width == 0 {
        return;
    }
    let rows = y.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
    for ((y, dy), dx) in rows {
        // SAFETY: the caller has the instruction set, and every slice has `width` numbers.
        unsafe {
            let zero = L::splat(0.0);
            let sum =
                fold_vectors!(L, width, sum = zero, (p = y, d = dy), 0.0, p.mul_add(d, sum), add);
            let mean = L::splat(mutant!("softmax/f32 mean missing", sum.sum(), 0.0));
            each_vector!(
                L, width, (p = y, d = dy, old = dx), (), p.mul_add(d.sub(mean), old) => dx
            );
        }
    }
}

/// Exponentials of a row that are kept between the sum and the gradient; of what is wider they are
/// computed twice.
const KEPT: usize = 1024;

#[inline(always)]
unsafe fn cross_entropy_lanes<L: Lanes>(
    logits: &[f32],
    targets: &[u32],
    smoothing: f32,
    weight: f32,
    losses: &mut [f64],
    mut d_logits: Option<&mut [f32]>,
) {
    if targets.is_empty() || logits.is_empty() {
        losses.fill(0.0);
        return;
    }
    let width = logits.len() / targets.len();
    assert!(logits.len() == width * targets.len() && losses.len() == targets.len());
    assert!(d_logits.as_ref().is_none_or(|d_logits| d_logits.len() == logits.len()));
    let mut kept = [0.0; KEPT];
    for (row, (&target, loss)) in targets.iter().zip(losses).enumerate() {
        if target == IGNORED {
            *loss = 0.0;
            continue;
        }
        let columns = row * width..(row + 1) * width;
        let x = &logits[columns.clone()];
        // SAFETY: the caller has the instruction set, and a strip is no longer than what is kept of it.
        unsafe {
            let zero = L::splat(0.0);
            let maximum = row_maximum::<L>(x);
            let top = L::splat(maximum);
            let mut sum = 0.0;
            for x in x.chunks(KEPT) {
                let length = x.len();
                each_vector!(L, length, (a = x), (), exp(a.sub(top)) => kept);
                // 0 · a is NaN where a logit is not finite.
                sum += fold_vectors!(
                    L,
                    length,
                    sum = zero,
                    (e = kept, a = x),
                    0.0,
                    a.mul_add(zero, sum.add(e)),
                    add
                )
                .sum();
            }
            *loss = f64::from(sum).ln() + (f64::from(maximum) - f64::from(x[target as usize]));

            let Some(d_logits) = d_logits.as_deref_mut() else { continue };
            let d = &mut d_logits[columns];
            let scale = L::splat(mutant!("cross_entropy/f32 doubled", 1.0, 2.0) * (weight / sum));
            let share = -(smoothing * weight) / width as f32;
            let share = L::splat(mutant!("cross_entropy/f32 smoothing dropped", share, 0.0));
            for (x, d) in x.chunks(KEPT).zip(d.chunks_mut(KEPT)) {
                let length = x.len();
                if width > KEPT {
                    each_vector!(L, length, (a = x), (), exp(a.sub(top)) => kept);
                }
                each_vector!(
                    L, length, (e = kept, old = d), (), old.add(e.mul_add(scale, share)) => d
                );
            }
            d[target as usize] -= weight * (1.0 - smoothing);
        }
    }
}

simd_function! {
    /// [`softmax`](crate::ops::softmax).
    pub(crate) fn softmax(x: &[f32], width: usize, y: &mut [f32]) = softmax_lanes;

    /// [`softmax_backward`](crate::ops::softmax_backward).
    pub(crate) fn softmax_backward(y: &[f32], dy: &[f32], width: usize, dx: &mut [f32])
        = softmax_backward_lanes;

    /// [`cross_entropy_rows`](crate::ops::cross_entropy_rows).
    pub(crate) fn cross_entropy(
        logits: &[f32], targets: &[u32], smoothing: f32, weight: f32, losses: &mut [f64],
        d_logits: Option<&mut [f32]>,
    ) = cross_entropy_lanes;
}
