//! What a model reads: bytes of a file or of the story generator, a held-out tail, and windows.
//!
//! A token is a byte. The text is cut once: the tail is held out and never trained on. A training step
//! sees windows at random places of the rest, drawn by the address of the example, so that the order
//! of the data depends on the seed alone; an evaluation sees fixed windows of the tail.

mod stories;
mod text;
mod windows;

pub use stories::stories;
pub use text::Text;
pub(crate) use text::read;
pub use windows::{TrainingWindows, evaluation_windows};

/// Tokens of a byte model.
pub const VOCABULARY: usize = 256;
