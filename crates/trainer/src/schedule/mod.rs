//! The learning rate as a function of the step.

mod cosine;

pub use cosine::Cosine;
