//! What every bench is told on its command line, and what it refuses.

use std::fs::File;
use std::path::PathBuf;
use std::thread;

use super::Result;
use super::shape::{Shape, parse_positive};

/// The most numbers in a matrix: its floats take 16 GiB.
const MOST_NUMBERS: usize = 1 << 32;

/// The arguments of benches whose shapes are chosen.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) running: Running,
    /// Inputs x outputs of the weight matrix; may repeat
    #[arg(long = "shape", value_name = "KxN")]
    pub(crate) shapes: Vec<Shape>,
    /// Rows of activations; may repeat
    #[arg(long, value_name = "M", value_parser = parse_positive)]
    pub(crate) rows: Vec<usize>,
}

/// The arguments that all benches share.
#[derive(Debug, clap::Args)]
pub(crate) struct Running {
    /// Threads; may repeat
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    threads: Vec<usize>,
    /// Another program to run in turn with ours, read for lines of JSON objects; may repeat
    #[arg(long = "peer", value_name = "COMMAND")]
    pub(crate) peers: Vec<String>,
    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Common {
    /// The threads to measure with, once they and the sizes are known to be in reach of this machine.
    pub(crate) fn check(&self, shapes: &[Shape], rows: &[usize]) -> Result<Vec<usize>> {
        check_sizes(shapes, rows)?;
        self.running.threads()
    }
}

impl Running {
    /// The threads to measure with, each of which has a processor to itself.
    pub(crate) fn threads(&self) -> Result<Vec<usize>> {
        let threads =
            if self.threads.is_empty() { default_threads()? } else { self.threads.clone() };
        check_threads(&threads)?;
        Ok(threads)
    }

    /// The file of the report, opened before anything is measured, so that minutes of measuring
    /// cannot end in a bad path.
    pub(crate) fn create_file(&self) -> Result<Option<File>> {
        let create = |path: &PathBuf| {
            File::create(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        Ok(self.json.as_ref().map(create).transpose()?)
    }
}

/// One thread, and two where there are two processors.
fn default_threads() -> Result<Vec<usize>> {
    let available = thread::available_parallelism()?.get();
    Ok([1, 2].into_iter().filter(|&threads| threads <= available).collect())
}

/// Refuses what this machine could not hold.
fn check_sizes(shapes: &[Shape], rows: &[usize]) -> Result {
    let most_rows = rows.iter().copied().max().unwrap_or_default();
    for &shape in shapes {
        let (weights, widest) = (shape.weights(), shape.k.max(shape.n));
        let numbers = most_rows.checked_mul(widest).map(|numbers| numbers.max(weights));
        if numbers.is_none_or(|numbers| numbers > MOST_NUMBERS) {
            let found = format!("{shape} weights and {most_rows} rows");
            return Err(format!("expected at most {MOST_NUMBERS} numbers, found {found}").into());
        }
    }
    Ok(())
}

/// Refuses threads that would share a processor with another.
fn check_threads(threads: &[usize]) -> Result {
    let available = thread::available_parallelism()?.get();
    match threads.iter().find(|&&threads| threads > available) {
        Some(found) => Err(format!("expected at most {available} threads, found {found}").into()),
        None => Ok(()),
    }
}

/// The chosen values without repeats, or the default where none is chosen.
pub(crate) fn or_default<T: Copy + PartialEq>(chosen: &[T], default: &[T]) -> Vec<T> {
    let mut unique = Vec::new();
    for &value in if chosen.is_empty() { default } else { chosen } {
        if !unique.contains(&value) {
            unique.push(value);
        }
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_cannot_hold_is_refused_with_what_was_found() {
        let usual = Shape { k: 4096, n: 14336 };
        assert!(check_sizes(&[usual], &[512]).is_ok());
        let huge = Shape { k: 1 << 20, n: 1 << 20 };
        let error = check_sizes(&[huge], &[]).unwrap_err().to_string();
        assert!(error.contains("1048576x1048576"), "{error}");
        for rows in [1 << 30, usize::MAX] {
            let error = check_sizes(&[usual], &[1, rows]).unwrap_err().to_string();
            assert!(error.contains(&rows.to_string()), "{error}");
        }
        let error = check_threads(&[1, 1 << 20]).unwrap_err().to_string();
        assert!(error.contains("1048576"), "{error}");
    }
}
