//! Causal attention with grouped heads.
//!
//! For each head and query i, with Sᵢⱼ = scale · ⟨qᵢ, kⱼ⟩ over the keys j that query i sees:
//!
//! | | |
//! |---|---|
//! | Lᵢ = ln Σⱼ exp Sᵢⱼ | the log-sum, saved for the backward |
//! | Pᵢⱼ = exp(Sᵢⱼ − Lᵢ) | the softmax |
//! | outᵢ = Σⱼ Pᵢⱼ vⱼ | |
//!
//! No matrix of queries × keys is kept: the forward walks the keys with a running maximum and sum
//! (Milakov & Gimelshein 2018; Dao et al. 2022), the backward computes P again from the log-sums.
//!
//! The fast code for `f32` works on [blocks] of queries and keys. Each score is one chain of
//! sums over the width, and each output one chain over the keys, from position 0 on in blocks of fixed
//! size; so a query's result has the same bits whatever other queries are in the call, and on every
//! number of threads. That holds for finite values: a value that is not finite may reach the outputs
//! of up to eleven queries before it as NaN. A [single] query of a sequence, as decoding has it, takes a path of its own
//! over the same chains, which reads keys and values where they lie.

mod backward;
mod blocks;
mod forward;
mod pair;
mod plain;
mod products;
mod scratch;
mod shape;
mod single;
#[cfg(test)]
mod tests;

pub use shape::AttentionShape;

use shape::{InputGradients, Inputs, Saved};
use ternary_core::Real;

use crate::error::Result;
use ternary_core::profile::span;

/// Attention in a floating type: the fast code for `f32`, plain code for `f64`.
pub trait AttentionKernel: Real {
    /// Sets outputs and log-sums.
    #[doc(hidden)]
    fn forward(inputs: Inputs<'_, Self>, out: &mut [Self], log_sums: &mut [Self]);

    /// Adds to the gradients.
    #[doc(hidden)]
    fn backward(
        inputs: Inputs<'_, Self>,
        saved: Saved<'_, Self>,
        gradients: InputGradients<'_, Self>,
    );
}

impl AttentionKernel for f32 {
    fn forward(inputs: Inputs<'_, f32>, out: &mut [f32], log_sums: &mut [f32]) {
        if inputs.shape.queries == 1 {
            single::forward(inputs, out, log_sums);
        } else {
            forward::forward(inputs, out, log_sums);
        }
    }

    fn backward(inputs: Inputs<'_, f32>, saved: Saved<'_, f32>, d: InputGradients<'_, f32>) {
        backward::backward(inputs, saved, d);
    }
}

impl AttentionKernel for f64 {
    fn forward(inputs: Inputs<'_, f64>, out: &mut [f64], log_sums: &mut [f64]) {
        plain::forward(inputs, out, log_sums);
    }

    fn backward(inputs: Inputs<'_, f64>, saved: Saved<'_, f64>, d: InputGradients<'_, f64>) {
        plain::backward(inputs, saved, d);
    }
}

/// out = softmax(scale · q kᵀ, causal) · v for each head, and the log-sums that the backward needs.
///
/// `log_sums` are [sequences · queries, query_heads]. Working memory is kept by the threads, so that a
/// steady state allocates nothing.
///
/// # Errors
/// When the shape contradicts itself or an array does not have its size.
pub fn attention<T: AttentionKernel>(
    shape: AttentionShape,
    scale: T,
    [q, k, v]: [&[T]; 3],
    out: &mut [T],
    log_sums: &mut [T],
) -> Result<()> {
    let _span = span("attention forward");
    let (inputs, lengths) = Inputs::new(shape, scale, [q, k, v])?;
    lengths.check_queries("outputs", out)?;
    lengths.check_log_sums(log_sums)?;
    T::forward(inputs, out, log_sums);
    Ok(())
}

/// The gradients of [`attention`], added to `dq`, `dk` and `dv`. With Dᵢ = ⟨d_outᵢ, outᵢ⟩ and
/// dSᵢⱼ = Pᵢⱼ · (⟨d_outᵢ, vⱼ⟩ − Dᵢ):
///
/// dqᵢ += scale · Σⱼ dSᵢⱼ kⱼ,  dkⱼ += scale · Σᵢ dSᵢⱼ qᵢ,  dvⱼ += Σᵢ Pᵢⱼ d_outᵢ
///
/// where the sums of dk and dv also run over the query heads that read the key head.
///
/// # Errors
/// When the shape contradicts itself or an array does not have its size.
pub fn attention_backward<T: AttentionKernel>(
    shape: AttentionShape,
    scale: T,
    [q, k, v]: [&[T]; 3],
    [out, log_sums, d_out]: [&[T]; 3],
    [dq, dk, dv]: [&mut [T]; 3],
) -> Result<()> {
    let _span = span("attention backward");
    let (inputs, lengths) = Inputs::new(shape, scale, [q, k, v])?;
    lengths.check_queries("outputs", out)?;
    lengths.check_log_sums(log_sums)?;
    lengths.check_queries("gradient of the outputs", d_out)?;
    lengths.check_queries("gradient of the queries", dq)?;
    lengths.check_keys("gradient of the keys", dk)?;
    lengths.check_keys("gradient of the values", dv)?;
    T::backward(inputs, Saved { out, log_sums, d_out }, InputGradients { dq, dk, dv });
    Ok(())
}
