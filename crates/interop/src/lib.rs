//! Model directories on disk.

mod description;
mod directory;
mod error;
mod manifest;
mod pairs;
mod safetensors;
mod tensors;

pub use error::{Error, Problem, Result};
pub use tensors::{Tensor, Tensors};
