//! What a ternary tensor *is*, at the speed of the machine.

mod error;
pub mod foreign;
pub mod kernels;
mod matrix;
#[cfg(test)]
mod noise_for_tests;
pub mod packing;
pub mod quantize;
mod scales;
mod weights;

pub use error::{Error, Result};
pub use matrix::TernaryMatrix;
pub use packing::{Layout, PackedTrits, Packing};
pub use quantize::{Levels, Quantizer};
pub use scales::{Granularity, Scales};
pub use weights::Weights;
