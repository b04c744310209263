//! `ternary eval`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::print_summary;
use crate::error::Result;
use crate::run::{EvaluationRequest, evaluate_file};

const EXAMPLES: &str = "\
Examples:
  ternary eval --model runs/tiny-0001/model --data book.txt
  ternary eval --model runs/tiny-0001/model --data book.txt --windows 64
  ternary eval --model models/Qwen3-0.6B --data book.txt --length 512
";

pub(super) fn command() -> Command {
    let path = |name: &'static str, value: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .required(true)
            .value_parser(value_parser!(PathBuf))
    };
    let count = |name: &'static str| {
        Arg::new(name).long(name).value_name("N").value_parser(value_parser!(u32).range(1..))
    };
    Command::new("eval")
        .about("Tells how well a model predicts a text: its loss over every byte (or token) but the first")
        .arg(path("model", "DIR").help("The folder of the model: as a run leaves it, or as Hugging Face's tools do"))
        .arg(path("data", "FILE").help("The text: a file of any bytes, or of UTF-8 for a model with a tokenizer.json"))
        .arg(Arg::new("ids").long("ids").action(ArgAction::SetTrue).help(
            "The file holds numbers of tokens, between spaces, commas or lines",
        ))
        .arg(count("length").help(
            "Tokens that a window predicts [default: as many as the model has positions, at most 2048]",
        ))
        .arg(count("windows").help(
            "Windows at most, spread evenly over a longer text [default: as many as cover it]",
        ))
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the result as a JSON object on one line"),
        )
        .after_help(EXAMPLES)
}

/// Evaluates, and prints the loss.
pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    let count = |name: &str| matches.get_one::<u32>(name).map(|&count| count as usize);
    let path = |name: &str| matches.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let request = EvaluationRequest {
        model: path("model"),
        data: path("data"),
        is_ids: matches.get_flag("ids"),
        length: count("length"),
        windows: count("windows"),
    };
    let evaluation = evaluate_file(&request)?;
    if matches.get_flag("json") {
        print_summary(&evaluation.to_json())
    } else {
        print_summary(&evaluation)
    }
}
