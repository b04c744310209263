//! Data, optimisers and the training loop.

pub mod config;
