//! PEFT's directories: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! | module | holds |
//! |---|---|
//! | `config` | the configuration as it is read |
//! | `names` | the names of tensors |
//! | `written` | the configuration as it is written |

mod config;
mod names;
mod written;

use std::path::Path;

use lora_backward::{Adapters, Scaling};
use ternary_core::Real;

use self::config::Config;
use super::factors::{Factor, Layout, Pairs};
use super::files::{Files, Options};
use super::format::{self, Format};
use super::prefix::Prefix;
use crate::directory::Reader;
use crate::error::{Problem, Result};
use crate::safetensors::Dtype;

/// The key that every configuration of PEFT's has.
pub(super) const KIND: &str = "peft_type";
/// What PEFT wrote before: a program that makes the tensors when it is run.
const PICKLED: &str = "adapter_model.bin";

/// The format.
struct Peft;

/// Reads adapters. Numbers are F64, F32, F16 or BF16 in the file.
///
/// # Errors
/// [`Error::File`](crate::Error::File) with the first thing that is wrong in a file: a configuration that asks for what
/// is not known here or does not fit the tensors; tensors that belong to nothing, lack their partner, are of another
/// shape than the rank says, or not finite. [`Error::Io`](crate::Error::Io).
pub fn read<T: Real>(directory: &Path) -> Result<Adapters<T>> {
    format::read::<Peft, T>(directory)
}

/// Writes adapters to a directory, over those that may be there, in numbers of their own type. PEFT loads it.
///
/// Whenever this fails or is killed, the directory holds the old adapters or the new ones.
///
/// # Errors
/// [`Error::Unwritable`](crate::Error::Unwritable) for adapters that are none or not finite, and where some are
/// rank-stabilised and others are not; [`Error::Io`](crate::Error::Io).
pub fn write<T: Real>(directory: &Path, adapters: &Adapters<T>, options: &Options) -> Result<()> {
    format::write::<Peft, T>(directory, adapters, options)
}

/// [`read`] of files in memory.
///
/// # Errors
/// The first thing that is wrong.
pub fn from_bytes<T: Real>(files: &Files) -> Result<Adapters<T>, Problem> {
    format::from_bytes::<Peft, T>(files)
}

/// [`write()`] into memory.
///
/// # Errors
/// As [`write()`].
pub fn to_bytes<T: Real>(adapters: &Adapters<T>, options: &Options) -> Result<Files, Problem> {
    format::to_bytes::<Peft, T>(adapters, options)
}

impl Format for Peft {
    type Config = Config;
    const WEIGHTS: &'static str = "adapter_model.safetensors";
    const FRAMEWORK: &'static str = "pt";
    const LAYOUT: Layout = Layout::Same;

    fn check_directory(reader: &Reader) -> Result<()> {
        if reader.path(Self::WEIGHTS).exists() || !reader.path(PICKLED).exists() {
            return Ok(());
        }
        let expected = format!("{}; save it again with safe_serialization=True", Self::WEIGHTS);
        let problem = Problem::mismatch("weights", expected, "a pickle, which is a program");
        Err(problem.in_file(&reader.path(PICKLED)))
    }

    fn config(bytes: &[u8]) -> Result<Config, Problem> {
        Config::from_json(bytes)
    }

    fn dropout(config: &Config) -> f64 {
        config.dropout
    }

    fn pairs<'a>(names: impl Iterator<Item = &'a str>) -> Result<Pairs, Problem> {
        names::pairs(names)
    }

    fn said(config: &Config, pairs: &Pairs) -> Result<Vec<(usize, Scaling)>, Problem> {
        config.said(pairs)
    }

    fn name(prefix: Prefix, module: &str, factor: Factor) -> String {
        names::name(prefix, module, factor)
    }

    /// That of the numbers in memory.
    fn dtype<T: Real>() -> Dtype {
        if size_of::<T>() == Dtype::F64.bytes() { Dtype::F64 } else { Dtype::F32 }
    }

    fn written<T: Real>(adapters: &Adapters<T>, options: &Options) -> Result<Vec<u8>, Problem> {
        written::config(adapters, options)
    }

    fn check_same<T: Real>(written: &Adapters<T>, read: &Adapters<T>) -> Result<(), Problem> {
        if written == read {
            return Ok(());
        }
        let expected = "names that patterns tell apart";
        Err(Problem::mismatch("modules", expected, "names that are read back as others"))
    }
}

#[cfg(test)]
mod tests;
