//! What a model reads: the bytes of files, the tokens of a tokenizer, or stories from a generator.
//!
//! A [`Corpus`] is the text of a run. An example is a function of the seed and its number alone, so that no thread, no
//! size of a batch and no run that is resumed changes what is seen. What is held out is never trained on: the end of
//! the text, a text of its own, or stories of another stream.
//!
//! Without a tokenizer a token is a byte, and files follow each other with nothing in between. With one, the token
//! that ends a text stands after each file, if the tokenizer has such a token. `ternary eval` reads texts in the same way.

mod baseline;
mod content;
mod corpus;
mod example;
mod files;
mod samples;
mod sequence;
mod shuffle;
pub mod stories;
mod text;
mod tokens;
mod windows;

pub(crate) use content::read;
pub use corpus::{Corpus, CorpusRequest};
pub use example::Example;
pub(crate) use files::{files_of, would_read};
pub use samples::{BadLine, Long, SamplesRequest, check_sample};
pub(crate) use samples::{are_samples, check_unasked, samples_of};
pub use shuffle::TrainingWindows;
pub use stories::stories;
pub(crate) use text::FileText;
pub(crate) use tokens::TokenizerFile;
#[cfg(test)]
pub(crate) use tokens::tests::WORDS;
pub use windows::{Window, evaluation_windows, sliding_windows};

/// Tokens of a byte model.
pub const VOCABULARY: usize = 256;
