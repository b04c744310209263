//! What a ternary tensor *is*, at the speed of the machine.
//!
//! A ternary weight is a trit, −1, 0 or +1, times a scale. A [`Quantizer`] turns real weights into
//! both, a [`TernaryMatrix`] holds them packed, two bits or 1.6 bits each, and
//! [`kernels`] multiply with it: int8 rows into exact integers, or `f32` rows.
//!
//! ```
//! use ternary_core::kernels::{Kernels, QuantizedRows};
//! use ternary_core::quantize::Absmean;
//! use ternary_core::{Granularity, Packing, TernaryMatrix};
//!
//! // A layer of two outputs and three inputs, a row for each output.
//! let weights = [0.9_f32, -0.1, -1.1, 0.2, 1.0, 0.6];
//! let rule = Absmean::new(Granularity::Tensor);
//! let matrix = TernaryMatrix::quantize(2, 3, &weights[..], &rule, Packing::TwoBit)?;
//! assert_eq!(matrix.to_trits(), [1, 0, -1, 0, 1, 1]);
//! assert_eq!(matrix.scales().positive(), [0.65]);
//!
//! let kernels = Kernels::detect()?;
//! let mut x = QuantizedRows::new();
//! kernels.quantize_rows(&[127.0, 2.0, 3.0], 1, &mut x)?;
//! let mut y = [0.0; 2];
//! kernels.matmul_i8(&x, &matrix, &mut y)?;
//! assert_eq!(y, [0.65 * 124.0, 0.65 * 5.0]);
//! # Ok::<(), ternary_core::Error>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | here | [`TernaryMatrix`], its [`PackedTrits`] and [`Scales`], latent [`Weights`], [`Error`], [`Real`] |
//! | [`packing`] | the two packed forms and where a trit lives in them |
//! | [`quantize`] | the rules: absmean, absmedian, TWN, fixed threshold, optimal, SEQ, LSQ, TTQ |
//! | [`kernels`] | products and requantisation, chosen at run time for the processor |
//! | [`ttq`] | layers and networks under trained ternary quantisation |
//! | [`statistics`] | sparsity, entropy, fidelity to the latent weights, codes that flipped |
//! | [`foreign`] | the bytes that other runtimes keep ternary weights in |
//! | [`noise`] | random numbers that are functions of seed, parameter, step and index |
//! | [`profile`] | where time goes; nothing in a normal build |
//! | [`mutants`] | wrong formulas planted for the gradient check; nothing in a normal build |

mod error;
pub mod foreign;
pub mod kernels;
mod matrix;
pub mod mutants;
pub mod noise;
pub mod packing;
pub mod profile;
pub mod quantize;
mod real;
mod scales;
pub mod statistics;
pub mod ttq;
mod weights;

pub use error::{Error, Result};
pub use matrix::TernaryMatrix;
pub use packing::{Layout, PackedTrits, Packing};
pub use quantize::{Levels, Quantizer, Rule};
pub use real::Real;
pub use scales::{Granularity, Scales};
pub use weights::Weights;
