//! Decoders as a whole.

mod adapters;
mod cache;
mod gradients;
mod levels;
mod objective;
mod shapes;
mod snapshot;
