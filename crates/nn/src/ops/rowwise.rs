//! [`Rowwise`]: the loops over rows that `f32` runs in vectors.

use super::{
    Gain, RotaryTable, bias, cross_entropy, gated_attention, gelu, rms_norm, rope, silu, softmax,
    swiglu,
};
use crate::simd::{rows_gates, rows_norm, rows_rope, rows_softmax};
use ternary_core::Real;

/// The loops of the ops over whole rows. The defaults are the plain formulas, which `f64` uses; `f32`
/// runs the same formulas in vectors of sixteen numbers.
///
/// The ops call these once sizes are checked; see there for what each computes, and
/// whether it writes its outputs or adds to them.
///
/// # Panics
/// Each may panic where its slices do not fit each other.
pub trait Rowwise: Real {
    /// [`rms_norm`](super::rms_norm()).
    fn rms_norm_rows(
        x: &[Self],
        gain: Gain<'_, Self>,
        epsilon: Self,
        y: &mut [Self],
        inverse_rms: &mut [Self],
    ) {
        rms_norm::rows(x, gain, epsilon, y, inverse_rms);
    }

    /// Writes the gradient of [`rms_norm`](super::rms_norm()) by its input.
    fn rms_norm_input_gradient(
        x: &[Self],
        gain: Gain<'_, Self>,
        inverse_rms: &[Self],
        dy: &[Self],
        dx: &mut [Self],
    ) {
        rms_norm::input_gradient(x, gain, inverse_rms, dy, dx);
    }

    /// Adds the gradient of [`rms_norm`](super::rms_norm()) by its gain, in the columns from `first` on.
    fn rms_norm_gain_gradient(
        x: &[Self],
        inverse_rms: &[Self],
        dy: &[Self],
        width: usize,
        first: usize,
        d_gain: &mut [Self],
    ) {
        rms_norm::gain_gradient(x, inverse_rms, dy, width, first, d_gain);
    }

    /// Adds to `sums` the sums over all rows of the columns from `first` on.
    fn add_column_sums(rows: &[Self], width: usize, first: usize, sums: &mut [Self]) {
        bias::add_column_sums(rows, width, first, sums);
    }

    /// [`rope`](super::rope()).
    fn rope_rows(
        table: &RotaryTable<Self>,
        heads: usize,
        start: usize,
        x: &[Self],
        y: &mut [Self],
    ) {
        rope::rows(table, heads, start, x, y);
    }

    /// [`rope_backward`](super::rope_backward).
    fn rope_rows_backward(
        table: &RotaryTable<Self>,
        heads: usize,
        start: usize,
        dy: &[Self],
        dx: &mut [Self],
    ) {
        rope::rows_backward(table, heads, start, dy, dx);
    }

    /// [`softmax`](super::softmax()).
    fn softmax_rows(x: &[Self], width: usize, y: &mut [Self]) {
        softmax::rows(x, width, y);
    }

    /// [`softmax_backward`](super::softmax_backward).
    fn softmax_rows_backward(y: &[Self], dy: &[Self], width: usize, dx: &mut [Self]) {
        softmax::rows_backward(y, dy, width, dx);
    }

    /// [`cross_entropy_rows`](super::cross_entropy_rows).
    fn cross_entropy_block(
        logits: &[Self],
        targets: &[u32],
        smoothing: Self,
        weight: Self,
        losses: &mut [f64],
        d_logits: Option<&mut [Self]>,
    ) {
        cross_entropy::block(logits, targets, smoothing, weight, losses, d_logits);
    }

    /// [`swiglu`](super::swiglu()).
    fn swiglu_numbers(gate: &[Self], up: &[Self], y: &mut [Self]) {
        swiglu::plain(gate, up, y);
    }

    /// [`swiglu_backward`](super::swiglu_backward).
    fn swiglu_numbers_backward(
        gate: &[Self],
        up: &[Self],
        dy: &[Self],
        d_gate: &mut [Self],
        d_up: &mut [Self],
    ) {
        swiglu::plain_backward(gate, up, dy, d_gate, d_up);
    }

    /// [`silu`](super::silu()).
    fn silu_numbers(x: &[Self], y: &mut [Self]) {
        silu::plain(x, y);
    }

