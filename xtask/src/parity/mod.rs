//! `cargo xtask parity`: layers and whole models against reference numbers, and their forms against each other.
//!
//! A set is a folder as `cargo xtask fixtures` writes it. Each of its cases is counted once, those of whole models a second
//! time for the training of their adapter: it passes when everything in its folder was read, every tensor of the reference
//! was compared, and all are within what is allowed. What cannot fail is no gate, so a case that compares nothing fails, as
//! does one that is not run, and the tests below break a set in every way.
//!
//! | check | compares |
//! |---|---|
//! | `f64`, `f32` | the layer or model with its adapters, or their training, with the reference |
//! | `merged` | the model with its adapters in its weights with the reference, or with the adapters beside them |
//! | `unmerged`, `disabled` | the same taken out again or switched off, with what was before |
//! | `evaluation`, `tokens`, `decoding`, `pieces`, … | forms of one forward with each other |

mod bits;
mod folder;
mod layer;
mod library;
mod measure;
mod model;
mod report;
mod set;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use nn::ternary_core::Real;

pub(crate) use self::model::{TokenRows, descend, token_rows};
use self::report::Report;
use self::set::Set;

/// What functions of the gate return: any error fails the case.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The set of cases; the project's own without it
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
    /// Run only the cases whose name contains this
    #[arg(long, value_name = "S")]
    filter: Option<String>,
    /// Write everything that was measured to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs a set, and the presets.
pub(crate) fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/gdn");
    let set = Set::open(&args.fixtures.unwrap_or_else(own))?;
    let filter = args.filter.as_deref().unwrap_or_default();
    let report = Report { presets: bits::run(filter), cases: set.run(filter) };
    if report.is_empty() {
        return Err(format!("parity: no case contains {filter:?}").into());
    }
    if let Some(path) = args.json {
        let text = serde_json::to_string_pretty(&report.to_json())?;
        fs::write(&path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    }
    print!("{}", report.text());
    match report.failures() {
        0 => Ok(()),
        failures => Err(format!("parity: {failures} failure(s)").into()),
    }
}

/// Numbers as those of a layer.
fn numbers<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&value| T::from_f64(value)).collect()
}

/// Numbers of a layer as `f64`.
pub(crate) fn wide<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|value| value.to_f64()).collect()
}

#[cfg(test)]
mod tests;
