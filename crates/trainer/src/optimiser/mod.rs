//! How gradients change weights. An optimiser sees named slices and nothing else.

mod adamw;
mod clip;
mod groups;

pub use adamw::{AdamW, AdamWOptions, TensorStep};
pub use clip::clip_factor;
pub use groups::{LevelRates, is_decayed};
