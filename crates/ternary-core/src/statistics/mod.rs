//! What quantisation did to weights, in numbers.
//!
//! ```
//! use ternary_core::quantize::Absmean;
//! use ternary_core::statistics::{Fidelity, TritCounts, code_flips};
//! use ternary_core::{Granularity, Packing, TernaryMatrix};
//!
//! let weights = [0.9_f32, -0.1, 0.2, -1.2];
//! let rule = Absmean::new(Granularity::Tensor);
//! let matrix = TernaryMatrix::quantize(2, 2, &weights[..], &rule, Packing::TwoBit)?;
//! let counts = TritCounts::of(matrix.codes());
//! assert_eq!((counts.sparsity(), counts.effective_bits()), (0.5, 1.5));
//! let fidelity = Fidelity::between(&weights[..], &matrix)?;
//! assert!(fidelity.cosine > 0.95 && fidelity.snr_db > 6.0);
//! assert_eq!(code_flips(matrix.codes(), matrix.codes())?, 0);
//! # Ok::<(), ternary_core::Error>(())
//! ```

mod counts;
mod fidelity;
mod flips;

pub use counts::TritCounts;
pub use fidelity::Fidelity;
pub use flips::code_flips;

#[cfg(test)]
mod gaussian_table;
