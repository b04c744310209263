//! Operations with a hand-written backward, each forward beside its gradient.

mod attention;

pub use attention::{AttentionKernel, AttentionShape, attention, attention_backward};
