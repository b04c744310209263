//! Model directories on disk: `config.json` and `model.safetensors`, written and read bit for bit.
//!
//! ```
//! use models::{Decoder, DecoderConfig, Initial, Shadow, WeightKind};
//! use nn::{BitLinearOptions, ScaleSync, Sequences, Tape};
//!
//! let kind = WeightKind::Ternary {
//!     options: BitLinearOptions::default(),
//!     shadow: Shadow::F32,
//!     embedding: false,
//!     head: false,
//!     sync: ScaleSync::PerMatrix,
//! };
//! let config = DecoderConfig { layers: 1, ..DecoderConfig::tiny() };
//! let model = Decoder::build(config, &mut Initial { seed: 1, kind })?;
//!
//! let directory = tempfile::tempdir()?;
//! interop::save(&model, directory.path())?;
//! let read = interop::load(directory.path())?;
//!
//! let sequences = Sequences { count: 1, length: 3 };
//! let scores = |model: &Decoder<f32>| {
//!     model.scores(&[72, 101, 108], sequences, &mut Tape::inference())
//! };
//! assert_eq!(scores(&read)?, scores(&model)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The layout of the files is described in `docs/formats/model.md`. A reader believes nothing: what is
//! allocated is bounded by the bytes there are, and duplicates, gaps, overlaps, numbers that are not
//! finite, codes that mean nothing, and tensors that are missing, left over or of another shape are
//! errors that name the file and the tensor, with what was expected and found. A writer never destroys
//! the model that was there: it, or the new one, can be read whenever the writer is killed.
//!
//! | item | is |
//! |---|---|
//! | [`save`], [`load`] | a decoder to a directory and back |
//! | [`hugging_face`] | decoders out of directories that transformers wrote |
//! | [`open`], [`open_as`], [`Kind`] | a decoder out of a directory of either kind, its matrices as they are or in less memory |
//! | [`adapters`] | those of PEFT and MLX-LM, and which a model is to have |
//! | [`tokenizer`] | texts to tokens and back |
//! | [`safetensors`], [`manifest`] | named arrays one at a time, and the hashes of files, for directories of other kinds |
//! | [`Tensors`], [`Tensor`] | named tensors, real and ternary, and their file |
//! | [`Replacement`], [`sync_directory`] | files that are there whole or not at all |
//! | [`Error`], [`Problem`] | what can go wrong with files, and what can be wrong inside one |
//!
//! | module | holds |
//! |---|---|
//! | `safetensors` | the container: named arrays of bytes |
//! | `tensors`, `arrays` | the tensors of a model, and the arrays in the container that they are |
//! | `description` | what the arrays of a ternary matrix do not say themselves |
//! | `config` | the shape of a model under the names of Hugging Face |
//! | `kind` | whose layout a directory has |
//! | `ends` | the tokens that end a text |
//! | `directory`, `manifest` | files replaced all at once, with their lengths and hashes |
//! | `durable` | single files replaced, and names made to last |
//! | `decoder`, `packed_file` | all of it for a decoder, whose tensors are read one by one |
//! | `frozen` | matrices as they are, rounded or quantised |
//! | `pairs` | JSON objects whose names must be there once |
//! | `json`, `text` | JSON of which only a part is known, and files of text |

pub mod adapters;
mod arrays;
mod config;
mod decoder;
mod description;
mod directory;
mod durable;
mod ends;
mod error;
mod frozen;
pub mod hugging_face;
mod json;
mod kind;
pub mod manifest;
mod packed_file;
mod pairs;
pub mod safetensors;
mod tensors;
mod text;
pub mod tokenizer;

pub use decoder::{load, save, save_merged, save_with};
pub use durable::{Replacement, sync_directory};
pub use ends::end_tokens;
pub use error::{Error, Problem, Result};
pub use kind::{Kind, open, open_as, shape, weight_bytes};
pub use safetensors::MappedFile;
pub use tensors::{Tensor, Tensors};

pub use lora_backward;
pub use models;
