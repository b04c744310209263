//! Arguments that several commands take, defined once.

use std::io::{Write as _, stderr};
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use crate::error::Result;
use crate::generate::{Sampling, TOKENS};
use crate::run::Used;
use crate::visible::Visible;

/// `--model`.
pub(super) fn model() -> Arg {
    Arg::new("model")
        .long("model")
        .value_name("DIR")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help(
            "A run, or the folder of a model: as a run leaves it, or as Hugging Face's tools do; a run of adapters is \
             the model that they are for, with them",
        )
}

/// `--adapter`.
pub(super) fn adapter() -> Arg {
    Arg::new("adapter").long("adapter").value_name("DIR").value_parser(value_parser!(PathBuf)).help(
        "Adapters for that model: a run of ternary lora, or a folder as PEFT or MLX-LM leave it",
    )
}

/// The model and the adapters that `--model` and `--adapter` mean.
///
/// # Errors
/// A run that has left neither yet, or whose model is gone.
pub(super) fn read_model(matches: &ArgMatches) -> Result<Used> {
    let adapter = matches.get_one::<PathBuf>("adapter");
    let used = Used::open(&read_path(matches, "model"), adapter.map(|path| &**path))?;
    if let Some(adapter) = used.adapter.as_ref().filter(|_| adapter.is_some())
        && used.is_odd()?
    {
        let (adapter, model) = (adapter.display(), used.model.display());
        let note = format!(
            "note: the adapters of {adapter} were trained beside another model than {model}"
        );
        drop(writeln!(stderr(), "{}", Visible(note)));
    }
    Ok(used)
}

/// The value of a flag that is a path and must be given.
pub(super) fn read_path(matches: &ArgMatches, name: &str) -> PathBuf {
    matches.get_one::<PathBuf>(name).cloned().unwrap_or_default()
}

/// `--json`.
pub(super) fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print the result as a JSON object on one line")
}

/// A flag that counts something, from 1.
pub(super) fn count(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("N").value_parser(value_parser!(u32).range(1..))
}

/// The value of [`count`].
pub(super) fn read_count(matches: &ArgMatches, name: &str) -> Option<usize> {
    matches.get_one::<u32>(name).map(|&count| count as usize)
}

/// `--tokens`, and how they are drawn.
pub(super) fn sampling() -> [Arg; 5] {
    let Sampling { temperature, top_p, seed, .. } = Sampling::default();
    let number = |name: &'static str, value: &'static str, default: f64| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            // They are refused with their range.
            .allow_negative_numbers(true)
            .value_parser(value_parser!(f64))
            .default_value(default.to_string())
    };
    [
        count("tokens").help(format!(
            "Tokens at most [default: {TOKENS}, or as many as the model has positions for]"
        )),
        number("temperature", "T", temperature)
            .help("What scores are divided by before a token is drawn; 0 takes the likeliest"),
        count("top-k").value_name("K").help("Draw from the K likeliest tokens alone"),
        number("top-p", "P", top_p)
            .help("Draw from the fewest tokens alone that have this share of the probability"),
        Arg::new("seed")
            .long("seed")
            .value_name("N")
            .default_value(seed.to_string())
            .value_parser(value_parser!(u64))
            .help("Where the randomness comes from: the same text again, or another"),
    ]
}

/// How tokens are drawn.
///
/// # Errors
/// [`Error::Sampling`](crate::Error::Sampling).
pub(super) fn read_sampling(matches: &ArgMatches) -> Result<Sampling> {
    let number = |name: &str| matches.get_one::<f64>(name).copied().unwrap_or_default();
    let sampling = Sampling {
        temperature: number("temperature"),
        top_k: read_count(matches, "top-k").unwrap_or_default(),
        top_p: number("top-p"),
        seed: matches.get_one::<u64>("seed").copied().unwrap_or_default(),
    };
    sampling.check()?;
    Ok(sampling)
}
