//! The command `ternary`.

use std::process::ExitCode;

fn main() -> ExitCode {
    trainer::command::run(std::env::args_os())
}
