//! `ternary eval`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{arguments, print_summary};
use crate::error::Result;
use crate::run::{EvaluationRequest, Used, evaluate_file};

const EXAMPLES: &str = "\
Examples:
  ternary eval --model runs/tiny-0001 --data book.txt
  ternary eval --model runs/tiny-0001 --data book.txt --windows 64
  ternary eval --model runs/tiny-0001 --data 'texts/*.txt' --json
  ternary eval --model models/Qwen3-0.6B --data book.txt --length 512 --stride 256
  ternary eval --model models/Qwen3-0.6B --adapter runs/talks --data others.jsonl
";

pub(super) fn command() -> Command {
    let data = Arg::new("data")
        .long("data")
        .value_name("FILE|DIR|GLOB")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help(
            "The text: files of any bytes, or of UTF-8 for a model with a tokenizer.json; or samples, in files that end \
             in .jsonl as for ternary lora, whose completions and answers count",
        );
    Command::new("eval")
        .about("Tells how well a model predicts a text: its loss over every byte (or token) but the first")
        .arg(arguments::model())
        .arg(arguments::adapter())
        .arg(data)
        .arg(Arg::new("ids").long("ids").action(ArgAction::SetTrue).help(
            "The file holds numbers of tokens, between spaces, commas or lines",
        ))
        .arg(Arg::new("cache").long("cache").value_name("DIR").value_parser(value_parser!(PathBuf)).help(
            "The folder for tokens that were made of a text [default: the user's cache folder, or the temporary one]",
        ))
        .arg(arguments::count("length").help(
            "Tokens that a window predicts [default: as many as the model has positions, at most 2048]",
        ))
        .arg(arguments::count("stride").help(
            "Tokens from one window to the next; fewer than --length give each token more before it, for more time \
             [default: as --length]",
        ))
        .arg(arguments::count("windows").help(
            "Windows at most, spread evenly over a longer text [default: as many as cover it]",
        ))
        .arg(Arg::new("skip-bad-lines").long("skip-bad-lines").action(ArgAction::SetTrue).help(
            "Leave out and count lines that are no samples, instead of ending with the first",
        ))
        .arg(Arg::new("with-prompts").long("with-prompts").action(ArgAction::SetTrue).help(
            "Count the prompts of samples too, as a run --with-prompts does",
        ))
        .arg(arguments::json())
        .after_help(EXAMPLES)
}

/// Evaluates, and prints the loss.
pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    let Used { model, adapter } = arguments::read_model(matches)?;
    let request = EvaluationRequest {
        data: arguments::read_path(matches, "data"),
        is_ids: matches.get_flag("ids"),
        cache: matches.get_one("cache").cloned(),
        length: arguments::read_count(matches, "length"),
        stride: arguments::read_count(matches, "stride"),
        windows: arguments::read_count(matches, "windows"),
        skips_bad_lines: matches.get_flag("skip-bad-lines"),
        learns_prompts: matches.get_flag("with-prompts"),
        model,
        adapter,
    };
    let evaluation = evaluate_file(&request)?;
    if matches.get_flag("json") {
        print_summary(&evaluation.to_json())
    } else {
        print_summary(&evaluation)
    }
}
