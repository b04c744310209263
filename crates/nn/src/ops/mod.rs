//! Operations on rows, each beside its hand-written backward.
//!
//! | op | forward | parameters |
//! |---|---|---|
//! | [`attention`] | softmax(q·kᵀ)·v, causal, by heads | |
//! | [`balance_loss`], [`z_loss`] | how uneven a router is, and how large its scores are | |
//! | [`bias`] | y += b | b |
//! | [`cross_entropy`] | mean of −ln softmax(x)ₜ | |
//! | [`distillation`] | τ² · KL of a teacher's softmax from softmax(x / τ) | |
//! | [`embedding`] | row `token` of a table | the table |
//! | [`fake_quantize`] | int8 rows, as numbers | |
//! | [`gated_attention`] | x · σ(gate) | |
//! | [`gelu`] | x · Φ(x), Φ by its tanh form | |
//! | [`linear`] | x · Wᵀ | W |
//! | [`relu_squared`] | relu(x)² | |
//! | [`relu_squared_gate`] | relu(gate)² · up | |
//! | [`residual`] | x + y | |
//! | [`rms_norm`] | x / rms(x) · g, or · (1 + g) | g |
//! | [`rope`] | pairs turned by angles of the position | |
//! | [`silu`] | x · σ(x) | |
//! | [`softmax`] | eˣ / Σ eˣ | |
//! | [`swiglu`] | gate · σ(gate) · up | |
//! | [`top_k`] | the k likeliest experts of a row, and their weights | |
//!
//! An op takes slices of whole rows and writes slices. It checks their sizes and returns a typed
//! [`Error`](crate::Error) before it has written anything. A backward takes what its forward took (or
//! gave, where that is enough) and the gradient of the output, and **adds** to every gradient that it
//! gives; that of an op number by number or of a rotation **writes** instead, and that of [`rms_norm`] writes the gradient
//! of its input. A row's result has the same bits whatever the number of rows and threads; sums over rows run
//! in the order of the rows, in fixed blocks.
//!
//! The formulas are generic over `f32` and `f64`; [`Rowwise`] is where `f32` takes vector loops.

mod attention;
mod bias;
mod blocks;
#[cfg(test)]
mod checks;
mod cross_entropy;
mod distillation;
mod embedding;
mod fake_quantize;
mod gated_attention;
pub(crate) mod gelu;
mod linear;
mod pairwise;
mod relu_squared;
mod residual;
mod rms_norm;
mod rope;
mod router_losses;
mod rowwise;
mod silu;
mod softmax;
mod swiglu;
mod top_k;
pub(crate) mod vector;

pub use attention::{AttentionKernel, AttentionShape, attention, attention_backward};
pub use bias::{bias, bias_backward};
pub use cross_entropy::{
    IGNORED, Loss, count_targets, cross_entropy, cross_entropy_backward, cross_entropy_rows,
};
pub use distillation::{distillation, distillation_backward};
pub use embedding::{embedding, embedding_backward};
pub use fake_quantize::{fake_quantize, fake_quantize_backward};
pub use gated_attention::{gated_attention, gated_attention_backward};
pub use gelu::{gelu, gelu_backward};
pub use linear::{
    LinearShape, linear, linear_backward, linear_input_gradient, linear_weight_gradient,
};
pub use relu_squared::{
    relu_squared, relu_squared_backward, relu_squared_gate, relu_squared_gate_backward,
};
pub use residual::{residual, residual_backward};
pub use rms_norm::{Gain, rms_norm, rms_norm_backward};
pub use rope::{RotaryScaling, RotaryTable, rope, rope_backward};
pub use router_losses::{
    balance_loss, balance_loss_backward, routed_shares, z_loss, z_loss_backward,
};
pub use rowwise::Rowwise;
pub use silu::{silu, silu_backward};
pub use softmax::{softmax, softmax_backward};
pub use swiglu::{swiglu, swiglu_backward};
pub use top_k::{Routes, top_k, top_k_backward};
