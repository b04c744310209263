//! `ternary inspect`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::print_summary;
use crate::error::{Error, Result};
use crate::inspect::Inspection;

const EXAMPLES: &str = "\
Examples:
  ternary inspect runs/tiny-0001
  ternary inspect models/Qwen3-0.6B --json
";

pub(super) fn command() -> Command {
    Command::new("inspect")
        .about("Tells what is inside a model: shapes, bytes, zeros, bits and scales of each tensor")
        .arg(
            Arg::new("model")
                .value_name("RUN|MODEL")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The folder of a run, or of a model: as a run leaves it, or as Hugging Face's tools do"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the result as a JSON object on one line"),
        )
        .after_help(EXAMPLES)
}

/// Looks into the model, and prints what is there.
pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    let model = matches.get_one::<PathBuf>("model").cloned().unwrap_or_default();
    let inspection = Inspection::open(&model)?;
    if !matches.get_flag("json") {
        return print_summary(&inspection);
    }
    let json = serde_json::to_string(&inspection).map_err(std::io::Error::from);
    print_summary(&json.map_err(Error::file("write as JSON", &model))?)
}
