//! MLX-LM's directories: `adapter_config.json`, which is what it was trained with, and `adapters.safetensors`.
//!
//! | module | holds |
//! |---|---|
//! | `config` | the configuration, read and written |
//! | `names` | the names of tensors |

mod config;
mod names;

use std::collections::BTreeMap;
use std::path::Path;

use lora_backward::{Adapter, Adapters, Scaling};
use ternary_core::Real;

use self::config::Config;
use super::factors::{Factor, Layout, Pairs, part};
use super::files::{CONFIG, Fault, Files, Options, check, locate};
use crate::directory::Reader;
use crate::error::{Error, Problem, Result};
use crate::safetensors::{Container, Dtype, write as write_arrays};

/// The keys that tell such a configuration.
pub(super) const PARAMETERS: &str = "lora_parameters";
pub(super) const KIND: &str = "fine_tune_type";
const WEIGHTS: &str = "adapters.safetensors";

/// Reads adapters. Numbers are F32, F16 or BF16 in the file, or F64.
///
/// # Errors
/// [`Error::File`] with the first thing that is wrong in a file: a configuration that asks for what is not known
/// here or does not fit the tensors; tensors that belong to nothing, lack their partner, are of another shape than the
/// rank says, or not finite. [`Error::Io`].
pub fn read<T: Real>(directory: &Path) -> Result<Adapters<T>> {
    let files = Files::read(&Reader::open(directory)?, WEIGHTS)?;
    locate(directory, WEIGHTS)(parse(&files))
}

/// Writes adapters to a directory, over those that may be there, in F32.
///
/// Whenever this fails or is killed, the directory holds the old adapters or the new ones.
///
/// # Errors
/// [`Error::Unwritable`] for adapters that are none or not finite, that differ in rank or factor, or whose numbers F32
/// does not hold; [`Error::Io`].
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
    check(adapters)?;
    let config = Config::of(adapters, options)?;
    let mut parts = Vec::new();
    for (module, adapter) in adapters.iter() {
        let Adapter { a, b, rank, inputs, outputs, .. } = adapter;
        for (factor, shape, values) in
            [(Factor::A, [*rank, *inputs], a), (Factor::B, [*outputs, *rank], b)]
        {
            let name = names::name(options.prefix, module, factor);
            parts.push(part(name, shape, values, Layout::Transposed, Dtype::F32));
        }
    }
    let metadata = BTreeMap::from([("format".to_owned(), "mlx".to_owned())]);
    let mut weights = Vec::new();
    write_arrays(&mut weights, &metadata, parts)
        .map_err(|error| Problem::mismatch("tensors", "names that differ", error))?;
    let files = Files { config: config.to_json(options)?, weights };
    check_same(adapters, &from_bytes(&files)?)?;
    Ok(files)
}

/// Checks that what was written is what was to be written. The factor may be another by its last bit: α/√r has no
/// place in the file.
fn check_same<T: Real>(adapters: &Adapters<T>, read: &Adapters<T>) -> Result<(), Problem> {
    for ((module, adapter), (other, read)) in adapters.iter().zip(read.iter()) {
        let what = format!("adapter of {module}");
        let same_factor =
            (adapter.factor() - read.factor()).abs() <= 2.0 * f64::EPSILON * adapter.factor().abs();
        if module != other || !same_factor {
            let expected = "a name and a factor that MLX-LM can hold";
            return Err(Problem::mismatch(what, expected, format!("{other}, {}", read.factor())));
        }
        if adapter.a != read.a || adapter.b != read.b {
            let expected = "numbers that F32 holds, as MLX-LM reads no F64";
            return Err(Problem::mismatch(what, expected, "others"));
        }
    }
    Ok(())
}

fn parse<T: Real>(files: &Files) -> Result<Adapters<T>, Fault> {
    let config = Config::from_json(&files.config).map_err(Fault::Config)?;
    let container = Container::new(&files.weights).map_err(Fault::Weights)?;
    let names = container.arrays.keys().map(String::as_str);
    let pairs: Pairs = names::pairs(names).map_err(Fault::Weights)?;
    config.check_covers(&pairs).map_err(Fault::Config)?;
    let said = (config.rank, Scaling::multiplier(config.scale, config.rank));
    let mut adapters = Adapters::default();
    adapters.dropout = config.dropout;
    for (module, pair) in pairs.0 {
        let adapter = pair
            .read(&module, &container, Layout::Transposed, said, CONFIG)
            .map_err(Fault::Weights)?;
        adapters.insert(module, adapter).map_err(|error| Fault::Weights(error.into()))?;
    }
    Ok(adapters)
}

#[cfg(test)]
mod tests;
