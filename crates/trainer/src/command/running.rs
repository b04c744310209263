//! A run from the command line: planned, begun or gone on with, under Ctrl-C, with a bar and a summary.

use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::Arc;

use clap::ArgMatches;

use super::settings::Settings;
use super::{INTERRUPTED, print_summary};
use crate::config::Configuration;
use crate::error::Result;
use crate::plan::plan;
use crate::run::{Interrupt, Progress, Resumed, Summary, train};
use crate::visible::Visible;

/// Trains, or plans, and prints the summary.
///
/// # Errors
/// As [`train`] and [`plan`].
pub(super) fn run(settings: &Settings, matches: &ArgMatches) -> Result<()> {
    if let Some(path) = matches.get_one::<PathBuf>("resume") {
        return resume(path, matches);
    }
    let configuration = settings.read(matches)?;
    if matches.get_flag("plan") {
        let plan = plan(&configuration, &mut |line| drop(writeln!(stderr(), "{}", Visible(line))))?;
        if matches.get_flag("json") {
            print_summary(&plan.to_json())?;
        } else {
            print_summary(&plan)?;
        }
        return plan.check();
    }
    watched(&configuration, matches, |progress, interrupt| {
        train(&configuration, progress, interrupt)
    })
}

fn resume(path: &Path, matches: &ArgMatches) -> Result<()> {
    match Resumed::open(path)? {
        Resumed::Ended(summary) => {
            // When nobody reads, there is nobody to tell.
            drop(writeln!(stderr(), "the run {} has ended already", path.display()));
            print(&summary, matches)
        }
        Resumed::Unfinished(run) => {
            let configuration = run.configuration().clone();
            watched(&configuration, matches, |progress, interrupt| run.train(progress, interrupt))
        }
    }
}

/// Trains with a bar and under Ctrl-C, and prints the summary.
fn watched(
    configuration: &Configuration,
    matches: &ArgMatches,
    train: impl FnOnce(&Progress, &Interrupt) -> Result<Summary>,
) -> Result<()> {
    let interrupt = Arc::default();
    hear_interrupts(&interrupt);
    let progress = Progress::new(configuration.run.steps, configuration.log.every);
    let summary = train(&progress, &interrupt);
    progress.finish();
    print(&summary?, matches)
}

/// Has Ctrl-C ask the run for a checkpoint, and end the process where the run does not hear it: the second time, or
/// outside of its steps.
fn hear_interrupts(interrupt: &Arc<Interrupt>) {
    let interrupt = Arc::clone(interrupt);
    // Where there is no handler, Ctrl-C ends the process, which a run survives as well.
    let _ = ctrlc::set_handler(move || {
        if !interrupt.ask() {
            exit(INTERRUPTED.into());
        }
        let line = "finishing this step, then saving a checkpoint; Ctrl-C again ends at once";
        drop(writeln!(stderr(), "{line}"));
    });
}

fn print(summary: &Summary, matches: &ArgMatches) -> Result<()> {
    if matches.get_flag("json") {
        print_summary(&summary.to_json())
    } else {
        print_summary(summary)
    }
}
