//! The command `ternary`: arguments to calls, results to lines and exit codes.
//!
//! It ends with 0 when it is done, 1 when it failed and 2 when it was called wrongly. Standard output
//! holds results, and its last line is a summary (of `generate` it is the text alone); everything else goes to
//! standard error.

mod compare;
mod eval;
mod generate;
mod inspect;
mod train;

use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use clap::Command;
use ternary_core::kernels::Kernels;

use crate::error::{Error, Result};

const WRONG_USAGE: u8 = 2;

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
    let kernels = Kernels::detect().map_err(|source| Error::InstructionSet { source });
    let result = kernels.and_then(|_| match matches.subcommand() {
        Some(("train", matches)) => train::run(matches),
        Some(("eval", matches)) => eval::run(matches),
        Some(("generate", matches)) => generate::run(matches),
        Some(("inspect", matches)) => inspect::run(matches),
        Some(("compare", matches)) => compare::run(matches),
        // Of all others, clap has made an error.
        _ => Ok(()),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(stderr(), "error: {error}"));
            match error {
                Error::Configuration(_)
                | Error::InstructionSet { .. }
                | Error::Sampling { .. }
                | Error::Ids { .. } => WRONG_USAGE.into(),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn command() -> Command {
    Command::new("ternary")
        .about("Trains, evaluates and runs language models whose weights are -1, 0 and +1")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(train::command())
        .subcommand(eval::command())
        .subcommand(generate::command())
        .subcommand(inspect::command())
        .subcommand(compare::command())
}

/// Writes the line that a command ends with to standard output.
fn print_summary(summary: &impl std::fmt::Display) -> Result<()> {
    writeln!(stdout(), "{summary}").map_err(Error::file("write to", "standard output".as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_is_sound() {
        command().debug_assert();
    }
}
