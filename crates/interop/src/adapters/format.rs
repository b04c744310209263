//! [`Format`]: what reading and writing adapters have in common, whatever the format.

use std::collections::BTreeMap;
use std::path::Path;

use lora_backward::{Adapter, Adapters, Scaling};
use ternary_core::Real;

use super::factors::{Factor, Layout, Pairs, part};
use super::files::{CONFIG, Files, Options, check};
use super::prefix::Prefix;
use crate::directory::Reader;
use crate::error::{Error, Problem, Result};
use crate::safetensors::{Container, Dtype, write as write_arrays};

/// What a format says in its own way.
pub(super) trait Format {
    /// What its configuration says.
    type Config;
    /// What the safetensors file is called.
    const WEIGHTS: &'static str;
    /// What that file says it is for.
    const FRAMEWORK: &'static str;
    /// How it keeps the factors.
    const LAYOUT: Layout;

    /// Refuses a directory whose weights are kept in a way that is not read.
    fn check_directory(_: &Reader) -> Result<()> {
        Ok(())
    }

    /// Reads the configuration.
    fn config(bytes: &[u8]) -> Result<Self::Config, Problem>;

    /// The share of the inputs that the adapters drop.
    fn dropout(config: &Self::Config) -> f64;

    /// Sorts the names of tensors by modules.
    fn pairs<'a>(names: impl Iterator<Item = &'a str>) -> Result<Pairs, Problem>;

    /// The rank and the scaling of each module, once it is known that the configuration means all of them.
    fn said(config: &Self::Config, pairs: &Pairs) -> Result<Vec<(usize, Scaling)>, Problem>;

    /// The name of a tensor.
    fn name(prefix: Prefix, module: &str, factor: Factor) -> String;

    /// The type that numbers are written in.
    fn dtype<T: Real>() -> Dtype;

    /// The configuration of adapters.
    fn written<T: Real>(adapters: &Adapters<T>, options: &Options) -> Result<Vec<u8>, Problem>;

    /// Checks that what was written is read back as what it was.
    fn check_same<T: Real>(written: &Adapters<T>, read: &Adapters<T>) -> Result<(), Problem>;
}

/// Reads the adapters of a directory.
pub(super) fn read<F: Format, T: Real>(directory: &Path) -> Result<Adapters<T>> {
    let reader = Reader::open(directory)?;
    F::check_directory(&reader)?;
    let files = Files::read(&reader, F::WEIGHTS)?;
    parse::<F, T>(&files).map_err(|fault| match fault {
        Fault::Config(problem) => problem.in_file(&directory.join(CONFIG)),
        Fault::Weights(problem) => problem.in_file(&directory.join(F::WEIGHTS)),
    })
}

/// Writes adapters to a directory.
pub(super) fn write<F: Format, T: Real>(
    directory: &Path,
    adapters: &Adapters<T>,
    options: &Options,
) -> Result<()> {
    let files = to_bytes::<F, T>(adapters, options).map_err(Error::Unwritable)?;
    files.write(directory, F::WEIGHTS)
}

/// [`read`] of files in memory.
pub(super) fn from_bytes<F: Format, T: Real>(files: &Files) -> Result<Adapters<T>, Problem> {
    parse::<F, T>(files).map_err(|fault| match fault {
        Fault::Config(problem) | Fault::Weights(problem) => problem,
    })
}

/// [`write()`] into memory.
pub(super) fn to_bytes<F: Format, T: Real>(
    adapters: &Adapters<T>,
    options: &Options,
) -> Result<Files, Problem> {
    check(adapters)?;
    let config = F::written(adapters, options)?;
    let files = Files { config, weights: weights::<F, T>(adapters, options.prefix)? };
    F::check_same(adapters, &from_bytes::<F, T>(&files)?)?;
    Ok(files)
}

/// What is wrong in one of the files.
enum Fault {
    Config(Problem),
    Weights(Problem),
}

fn parse<F: Format, T: Real>(files: &Files) -> Result<Adapters<T>, Fault> {
    let config = F::config(&files.config).map_err(Fault::Config)?;
    let container = Container::new(&files.weights).map_err(Fault::Weights)?;
    let names = container.arrays.keys().map(String::as_str);
    let pairs = F::pairs(names).map_err(Fault::Weights)?;
    let said = F::said(&config, &pairs).map_err(Fault::Config)?;
    let mut adapters = Adapters::default();
    adapters.dropout = F::dropout(&config);
    for ((module, pair), said) in pairs.0.into_iter().zip(said) {
        let adapter =
            pair.read(&module, &container, F::LAYOUT, said, CONFIG).map_err(Fault::Weights)?;
        adapters.insert(module, adapter).map_err(|error| Fault::Weights(error.into()))?;
    }
    Ok(adapters)
}

/// The safetensors file of adapters.
fn weights<F: Format, T: Real>(adapters: &Adapters<T>, prefix: Prefix) -> Result<Vec<u8>, Problem> {
    let mut parts = Vec::new();
    for (module, adapter) in adapters.iter() {
        let Adapter { a, b, rank, inputs, outputs, .. } = adapter;
        for (factor, shape, values) in
            [(Factor::A, [*rank, *inputs], a), (Factor::B, [*outputs, *rank], b)]
        {
            let name = F::name(prefix, module, factor);
            parts.push(part(name, shape, values, F::LAYOUT, F::dtype::<T>()));
        }
    }
    let metadata = BTreeMap::from([("format".to_owned(), F::FRAMEWORK.to_owned())]);
    let mut file = Vec::new();
    write_arrays(&mut file, &metadata, parts)
        .map_err(|error| Problem::mismatch("tensors", "names that differ", error))?;
    Ok(file)
}
