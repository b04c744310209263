//! `ternary compare`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::print_summary;
use crate::error::Result;
use crate::report::Comparison;

const EXAMPLES: &str = "\
Examples:
  ternary compare runs/tiny-0001 runs/tiny-0002
  ternary compare runs/* --out compare.html
";

pub(super) fn command() -> Command {
    Command::new("compare")
        .about("Sets runs beside each other: a table, and a page with their curves over each other")
        .arg(
            Arg::new("runs")
                .value_name("RUN")
                .required(true)
                .num_args(2..)
                .value_parser(value_parser!(PathBuf))
                .help("The folders of two runs or more, finished or not"),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write the page with the curves to this file"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the table as a JSON array on one line"),
        )
        .after_help(EXAMPLES)
}

/// Compares, and prints the table.
pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    let runs: Vec<PathBuf> = matches.get_many("runs").into_iter().flatten().cloned().collect();
    let comparison = Comparison::read(&runs)?;
    if let Some(out) = matches.get_one::<PathBuf>("out") {
        comparison.write(out)?;
        // Nobody may read it.
        drop(writeln!(std::io::stderr(), "the curves are in {}", out.display()));
    }
    if matches.get_flag("json") {
        print_summary(&comparison.to_json())
    } else {
        print_summary(&comparison)
    }
}
