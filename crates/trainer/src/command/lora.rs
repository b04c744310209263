//! `ternary lora`.

use clap::{ArgMatches, Command};

use super::running;
use super::settings::Settings;
use crate::config::{self, Configuration, Setting};
use crate::error::Result;
use crate::run::model_folder;

const EXAMPLES: &str = "\
Examples:
  ternary lora --model models/Qwen3-0.6B --data talks.jsonl --out runs/talks
  ternary lora --model runs/hybrid-0001 --data book.txt --steps 200
  ternary lora --model models/Qwen3.5-0.8B --data talks.jsonl --targets in_proj_qkv,out_proj --layers 0-11
  ternary lora --model models/Qwen3-0.6B --data talks.jsonl --rank 64 --rank-stabilised --plan
  ternary lora --model models/Qwen3.5-0.8B --data talks.jsonl --base ternary --recompute
  ternary lora --resume runs/talks              go on where a run was interrupted or killed
";

const DATA: &str = "\
Data:
  A file that ends in .jsonl holds a sample in each line:
    {\"text\": \"...\"}                           all of it is learnt
    {\"prompt\": \"...\", \"completion\": \"...\"}    the completion is learnt
    {\"messages\": [{\"role\": \"user\", \"content\": \"...\"}, {\"role\": \"assistant\", \"content\": \"...\"}]}
                                              what the assistant says is learnt, in the model's chat template
  Any other file is one text, as for ternary train.

A window has 512 tokens, or as many as the model has positions if those are fewer; --length is another number.
The folder of the run has the adapters in adapter/, as PEFT loads them; eval, generate, chat and merge take it as --model.
";

const SETTINGS: Settings =
    Settings { defaults: &DEFAULTS, is_flag, is_known: is_of_adapters, adjust, check };

/// What suits adapters better than a model that begins with nothing: steps of the usual size for LoRA, no decay of
/// factors that are small anyway, and windows that hold a conversation.
const DEFAULTS: [&str; 5] = [
    "steps=500",
    "optimiser.learning_rate=2e-4",
    "optimiser.weight_decay=0",
    "batch.length=512",
    "batch.unit=1",
];

/// The settings that are flags, by their keys; so are those of the sections `lora` and `samples` that are not on by
/// themselves.
const FLAGS: [&str; 27] = [
    "data",
    "valid",
    "steps",
    "seed",
    "out",
    "force",
    "checkpoint_every",
    "keep_last",
    "stop_if",
    "time_budget",
    "batch.windows",
    "batch.length",
    "batch.accumulation",
    "batch.recompute",
    "optimiser.method",
    "optimiser.learning_rate",
    "optimiser.final_share",
    "optimiser.warm_up",
    "optimiser.weight_decay",
    "optimiser.groups",
    "optimiser.clip",
    "schedule.shape",
    "guard.bad_steps",
    "evaluation.every",
    "evaluation.held_out",
    "evaluation.patience",
    "evaluation.keep_best",
];

fn is_flag(setting: &Setting) -> bool {
    let key = setting.key();
    matches!(setting.section, "lora" | "samples") && key != "samples.pack" || FLAGS.contains(&&*key)
}

/// Whether a setting is for runs of adapters, whose model is what it is.
fn is_of_adapters(setting: &Setting) -> bool {
    let of_model = ["model", "delta", "mixture", "ternary", "mining", "fogzo", "distillation"];
    let of_codes = ["dqt_rate", "scale_rate", "negative_scale_rate", "threshold_rate"];
    match setting.section {
        "" => FLAGS.contains(&setting.name),
        "optimiser" => !of_codes.contains(&setting.name),
        section => !of_model.contains(&section),
    }
}

/// Windows are no longer than the model has positions for, unless that is asked for.
fn adjust(configuration: &Configuration) -> Option<String> {
    // What cannot be read is an error when the run needs it.
    let model = model_folder(configuration.lora.model.as_deref()?).ok()?;
    let positions = interop::shape(&model).ok()?.positions;
    (positions < configuration.batch.length).then(|| format!("batch.length={positions}"))
}

/// Without a model, the same settings would train one from nothing.
fn check(configuration: &Configuration) -> Result<(), config::Error> {
    if configuration.lora.model.is_some() {
        return Ok(());
    }
    Err(config::Error::Contradiction {
        keys: "model",
        expected: "the model that adapters are for, with --model, or a run to go on with, with --resume",
        found: "neither".to_owned(),
    })
}

pub(super) fn command() -> Command {
    let short =
        format!("{DATA}\n{EXAMPLES}\nAll keys, for --set and --config: ternary lora --help");
    Command::new("lora")
        .about("Trains low-rank adapters beside a model that stays as it is")
        .args(SETTINGS.arguments())
        .after_help(short)
        .after_long_help(format!("{DATA}\n{EXAMPLES}\n{}", SETTINGS.keys()))
}

/// Trains, or plans, and prints the summary.
pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    running::run(&SETTINGS, matches)
}