    /// [`silu_backward`](super::silu_backward).
    fn silu_numbers_backward(x: &[Self], dy: &[Self], dx: &mut [Self]) {
        silu::plain_backward(x, dy, dx);
    }

    /// [`gelu`](super::gelu()).
    fn gelu_numbers(x: &[Self], y: &mut [Self]) {
        gelu::plain(x, y);
    }

    /// [`gelu_backward`](super::gelu_backward).
    fn gelu_numbers_backward(x: &[Self], dy: &[Self], dx: &mut [Self]) {
        gelu::plain_backward(x, dy, dx);
    }

    /// [`gated_attention`](super::gated_attention()).
    fn gated_attention_numbers(x: &[Self], gate: &[Self], y: &mut [Self]) {
        gated_attention::plain(x, gate, y);
    }

    /// [`gated_attention_backward`](super::gated_attention_backward).
    fn gated_attention_numbers_backward(
        x: &[Self],
        gate: &[Self],
        dy: &[Self],
        dx: &mut [Self],
        d_gate: &mut [Self],
    ) {
        gated_attention::plain_backward(x, gate, dy, dx, d_gate);
    }
}

impl Rowwise for f64 {}

/// Each function forwarded to the vector loop of the same arguments.
macro_rules! in_vectors {
    ($($name:ident($($argument:ident: $kind:ty),*) = $vector:path;)*) => {$(
        fn $name($($argument: $kind),*) {
            $vector($($argument),*);
        }
    )*};
}

impl Rowwise for f32 {
    in_vectors! {
        rms_norm_rows(
            x: &[f32], gain: Gain<'_, f32>, epsilon: f32, y: &mut [f32], inverse_rms: &mut [f32]
        ) = rows_norm::rms_norm;
        rms_norm_input_gradient(
            x: &[f32], gain: Gain<'_, f32>, inverse_rms: &[f32], dy: &[f32], dx: &mut [f32]
        ) = rows_norm::rms_norm_backward;
        rms_norm_gain_gradient(
            x: &[f32], inverse_rms: &[f32], dy: &[f32], width: usize, first: usize, d_gain: &mut [f32]
        ) = rows_norm::gain_gradient;
        add_column_sums(rows: &[f32], width: usize, first: usize, sums: &mut [f32])
            = rows_norm::column_sums;
        rope_rows(table: &RotaryTable<f32>, heads: usize, start: usize, x: &[f32], y: &mut [f32])
            = rows_rope::rope;
        rope_rows_backward(
            table: &RotaryTable<f32>, heads: usize, start: usize, dy: &[f32], dx: &mut [f32]
        ) = rows_rope::rope_backward;
        softmax_rows(x: &[f32], width: usize, y: &mut [f32]) = rows_softmax::softmax;
        softmax_rows_backward(y: &[f32], dy: &[f32], width: usize, dx: &mut [f32])
            = rows_softmax::softmax_backward;
        cross_entropy_block(
            logits: &[f32], targets: &[u32], smoothing: f32, weight: f32, losses: &mut [f64],
            d_logits: Option<&mut [f32]>
        ) = rows_softmax::cross_entropy;
        swiglu_numbers(gate: &[f32], up: &[f32], y: &mut [f32]) = rows_gates::swiglu;
        swiglu_numbers_backward(
            gate: &[f32], up: &[f32], dy: &[f32], d_gate: &mut [f32], d_up: &mut [f32]
        ) = rows_gates::swiglu_backward;
        silu_numbers(x: &[f32], y: &mut [f32]) = rows_gates::silu;
        silu_numbers_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) = rows_gates::silu_backward;
        gelu_numbers(x: &[f32], y: &mut [f32]) = rows_gates::gelu;
        gelu_numbers_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) = rows_gates::gelu_backward;
        gated_attention_numbers(x: &[f32], gate: &[f32], y: &mut [f32])
            = rows_gates::gated_attention;
        gated_attention_numbers_backward(
            x: &[f32], gate: &[f32], dy: &[f32], dx: &mut [f32], d_gate: &mut [f32]
        ) = rows_gates::gated_attention_backward;
    }
}
