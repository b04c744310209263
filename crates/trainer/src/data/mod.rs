//! What a model reads: the bytes of files, the tokens of a tokenizer, or stories from a generator.
//!
//! A [`Corpus`] is the text of a run. An example is a function of the seed and its number alone, so that no thread, no
//! size of a batch and no run that is resumed changes what is seen. What is held out is never trained on: the end of
//! the text, a text of its own, or stories of another stream.
//!
//! Without a tokenizer a token is a byte, and files follow each other with nothing in between. With one, the token
//! that ends a text stands after each file, if the tokenizer has such a token.

mod baseline;
mod corpus;
mod files;
mod sequence;
mod shuffle;
pub mod stories;
mod tokens;
mod windows;

pub use corpus::{Corpus, CorpusRequest};
pub(crate) use sequence::read;
pub use shuffle::TrainingWindows;
pub use stories::stories;
pub use windows::{Window, evaluation_windows, sliding_windows};

/// Tokens of a byte model.
pub const VOCABULARY: usize = 256;
