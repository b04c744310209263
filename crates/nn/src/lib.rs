//! Layers with an explicit forward and backward.

mod error;
mod simd;

pub use error::{Error, Result};
