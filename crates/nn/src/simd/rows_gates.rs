//! Ops that work number by number: gates and activations.

use super::rows::each_vector;
use super::{LANES, Lanes, exp, simd_function};
use crate::ops::gelu::{CUBIC, LINEAR};
use ternary_core::mutant;

/// σ(x) = 1 / (1 + e⁻ˣ).
#[inline(always)]
unsafe fn sigmoid<L: Lanes>(x: L) -> L {
    // SAFETY: passed on from the caller.
    unsafe {
        let one = L::splat(1.0);
        one.div(one.add(exp(L::splat(0.0).sub(x))))
    }
}

/// 1 + x · (1 − s): what multiplies s = σ(x) in the derivative of x · σ(x).
#[inline(always)]
unsafe fn silu_factor<L: Lanes>(x: L, s: L) -> L {
    // SAFETY: passed on from the caller.
    unsafe { x.mul_add(L::splat(1.0).sub(s), L::splat(1.0)) }
}

#[inline(always)]
unsafe fn swiglu_lanes<L: Lanes>(gate: &[f32], up: &[f32], y: &mut [f32]) {
    let length = y.len();
    assert!(gate.len() == length && up.len() == length);
    // SAFETY: the caller has the instruction set, and every slice has this length.
    unsafe {
        each_vector!(L, length, (g = gate, u = up), (), g.mul(sigmoid(g)).mul(u) => y);
    }
}

#[inline(always)]
unsafe fn swiglu_backward_lanes<L: Lanes>(
    gate: &[f32],
    up: &[f32],
    dy: &[f32],
    d_gate: &mut [f32],
    d_up: &mut [f32],
) {
    let length = dy.len();
    assert!([gate.len(), up.len(), d_gate.len(), d_up.len()] == [length; 4]);
    // SAFETY: the caller has the instruction set, and every slice has this length.
    unsafe {
        each_vector!(
            L, length,
            (g = gate, u = up, d = dy),
            (s = sigmoid(g), factor = mutant!("swiglu/f32 factor dropped", silu_factor(g, s), g)),
            d.mul(u).mul(s).mul(factor),
            d.mul(mutant!("swiglu/f32 gate left out", g.mul(s), s))
            => d_gate, d_up
        );
    }
}

#[inline(always)]
unsafe fn gated_attention_lanes<L: Lanes>(x: &[f32], gate: &[f32], y: &mut [f32]) {
    let length = y.len();
    assert!(x.len() == length && gate.len() == length);
    // SAFETY: the caller has the instruction set, and every slice has this length.
    unsafe {
        each_vector!(L, length, (a = x, g = gate), (), a.mul(sigmoid(g)) => y);
    }
}

#[inline(always)]
unsafe fn gated_attention_backward_lanes<L: Lanes>(
    x: &[f32],
    gate: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    d_gate: &mut [f32],
) {
    let length = dy.len();
    assert!([x.len(), gate.len(), dx.len(), d_gate.len()] == [length; 4]);
    // SAFETY: the caller has the instruction set, and every slice has this length.
    unsafe {
        each_vector!(
            L, length,
            (a = x, g = gate, d = dy),
            (
                s = sigmoid(g),
                rest = mutant!("gated_attention/f32 σ for 1 − σ", L::splat(1.0).sub(s), s)
            ),
            d.mul(s),
            d.mul(a).mul(s).mul(rest)
            => dx, d_gate
        );
    }
}

#[inline(always)]
unsafe fn silu_lanes<L: Lanes>(x: &[f32], y: &mut [f32]) {
    let length = y.len();
    assert!(x.len() == length);
    // SAFETY: the caller has the instruction set, and both slices have this length.
    unsafe {
        each_vector!(L, length, (a = x), (), a.mul(sigmoid(a)) => y);
    }
}

#[inline(always)]
unsafe fn silu_backward_lanes<L: Lanes>(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let length = dy.len();
    assert!(x.len() == length && dx.len() == length);
    // SAFETY: the caller has the instruction set, and every slice has this length.
    unsafe {
        each_vector!(
            L, length,
            (a = x, d = dy),
            (s = sigmoid(a), factor = mutant!("silu/f32 factor dropped", silu_factor(a, s), a)),
            d.mul(s).mul(factor) => dx
        );
    }
}

/// x · (a + b·x²), the argument of the sigmoid in GELU.
#[inline(always)]
unsafe fn gelu_argument<L: Lanes>(x: L) -> L {
    // SAFETY: passed on from the caller.
    unsafe {
        let (a, b) = (L::splat(LINEAR as f32), L::splat(CUBIC as f32));
        x.mul(x.mul(x).mul_add(b, a))
    }
}

#[inline(always)]
unsafe fn gelu_lanes<L: Lanes>(x: &[f32], y: &mut [f32]) {
    let length = y.len();
    assert!(x.len() == length);
    // SAFETY: the caller has the instruction set, and both slices have this length.
    unsafe {
        each_vector!(L, length, (a = x), (), a.mul(sigmoid(gelu_argument(a))) => y);
    }
}

#[inline(always)]
unsafe fn gelu_backward_lanes<L: Lanes>(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let length = dy.len();
    assert!(x.len() == length && dx.len() == length);
    // SAFETY: the caller has the instruction set, and every slice has this length.
    unsafe {
        let (a, b) = (L::splat(LINEAR as f32), L::splat(3.0 * CUBIC as f32));
        each_vector!(
            L, length,
            (x = x, d = dy),
            (
                s = sigmoid(gelu_argument(x)),
                slope = mutant!("gelu/f32 slope of the linear term", x.mul(x).mul_add(b, a), a),
                rest = x.mul(L::splat(1.0).sub(s))
            ),
            d.mul(s).mul(rest.mul_add(slope, L::splat(1.0))) => dx
        );
    }
}

simd_function! {
    /// [`swiglu`](crate::ops::swiglu).
    pub(crate) fn swiglu(gate: &[f32], up: &[f32], y: &mut [f32]) = swiglu_lanes;

    /// [`swiglu_backward`](crate::ops::swiglu_backward).
    pub(crate) fn swiglu_backward(
        gate: &[f32], up: &[f32], dy: &[f32], d_gate: &mut [f32], d_up: &mut [f32],
    ) = swiglu_backward_lanes;

    /// [`gated_attention`](crate::ops::gated_attention).
    pub(crate) fn gated_attention(x: &[f32], gate: &[f32], y: &mut [f32]) = gated_attention_lanes;

    /// [`gated_attention_backward`](crate::ops::gated_attention_backward).
    pub(crate) fn gated_attention_backward(
        x: &[f32], gate: &[f32], dy: &[f32], dx: &mut [f32], d_gate: &mut [f32],
    ) = gated_attention_backward_lanes;

    /// [`silu`](crate::ops::silu).
    pub(crate) fn silu(x: &[f32], y: &mut [f32]) = silu_lanes;

    /// [`silu_backward`](crate::ops::silu_backward).
    pub(crate) fn silu_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) = silu_backward_lanes;

    /// [`gelu`](crate::ops::gelu).
    pub(crate) fn gelu(x: &[f32], y: &mut [f32]) = gelu_lanes;

    /// [`gelu_backward`](crate::ops::gelu_backward).
    pub(crate) fn gelu_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) = gelu_backward_lanes;
}
