//! The command `ternary`: arguments to calls, results to lines and exit codes.
//!
//! It ends with 0 when it is done, 1 when it failed and 2 when it was called wrongly. Standard output
//! holds results, and its last line is a summary (of `generate` it is the text alone); everything else goes to
//! standard error. When nobody reads standard output any more, it ends quietly.

mod arguments;
mod chat;
mod compare;
mod completions;
mod eval;
mod generate;
mod inspect;
mod lora;
mod merge;
mod running;
mod settings;
mod train;

use std::ffi::OsString;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use clap::{ArgMatches, Command};
use ternary_core::kernels::Kernels;

use crate::error::{Error, Result};
use crate::generate::IdsError;
use crate::visible::Visible;

const WRONG_USAGE: u8 = 2;
const INTERRUPTED: u8 = 130;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed: the last line of standard error says why
  2    called wrongly: a flag, a key or a value that is not known, or settings that contradict each other
  130  interrupted
";

/// What standard output is called in errors.
const STANDARD_OUTPUT: &str = "standard output";

/// A subcommand: its definition, and what it does.
struct Subcommand {
    command: fn() -> Command,
    run: fn(&ArgMatches) -> Result<()>,
    /// Whether it computes.
    needs_kernels: bool,
}

const SUBCOMMANDS: [Subcommand; 10] = [
    Subcommand { command: train::command, run: train::run, needs_kernels: true },
    Subcommand { command: lora::command, run: lora::run, needs_kernels: true },
    Subcommand { command: merge::command, run: merge::run, needs_kernels: true },
    Subcommand { command: eval::command, run: eval::run, needs_kernels: true },
    Subcommand { command: generate::command, run: generate::run, needs_kernels: true },
    Subcommand { command: chat::command, run: chat::run, needs_kernels: true },
    Subcommand { command: inspect::command, run: inspect::run, needs_kernels: true },
    Subcommand { command: compare::command, run: compare::run, needs_kernels: false },
    Subcommand {
        command: completions::completions_command,
        run: completions::complete,
        needs_kernels: false,
    },
    Subcommand {
        command: completions::man_command,
        run: completions::manual,
        needs_kernels: false,
    },
];

/// Runs the command with its arguments, the name of the program first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(help_or_error) => {
            // When nobody reads, there is nobody to tell.
            drop(help_or_error.print());
            return u8::try_from(help_or_error.exit_code()).unwrap_or(WRONG_USAGE).into();
        }
    };
    match run_subcommand(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_unread(&error) => ExitCode::SUCCESS,
        Err(asked @ Error::Interrupted { .. }) => {
            drop(writeln!(stderr(), "{}", Visible(asked)));
            INTERRUPTED.into()
        }
        Err(error) => {
            drop(writeln!(stderr(), "error: {}", Visible(&error)));
            match error {
                Error::Configuration(_)
                | Error::InstructionSet { .. }
                | Error::Sampling { .. }
                | Error::Stride { .. }
                | Error::Ids(IdsError::NoNumber { .. }) => WRONG_USAGE.into(),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run_subcommand(matches: &ArgMatches) -> Result<()> {
    // Of all other names, clap has made an error.
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    for Subcommand { command, run, needs_kernels } in SUBCOMMANDS {
        if command().get_name() == name {
            if needs_kernels {
                Kernels::detect().map_err(|source| Error::InstructionSet { source })?;
            }
            return run(matches);
        }
    }
    Ok(())
}

/// Whether all that went wrong is that the reader of standard output has gone.
fn is_unread(error: &Error) -> bool {
    matches!(error, Error::File { path, source, .. }
        if path == Path::new(STANDARD_OUTPUT) && source.kind() == ErrorKind::BrokenPipe)
}

fn command() -> Command {
    Command::new("ternary")
        .about("Trains, evaluates and runs language models whose weights are -1, 0 and +1")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(SUBCOMMANDS.iter().map(|subcommand| (subcommand.command)()))
        .after_help(EXIT_CODES)
}

/// Writes the line that a command ends with to standard output.
fn print_summary(summary: &impl std::fmt::Display) -> Result<()> {
    print(&format!("{summary}\n"))
}

/// Writes a text to standard output, at once.
fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut out = stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(Error::file("write to", STANDARD_OUTPUT.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn only_a_reader_that_has_gone_is_no_failure() {
        let error =
            |path: &str, kind: ErrorKind| Error::file("write to", path.as_ref())(kind.into());
        assert!(is_unread(&error(STANDARD_OUTPUT, ErrorKind::BrokenPipe)));
        assert!(!is_unread(&error(STANDARD_OUTPUT, ErrorKind::StorageFull)));
        assert!(!is_unread(&error("metrics.jsonl", ErrorKind::BrokenPipe)));
    }
}
