//! The folder of a run, and what the run reads, are apart.

use std::path::{Path, PathBuf};

use super::folder::{ADAPTERS, RUNS};
use super::replace::{BASE, METRICS, SETTINGS};
use crate::config::{self, Configuration, Run};
use crate::data::{files_of, would_read};
use crate::error::{Error, Result};

/// Checks that a run to be replaced is not what the next one begins with.
pub(super) fn check_unneeded(folder: &Path, configuration: &Configuration) -> Result<()> {
    let Ok(replaced) = folder.canonicalize() else { return Ok(()) };
    let Run { data, valid, tokenizer, from, teacher, .. } = &configuration.run;
    // What cannot be read is an error of the run, which replaces nothing then.
    let texts = |given: &Option<PathBuf>| {
        given.as_deref().and_then(|given| files_of(given).ok()).unwrap_or_default()
    };
    let one = |given: &Option<PathBuf>| given.iter().cloned().collect();
    for (flag, read) in [
        ("data", texts(data)),
        ("valid", texts(valid)),
        ("tokenizer", one(tokenizer)),
        ("from", one(from)),
        ("teacher", one(teacher)),
        ("model", one(&configuration.lora.model)),
    ] {
        let is_inside =
            |read: &PathBuf| read.canonicalize().is_ok_and(|read| read.starts_with(&replaced));
        if read.iter().any(is_inside) {
            return Err(Error::Needed { path: folder.to_owned(), flag });
        }
    }
    Ok(())
}

/// Checks, before anything is read, that a new run would leave no file that is of its text, which would be another one
/// when the run goes on.
///
/// # Errors
/// [`config::Error::Contradiction`]; [`Error::File`].
pub(crate) fn check_apart(configuration: &Configuration) -> Result<()> {
    let Run { out, data, valid, .. } = &configuration.run;
    let folder = out.as_deref().unwrap_or(RUNS.as_ref());
    let folder = std::path::absolute(folder).map_err(Error::file("find", folder))?;
    // Of a folder that is not there yet, the one that it will be in.
    let whole = folder.ancestors().find_map(|there| {
        let below = folder.strip_prefix(there).ok()?;
        Some(there.canonicalize().ok()?.join(below))
    });
    let whole = whole.unwrap_or_else(|| folder.clone());
    let whole = if out.is_some() { whole } else { whole.join(ADAPTERS) };
    let files = [SETTINGS, METRICS, BASE, "report.html", "summary.json", "model/model.safetensors"];
    for (keys, text) in [("out, data", data), ("out, valid", valid)] {
        let is_read = |text: &PathBuf| files.iter().any(|file| would_read(text, &whole.join(file)));
        if text.as_ref().is_some_and(is_read) {
            return Err(config::Error::Contradiction {
                keys,
                expected: "a folder for the run, with --out, whose files are none of the text",
                found: format!("{}, which the text has in it", folder.display()),
            }
            .into());
        }
    }
    Ok(())
}
