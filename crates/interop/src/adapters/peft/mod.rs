//! PEFT's directories: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! | module | holds |
//! |---|---|
//! | `config` | the configuration as it is read |
//! | `names` | the names of tensors |
//! | `written` | both files as they are written |

mod config;
mod names;
mod written;

use std::path::Path;

use lora_backward::Adapters;
use ternary_core::Real;

use self::config::Config;
use super::factors::Layout;
use super::files::{CONFIG, Fault, Files, Options, locate};
use crate::directory::Reader;
use crate::error::{Error, Problem, Result};
use crate::safetensors::Container;

/// The key that every configuration of PEFT's has.
pub(super) const KIND: &str = "peft_type";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT wrote before: a program that makes the tensors when it is run.
const PICKLED: &str = "adapter_model.bin";

/// Reads adapters. Numbers are F64, F32, F16 or BF16 in the file.
///
/// # Errors
/// [`Error::File`] with the first thing that is wrong in a file: a configuration that asks for what is not known
/// here or does not fit the tensors; tensors that belong to nothing, lack their partner, are of another shape than the
/// rank says, or not finite. [`Error::Io`].
pub fn read<T: Real>(directory: &Path) -> Result<Adapters<T>> {
    let reader = Reader::open(directory)?;
    if !reader.path(WEIGHTS).exists() && reader.path(PICKLED).exists() {
        let expected = format!("{WEIGHTS}; save it again with safe_serialization=True");
        let problem = Problem::mismatch("weights", expected, "a pickle, which is a program");
        return Err(problem.in_file(&reader.path(PICKLED)));
    }
    let files = Files::read(&reader, WEIGHTS)?;
    locate(directory, WEIGHTS)(parse(&files))
}

/// Writes adapters to a directory, over those that may be there, in numbers of their own type. PEFT loads it.
///
/// Whenever this fails or is killed, the directory holds the old adapters or the new ones.
///
/// # Errors
/// [`Error::Unwritable`] for adapters that are none or not finite, and where some are rank-stabilised and others are
/// not; [`Error::Io`].
pub fn write<T: Real>(directory: &Path, adapters: &Adapters<T>, options: &Options) -> Result<()> {
    let files = to_bytes(adapters, options).map_err(Error::Unwritable)?;
    files.write(directory, WEIGHTS)
}

/// [`read`] of files in memory.
///
/// # Errors
/// The first thing that is wrong.
pub fn from_bytes<T: Real>(files: &Files) -> Result<Adapters<T>, Problem> {
    parse(files).map_err(Fault::problem)
}

/// [`write()`] into memory.
///
/// # Errors
/// As [`write()`].
pub fn to_bytes<T: Real>(adapters: &Adapters<T>, options: &Options) -> Result<Files, Problem> {
    let files = written::files(adapters, options)?;
    if from_bytes::<T>(&files)? == *adapters {
        return Ok(files);
    }
    let expected = "names that patterns tell apart";
    Err(Problem::mismatch("modules", expected, "names that are read back as others"))
}

fn parse<T: Real>(files: &Files) -> Result<Adapters<T>, Fault> {
    let config = Config::from_json(&files.config).map_err(Fault::Config)?;
    let container = Container::new(&files.weights).map_err(Fault::Weights)?;
    let names = container.arrays.keys().map(String::as_str);
    let pairs = names::pairs(names).map_err(Fault::Weights)?;
    config.check_targets(&pairs).map_err(Fault::Config)?;
    let found = config.ranks.of(&pairs.paths()).map_err(Fault::Config)?;
    let mut adapters = Adapters::default();
    adapters.dropout = config.dropout;
    for ((module, pair), said) in pairs.0.into_iter().zip(found.modules) {
        let adapter =
            pair.read(&module, &container, Layout::Same, said, CONFIG).map_err(Fault::Weights)?;
        adapters.insert(module, adapter).map_err(|error| Fault::Weights(error.into()))?;
    }
    Ok(adapters)
}

#[cfg(test)]
mod tests;
