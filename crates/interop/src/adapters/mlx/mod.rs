//! MLX-LM's directories: `adapter_config.json`, which is what it was trained with, and `adapters.safetensors`.
//!
//! | module | holds |
//! |---|---|
//! | `config` | the configuration, read and written |
//! | `names` | the names of tensors |

mod config;
mod names;

use std::path::Path;

use lora_backward::{Adapters, Scaling};
use ternary_core::Real;

use self::config::Config;
use super::factors::{Factor, Layout, Pairs};
use super::files::{Files, Options};
use super::format::{self, Format};
use super::prefix::Prefix;
use crate::error::{Problem, Result};
use crate::safetensors::Dtype;

/// The keys that tell such a configuration.
pub(super) const PARAMETERS: &str = "lora_parameters";
pub(super) const KIND: &str = "fine_tune_type";

/// The format.
struct Mlx;

/// Reads adapters. Numbers are F32, F16 or BF16 in the file, or F64.
///
/// # Errors
/// [`Error::File`](crate::Error::File) with the first thing that is wrong in a file: a configuration that asks for what
/// is not known here or does not fit the tensors; tensors that belong to nothing, lack their partner, are of another
/// shape than the rank says, or not finite. [`Error::Io`](crate::Error::Io).
pub fn read<T: Real>(directory: &Path) -> Result<Adapters<T>> {
    format::read::<Mlx, T>(directory)
}

/// Writes adapters to a directory, over those that may be there, in F32.
///
/// Whenever this fails or is killed, the directory holds the old adapters or the new ones.
///
/// # Errors
/// [`Error::Unwritable`](crate::Error::Unwritable) for adapters that are none or not finite, that differ in rank or
/// factor, or whose numbers F32 does not hold; [`Error::Io`](crate::Error::Io).
pub fn write<T: Real>(directory: &Path, adapters: &Adapters<T>, options: &Options) -> Result<()> {
    format::write::<Mlx, T>(directory, adapters, options)
}

/// [`read`] of files in memory.
///
/// # Errors
/// The first thing that is wrong.
pub fn from_bytes<T: Real>(files: &Files) -> Result<Adapters<T>, Problem> {
    format::from_bytes::<Mlx, T>(files)
}

/// [`write()`] into memory.
///
/// # Errors
/// As [`write()`].
pub fn to_bytes<T: Real>(adapters: &Adapters<T>, options: &Options) -> Result<Files, Problem> {
    format::to_bytes::<Mlx, T>(adapters, options)
}

impl Format for Mlx {
    type Config = Config;
    const WEIGHTS: &'static str = "adapters.safetensors";
    const FRAMEWORK: &'static str = "mlx";
    const LAYOUT: Layout = Layout::Transposed;

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
        config.check_covers(pairs)?;
        let said = (config.rank, Scaling::multiplier(config.scale, config.rank));
        Ok(vec![said; pairs.0.len()])
    }

    fn name(prefix: Prefix, module: &str, factor: Factor) -> String {
        names::name(prefix, module, factor)
    }

    fn dtype<T: Real>() -> Dtype {
        Dtype::F32
    }

    fn written<T: Real>(adapters: &Adapters<T>, options: &Options) -> Result<Vec<u8>, Problem> {
        Config::of(adapters, options)?.to_json(options)
    }

    /// The factor may be another by its last bit: α/√r has no place in the file.
    fn check_same<T: Real>(written: &Adapters<T>, read: &Adapters<T>) -> Result<(), Problem> {
        for ((module, adapter), (other, read)) in written.iter().zip(read.iter()) {
            let what = format!("adapter of {module}");
            let (factor, of_read) = (adapter.factor(), read.factor());
            let is_same_factor = (factor - of_read).abs() <= 2.0 * f64::EPSILON * factor.abs();
            if module != other || !is_same_factor {
                let expected = "a name and a factor that MLX-LM can hold";
                return Err(Problem::mismatch(what, expected, format!("{other}, {of_read}")));
            }
            if adapter.a != read.a || adapter.b != read.b {
                let expected = "numbers that F32 holds, as MLX-LM reads no F64";
                return Err(Problem::mismatch(what, expected, "others"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
