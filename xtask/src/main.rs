//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! One file or folder per command, each with its `Args` and its `run`. A command ends with 0 when it
//! is done, 1 when it failed and 2 when it was called wrongly.

mod bench;
mod ci;
mod compare_revisions;
mod descent;
mod evidence;
mod fixtures;
mod fuzz;
mod gradcheck;
mod interop;
mod layers;
mod lock;
mod parity;
mod process;
mod quality;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure how fast the code is, beside the limits of the machine
    Bench(bench::Args),
    /// Run every gate a change must pass, besides the tests
    Ci(ci::Args),
    /// Run a bench on two revisions in turn and print the ratios of their times
    CompareRevisions(compare_revisions::Args),
    /// Train in every way there is, one run after the other, and print the table of their losses
    Evidence(evidence::Args),
    /// Work out reference numbers for the parity gate, by an oracle that shares no code with the layers
    Fixtures(fixtures::Args),
    /// Hand made-up bytes to every reader of files
    Fuzz(fuzz::Args),
    /// Check every backward against the derivative of its forward
    Gradcheck(gradcheck::Args),
    /// Hold adapters and their training to PEFT and transformers themselves; needs the network, or their Python
    Interop(interop::Args),
    /// Check that crates depend downward only, stay light, and stand in ARCHITECTURE.md
    Layers(layers::Args),
    /// Hold layers and models to reference numbers, and their forms to each other
    Parity(parity::Args),
    /// Train adapters of each kind of layer beside frozen ternary models, and print the table of their losses
    Quality(quality::Args),
}

fn main() -> ExitCode {
    let result = match Xtask::parse().command {
        Command::Bench(args) => bench::run(args),
        Command::Ci(args) => ci::run(args),
        Command::CompareRevisions(args) => compare_revisions::run(args),
        Command::Evidence(args) => evidence::run(args),
        Command::Fixtures(args) => fixtures::run(args),
        Command::Fuzz(args) => fuzz::run(args),
        Command::Gradcheck(args) => gradcheck::run(args),
        Command::Interop(args) => interop::run(args),
        Command::Layers(args) => layers::run(args),
        Command::Parity(args) => parity::run(args),
        Command::Quality(args) => quality::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
