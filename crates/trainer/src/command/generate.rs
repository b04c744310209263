//! `ternary generate`.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

use super::print_summary;
use crate::error::{Error, Result};
use crate::generate::{GenerationRequest, Prompt, Sampling, TOKENS, generate};
use crate::vocabulary::read_ids;

const EXAMPLES: &str = "\
Examples:
  ternary generate --model runs/tiny-0001/model --prompt \"Once upon a time\"
  ternary generate --model runs/tiny-0001/model --prompt \"Once\" --temperature 0 --tokens 50
  ternary generate --model models/Qwen3-0.6B --prompt \"The capital of France is\"
";

pub(super) fn command() -> Command {
    let number = |name: &'static str, value: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            // They are refused with their range.
            .allow_negative_numbers(true)
            .value_parser(value_parser!(f64))
    };
    Command::new("generate")
        .about("Has a model go on with a text")
        .arg(
            Arg::new("model")
                .long("model")
                .value_name("DIR")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The folder of the model: as a run leaves it, or as Hugging Face's tools do"),
        )
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
        .arg(
            Arg::new("tokens")
                .long("tokens")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .help(format!(
                    "Tokens at most [default: {TOKENS}, or as many as the model has positions for]"
                )),
        )
        .arg(
            number("temperature", "T")
                .default_value("0.8")
                .help("What scores are divided by before a token is drawn; 0 takes the likeliest"),
        )
        .arg(
            Arg::new("top-k")
                .long("top-k")
                .value_name("K")
                .value_parser(value_parser!(u32).range(1..))
                .help("Draw from the K likeliest tokens alone"),
        )
        .arg(
            number("top-p", "P")
                .default_value("1")
                .help("Draw from the fewest tokens alone that have this share of the probability"),
        )
        .arg(
            Arg::new("seed")
                .long("seed")
                .value_name("N")
                .default_value("0")
                .value_parser(value_parser!(u64))
                .help("Where the randomness comes from: the same text again, or another"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the result as a JSON object on one line"),
        )
        .after_help(EXAMPLES)
}

/// Generates, and prints the text as it comes.
pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    let prompt = match matches.get_one::<String>("ids") {
        Some(ids) => Prompt::Ids(read_ids("--ids", ids)?),
        None => Prompt::Text(matches.get_one::<String>("prompt").cloned().unwrap_or_default()),
    };
    let number = |name: &str| matches.get_one::<f64>(name).copied().unwrap_or_default();
    let top_k = matches.get_one::<u32>("top-k").map_or(0, |&k| k as usize);
    let seed = matches.get_one::<u64>("seed").copied().unwrap_or_default();
    let sampling =
        Sampling { temperature: number("temperature"), top_k, top_p: number("top-p"), seed };
    sampling.check()?;
    let request = GenerationRequest {
        model: matches.get_one::<PathBuf>("model").cloned().unwrap_or_default(),
        prompt,
        tokens: matches.get_one::<u32>("tokens").map(|&tokens| tokens as usize),
        sampling,
    };
    if matches.get_flag("json") {
        return print_summary(&generate(&request, |_| Ok(()))?.to_json());
    }
    let tell = |piece: &str| {
        let mut out = stdout().lock();
        let written = out.write_all(piece.as_bytes()).and_then(|()| out.flush());
        written.map_err(Error::file("write to", "standard output".as_ref()))
    };
    let generation = generate(&request, tell)?;
    tell("\n")?;
    drop(writeln!(std::io::stderr(), "{generation}"));
    Ok(())
}
