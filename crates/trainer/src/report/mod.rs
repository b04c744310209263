//! The page of a run, and the page and table of several: one file each that needs no network and no other file.
//!
//! [`write()`] makes `report.html` from what the run has written so far, whether it is finished or not. The charts
//! are drawn here, as SVG; a few lines of script only tell the numbers under the pointer.
//!
//! | module | holds |
//! |---|---|
//! | `history` | what a run folder tells, read back |
//! | `settings` | its configuration, and how it differs from the preset |
//! | `chart` | lines over steps: axes, thinning, smoothing, SVG |
//! | `curves` | which charts there are |
//! | `matrices` | the vital signs of each ternary matrix |
//! | `figures` | the numbers at the top |
//! | `samples` | what the model wrote |
//! | `number`, `html` | numbers for people, and text that cannot become markup |
//! | `page` | all of it in one file |
//! | `units` | the unit in which the losses of several runs stand beside each other |
//! | `comparison` | several runs beside each other |

mod chart;
mod comparison;
mod curves;
mod figures;
mod history;
mod html;
mod matrices;
mod number;
mod page;
mod samples;
mod settings;
#[cfg(test)]
mod synthetic;
mod units;

use std::path::{Path, PathBuf};

pub use comparison::Comparison;
pub use history::History;

use crate::error::Result;
use crate::run::{Summary, write_whole};

/// The name of the page in the folder of a run.
pub const FILE: &str = "report.html";

/// Writes the page of a run into its folder, whole or not at all, and returns its path. It may be called as often
/// as there is something new.
///
/// # Errors
/// A folder that is no run, files that cannot be read or hold something else, and a page that cannot be written.
pub fn write(folder: &Path) -> Result<PathBuf> {
    write_history(folder, &History::read(folder)?)
}

/// The same for a run that has ended, whose summary is to be its last file.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_ended(folder: &Path, summary: &Summary) -> Result<PathBuf> {
    let summary = Some(summary.clone());
    write_history(folder, &History { summary, ..History::read(folder)? })
}

fn write_history(folder: &Path, history: &History) -> Result<PathBuf> {
    let page = page::of_run(history);
    let path = folder.join(FILE);
    write_whole(&path, page.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests;
