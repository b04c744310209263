//! Products with ternary matrices, chosen once at run time for the processor.
//!
//! | call | computes | exact |
//! |---|---|---|
//! | [`Kernels::quantize_rows`] | f32 rows → int8 rows with a scale each | codes on every instruction set |
//! | [`Kernels::matmul_i8`] | y\[m\]\[n\] = s_m · Σ_g α_{n,g} Σ_k x\[m\]\[k\] · t\[n\]\[k\] | the same bits everywhere |
//! | [`Kernels::sums_i8`] | Σ_k x\[m\]\[k\] · t\[n\]\[k\] | integers |
//! | [`Kernels::sums_i16`], [`Kernels::sums_i16_transposed`] | the same for int16, and Σ_n x\[m\]\[n\] · t\[n\]\[k\] | integers |
//! | [`Kernels::matmul_f32`], [`Kernels::matmul_f32_transposed`] | the same for f32 and scaled weights | one order of summation |
//! | [`Kernels::matmul_dense`] | the same for f32 and f32, either of them transposed | one order of summation |
//! | [`Kernels::matmul_bf16`] | the same for f32 and bf16 | the bits of the product with the widened matrix |
//! | [`Kernels::requantize`] | latent weights → packed codes and scales | codes on every instruction set |
//!
//! A row's result depends on neither the number of rows nor on tiles or threads. Threads are those of
//! the rayon pool the call is made in; small products stay on the calling thread.
//!
//! How it works: a block of sixteen rows has a lane each (see [`crate::packing`]), so a 32-bit word
//! of activations, broadcast, meets a register of weights, and no sum ever crosses lanes.
//!
//! ```text
//!                activations x:  k₀ k₁ k₂ k₃ │ k₄ …           one word, to every lane
//!                                 ▼  ▼  ▼  ▼
//!  weights   row 0   (lane 0)    t₀ t₁ t₂ t₃ │ …    → sum of lane 0
//!            row 1   (lane 1)    t₀ t₁ t₂ t₃ │ …    → sum of lane 1
//!            …
//! ```
//!
//! A vector of activations streams lines from memory into the dot products. Several rows unpack a
//! panel of lines once, into the words of a dot product, and walk it tile by tile.

mod activations;
mod arch;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bytes;
mod dense;
mod dispatch;
mod entry;
mod floats;
mod gemv;
mod instantiate;
mod int8;
mod isa;
mod lanes;
mod operand;
#[cfg(test)]
mod oracle;
mod outputs;
mod pairs;
mod parallel;
mod portable;
mod product;
mod register_tile;
mod requantize;
mod scaling;
mod scratch;
mod source;
#[cfg(test)]
mod tests;
mod unpack;
mod walk;

pub use activations::QuantizedRows;
pub use dense::{DenseOperand, Store};
pub use entry::Kernels;
pub use isa::{ISA_VARIABLE, Isa};
