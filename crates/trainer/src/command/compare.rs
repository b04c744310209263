//! `ternary compare`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::print_summary;
use crate::error::{Error, Result};
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
            Arg::new("force")
                .long("force")
                .action(ArgAction::SetTrue)
                .requires("out")
                .help("Replace that file, if it is there"),
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
    let out = matches.get_one::<PathBuf>("out");
    if let Some(out) = out
        && !matches.get_flag("force")
        && out.symlink_metadata().is_ok()
    {
        return Err(Error::WouldReplace { path: out.clone() });
    }
    let comparison = Comparison::read(&runs)?;
    if let Some(out) = out {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryFolder;

    #[test]
    fn a_file_that_is_there_is_replaced_only_when_asked() {
        let folder = TemporaryFolder::new();
        let mine = folder.file("mine.html", "mine");
        let said = |flags: &[&str]| {
            let words = ["compare", "none-1", "none-2", "--out"].map(std::ffi::OsString::from);
            let all = words.into_iter().chain([mine.clone().into()]);
            let all = all.chain(flags.iter().map(Into::into));
            run(&command().try_get_matches_from(all).unwrap()).unwrap_err().to_string()
        };
        assert!(said(&[]).contains("mine.html is there already"), "{}", said(&[]));
        // It goes on to the runs, which are not there.
        assert!(said(&["--force"]).contains("none-1"), "{}", said(&["--force"]));
        assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
    }
}
