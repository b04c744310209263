//! Model directories as Hugging Face's transformers writes them: `config.json` and safetensors files.
//!
//! | `model_type` | is |
//! |---|---|
//! | `llama`, `qwen2`, `qwen3` | dense decoders |
//! | `qwen3_5_text`, `qwen3_5` | hybrids of gated delta nets and attention; the latter with the text part in `text_config`, and the part that sees left out |
//! | `qwen3_next` | the same with fused projections and mixtures of experts |
//!
//! Numbers are F64, F32, F16 or BF16, and are converted to those of the decoder one tensor at a time: beside
//! the decoder nothing of its size is in memory. Files are mapped, so **they must not change while they
//! are read**: numbers may then be those of either version, and a file that became shorter ends the process, as
//! with every mapped file. To replace a model, write it elsewhere and rename.
//!
//! | module | holds |
//! |---|---|
//! | `config`, `layers`, `rotary` | `config.json` |
//! | `names` | the names of tensors here and in files |
//! | `shards` | one file, or several with an index |
//! | `source` | all of it as the weights of a decoder |

mod config;

mod layers;
mod names;
mod rotary;
mod shards;
mod source;

use std::path::Path;

use models::{Base, Decoder, DecoderConfig};
use nn::Compute;

use self::config::Config;
use self::shards::Shards;
use self::source::Source;
use crate::decoder::CONFIG;
use crate::error::{Problem, Result};
use crate::text::read_text;

/// Whether the weights of a decoder may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Weights {
    /// They stay as they are in the files: no gradients are computed for them.
    #[default]
    Frozen,
    /// They train.
    Trained,
}

/// What is done to the numbers of a tensor before they become weights: it is told the tensor's name, that of
/// a text model whatever the files call it (`model.layers.0.mlp.up_proj.weight`), and its shape, rows
/// first.
pub type Change<'a, T> = dyn FnMut(&str, &[usize], &mut [T]) + 'a;

/// The shape of a decoder, by its `config.json`.
pub(crate) fn shape(directory: &Path) -> Result<DecoderConfig> {
    Ok(config(directory)?.decoder)
}

fn config(directory: &Path) -> Result<Config> {
    let path = directory.join(CONFIG);
    let config = Config::from_json(&read_text(&path)?);
    config.map_err(|problem: Problem| problem.in_file(&path))
}

/// Reads a decoder with the numbers of its files.
///
/// # Errors
/// [`Error::File`](crate::Error::File) with the first thing that is wrong in a file: a configuration that is not known here or
/// contradicts itself or the tensors; tensors that are missing, left over, of another type or shape, in
/// another file than the index says, or not finite. [`Error::Io`](crate::Error::Io).
pub fn load<T: Compute>(directory: &Path, weights: Weights) -> Result<Decoder<T>> {
    load_changed(directory, weights, &mut |_, _, _| {})
}

/// Reads a decoder whose weights stay as they are, its matrices kept as `base` says: each is read, rounded or quantised
/// and dropped before the next.
///
/// # Errors
/// As [`load`], and for numbers that are beyond those of `bf16` where they are to be kept as that.
pub fn load_frozen<T: Compute>(directory: &Path, base: Base) -> Result<Decoder<T>> {
    load_with(directory, Weights::Frozen, base, &mut |_, _, _| {})
}

/// Reads a decoder, and changes the numbers of each tensor on the way, as when an adapter is merged: every
/// tensor of the decoder is seen once.
///
/// # Errors
/// As [`load`].
pub fn load_changed<T: Compute>(
    directory: &Path,
    weights: Weights,
    change: &mut Change<'_, T>,
) -> Result<Decoder<T>> {
    load_with(directory, weights, Base::F32, change)
}

fn load_with<T: Compute>(
    directory: &Path,
    weights: Weights,
    base: Base,
    change: &mut Change<'_, T>,
) -> Result<Decoder<T>> {
    let config = config(directory)?;
    let shards = Shards::open(directory)?;
    let mut source = Source::new(&shards, &config, (weights, base), change)?;
    let decoder = Decoder::build(config.decoder, &mut source);
    let decoder = decoder.map_err(|fault| source.locate(fault))?;
    source.finish()?;
    Ok(decoder)
}

/// The names of the files that the tensors of a directory are in.
pub(crate) fn weight_files(directory: &Path) -> Result<Vec<String>> {
    Ok(Shards::open(directory)?.files())
}
