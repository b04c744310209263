//! `ternary generate`.

use std::io::{Write, stderr};

use clap::{Arg, ArgGroup, ArgMatches, Command};

use super::{arguments, print, print_summary};
use crate::error::Result;
use crate::generate::{GenerationRequest, Prompt, generate};
use crate::run::Used;
use crate::vocabulary::read_ids;

const EXAMPLES: &str = "\
Examples:
  ternary generate --model runs/tiny-0001 --prompt \"Once upon a time\"
  ternary generate --model runs/tiny-0001 --prompt \"Once\" --temperature 0 --tokens 50
  ternary generate --model models/Qwen3-0.6B --prompt \"The capital of France is\"
  ternary generate --model models/Qwen3-0.6B --adapter runs/talks --prompt \"Hello\"
";

pub(super) fn command() -> Command {
    Command::new("generate")
        .about("Has a model go on with a text")
        .arg(arguments::model())
        .arg(arguments::adapter())
        .arg(
            Arg::new("prompt")
                .long("prompt")
                .value_name("TEXT")
                // A text may begin with a dash.
                .allow_hyphen_values(true)
                .help("What it goes on with"),
        )
        .arg(
            Arg::new("ids")
                .long("ids")
                .value_name("NUMBERS")
                .help("The same as numbers of tokens, for a model without a tokenizer: 17,4,0"),
        )
        .group(ArgGroup::new("what").args(["prompt", "ids"]).required(true))
        .args(arguments::sampling())
        .arg(arguments::json())
        .after_help(EXAMPLES)
}

/// Generates, and prints the text as it comes.
pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    let prompt = match matches.get_one::<String>("ids") {
        Some(ids) => Prompt::Ids(read_ids("--ids", ids)?),
        None => Prompt::Text(matches.get_one::<String>("prompt").cloned().unwrap_or_default()),
    };
    let Used { model, adapter } = arguments::read_model(matches)?;
    let request = GenerationRequest {
        prompt,
        tokens: arguments::read_count(matches, "tokens"),
        sampling: arguments::read_sampling(matches)?,
        model,
        adapter,
    };
    if matches.get_flag("json") {
        return print_summary(&generate(&request, |_| Ok(()))?.to_json());
    }
    let generation = generate(&request, print)?;
    print("\n")?;
    drop(writeln!(stderr(), "{generation}"));
    Ok(())
}
