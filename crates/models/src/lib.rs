//! One configurable decoder, built from the layers of `nn`.

mod config;
mod error;

pub use config::{DecoderConfig, FeedForwardKind};
pub use error::{Error, Result};
