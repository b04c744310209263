//! Running other programs, with errors that name the whole command.

use std::path::Path;
use std::process::{Command, ExitStatus};

/// A program that did not do what it was run for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The program did not start.
    #[error("`{command}` did not start: {source}")]
    Start {
        /// Program and arguments.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// The program ended with a failure.
    #[error("`{command}` failed ({status})\n{stderr}")]
    Exit {
        /// Program and arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said on standard error, where that was captured.
        stderr: String,
    },
}

/// `cargo` with `args`, run in `folder`.
pub(crate) fn cargo(folder: &Path, args: &[&str]) -> Command {
    program("cargo", folder, args)
}

/// `git` with `args`, run in `folder`.
pub(crate) fn git(folder: &Path, args: &[&str]) -> Command {
    program("git", folder, args)
}

fn program(name: &str, folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.current_dir(folder).args(args);
    command
}

/// Runs a command whose output the user watches.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|source| start(command, source))?;
    if status.success() { Ok(()) } else { Err(exit(command, status, String::new())) }
}

/// Runs a command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command.output().map_err(|source| start(command, source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Err(exit(command, output.status, stderr))
}

fn start(command: &Command, source: std::io::Error) -> Failure {
    Failure::Start { command: spelled(command), source }
}

fn exit(command: &Command, status: ExitStatus, stderr: String) -> Failure {
    Failure::Exit { command: spelled(command), status, stderr }
}

/// Program and arguments as one line.
fn spelled(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_what_the_program_printed() {
        let version = output(&mut cargo(Path::new("."), &["--version"])).unwrap();
        assert!(version.starts_with("cargo "), "{version}");
    }

    #[test]
    fn a_failure_names_the_command_and_repeats_its_words() {
        let error = output(&mut cargo(Path::new("."), &["no-such-command"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`cargo no-such-command` failed"), "{text}");
        assert!(text.contains("no such command"), "{text}");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = run(&mut Command::new("no-such-program-anywhere")).unwrap_err();
        assert!(matches!(error, Failure::Start { .. }), "{error}");
    }
}
