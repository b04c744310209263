//! `ternary merge`.

use std::fs;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{arguments, print_summary};
use crate::adapters::{MergeRequest, merge};
use crate::config;
use crate::error::{Error, Result};
use crate::run::Used;

const EXAMPLES: &str = "\
Examples:
  ternary merge --model runs/talks --out models/talks
  ternary merge --model models/Qwen3-0.6B --adapter adapters/talks --out models/talks
  ternary generate --model models/talks --prompt \"Hello\"
";

pub(super) fn command() -> Command {
    let out = Arg::new("out")
        .long("out")
        .value_name("DIR")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("Where the merged model goes, in the layout of models that runs leave");
    let force = Arg::new("force")
        .long("force")
        .action(ArgAction::SetTrue)
        .help("Replace a model that is there");
    Command::new("merge")
        .about("Makes one model of a model and its adapters")
        .arg(arguments::model())
        .arg(arguments::adapter())
        .args([out, force])
        .arg(arguments::json())
        .after_help(EXAMPLES)
}

/// Merges, and says where the model is.
pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    let Used { model, adapter } = arguments::read_model(matches)?;
    fs::metadata(&model).map_err(Error::file("find the model", &model))?;
    let adapter = adapter.ok_or_else(|| config::Error::Contradiction {
        keys: "adapter",
        expected: "adapters for the model, or a run of ternary lora as --model",
        found: "a model alone".to_owned(),
    })?;
    let merged = merge(&MergeRequest {
        model,
        adapter,
        out: arguments::read_path(matches, "out"),
        force: matches.get_flag("force"),
    })?;
    if matches.get_flag("json") { print_summary(&merged.to_json()) } else { print_summary(&merged) }
}
