//! Layers with an explicit forward and backward.

mod error;
pub mod ops;
mod simd;

pub use error::{Error, Result};
