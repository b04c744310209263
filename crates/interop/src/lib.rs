//! Model directories on disk.

mod description;
mod error;
mod safetensors;
mod tensors;

pub use error::{Error, Problem, Result};
pub use tensors::{Tensor, Tensors};
