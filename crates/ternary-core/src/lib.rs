//! What a ternary tensor *is*, at the speed of the machine.

mod error;
pub mod foreign;
pub mod kernels;
mod matrix;
pub mod noise;
pub mod packing;
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
