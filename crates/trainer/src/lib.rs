//! Data, optimisers and the training loop.

pub mod config;
pub mod data;
mod error;
mod randomness;
#[cfg(test)]
mod temporary;

pub use error::{Error, Result};
