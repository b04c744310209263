//! `ternary train`.

use std::fmt::Write as _;
use std::io::{Write as _, stderr};
use std::path::PathBuf;
use std::process::exit;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command, Id, value_parser};

use super::{INTERRUPTED, arguments, print_summary};
use crate::config::Preset;
use crate::config::{Configuration, Layers, SETTINGS, Setting};
use crate::error::Result;
use crate::plan::plan;
use crate::run::{Interrupt, Progress, Resumed, Summary, train};

const EXAMPLES: &str = "\
Examples:
  ternary train                               a tiny model, on stories it makes itself
  ternary train --data book.txt --steps 2000  on a text of your own
  ternary train --float                       the same model with float weights
  ternary train --preset small --plan         what a larger one takes, and whether it fits
  ternary train --set model.width=256 --set optimiser.learning_rate=1e-3
  ternary train --config runs/tiny-0001/config.toml --seed 1
  ternary train --resume runs/tiny-0001       go on where a run was interrupted or killed
";

pub(super) fn command() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Settings from a TOML file, such as the config.toml of a run");
    let set = Arg::new("set")
        .long("set")
        .value_name("KEY=VALUE")
        .action(ArgAction::Append)
        .help("One setting by its key, over those of the file; may be repeated");
    let plan = Arg::new("plan")
        .long("plan")
        .action(ArgAction::SetTrue)
        .help("Only tell what the run would take: memory, time and disk, and whether it fits");
    let settings = flags().map(Setting::flag).chain(["config", "set", "plan"].map(str::to_owned));
    let resume = Arg::new("resume")
        .long("resume")
        .value_name("RUN")
        .value_parser(value_parser!(PathBuf))
        .conflicts_with_all(settings.map(Id::from))
        .help("Go on with a run that was interrupted or killed, with its own settings alone");
    let presets = presets();
    let short =
        format!("{EXAMPLES}\n{presets}\nAll keys, for --set and --config: ternary train --help");
    Command::new("train")
        .about("Trains a model, and leaves it in a folder with the metrics of the run")
        .args(flags().map(flag))
        .args([config, set, plan, resume])
        .arg(arguments::json().help("Print the summary, or the plan, as a JSON object on one line"))
        .after_help(short)
        .after_long_help(format!("{EXAMPLES}\n{presets}\n{}", keys()))
}

/// Trains, or plans, and prints the summary.
pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    if let Some(path) = matches.get_one::<PathBuf>("resume") {
        return match Resumed::open(path)? {
            Resumed::Ended(summary) => {
                // When nobody reads, there is nobody to tell.
                drop(writeln!(stderr(), "the run {} has ended already", path.display()));
                print(&summary, matches)
            }
            Resumed::Unfinished(run) => {
                let configuration = run.configuration().clone();
                watched(&configuration, matches, |progress, interrupt| {
                    run.train(progress, interrupt)
                })
            }
        };
    }
    let configuration = configuration(matches)?;
    let is_json = matches.get_flag("json");
    if matches.get_flag("plan") {
        let plan = plan(&configuration, &mut |line| drop(writeln!(stderr(), "{line}")))?;
        if is_json {
            print_summary(&plan.to_json())?;
        } else {
            print_summary(&plan)?;
        }
        return plan.check();
    }
    watched(&configuration, matches, |progress, interrupt| {
        train(&configuration, progress, interrupt)
    })
}

/// Trains with a bar and under Ctrl-C, and prints the summary.
fn watched(
    configuration: &Configuration,
    matches: &ArgMatches,
    train: impl FnOnce(&Progress, &Interrupt) -> Result<Summary>,
) -> Result<()> {
    let interrupt = Arc::default();
    hear_interrupts(&interrupt);
    let progress = Progress::new(configuration.run.steps, configuration.log.every);
    let summary = train(&progress, &interrupt);
    progress.finish();
    print(&summary?, matches)
}

/// Has Ctrl-C ask the run for a checkpoint, and end the process where the run does not hear it: the second time, or
/// outside of its steps.
fn hear_interrupts(interrupt: &Arc<Interrupt>) {
    let interrupt = Arc::clone(interrupt);
    // Where there is no handler, Ctrl-C ends the process, which a run survives as well.
    let _ = ctrlc::set_handler(move || {
        if !interrupt.ask() {
            exit(INTERRUPTED.into());
        }
        let line = "finishing this step, then saving a checkpoint; Ctrl-C again ends at once";
        drop(writeln!(stderr(), "{line}"));
    });
}

fn print(summary: &Summary, matches: &ArgMatches) -> Result<()> {
    if matches.get_flag("json") {
        print_summary(&summary.to_json())
    } else {
        print_summary(summary)
    }
}

/// The settings that are flags as well as keys.
fn flags() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| setting.is_flag())
}

fn flag(setting: &'static Setting) -> Arg {
    let default = match setting.value(&Configuration::default()) {
        Some(value) if !setting.is_switch() && !setting.is_list() => {
            format!(" [default: {}]", plain(&value))
        }
        _ => String::new(),
    };
    let flag = Arg::new(setting.flag()).long(setting.flag());
    let flag = flag.help(format!("{}{default}", setting.help()));
    if setting.is_switch() {
        flag.action(ArgAction::SetTrue)
    } else if setting.is_list() {
        flag.action(ArgAction::Append).value_name(setting.flag())
    } else {
        flag.value_name(setting.flag()).allow_negative_numbers(true)
    }
}

fn configuration(matches: &ArgMatches) -> Result<Configuration> {
    let mut layers = Layers::default();
    if let Some(path) = matches.get_one::<PathBuf>("config") {
        layers.add_file(path)?;
    }
    layers
        .add_assignments(matches.get_many::<String>("set").into_iter().flatten().map(|s| &**s))?;
    layers.add_flags(flags().flat_map(|setting| {
        let flag = setting.flag();
        let values: Vec<String> = if setting.is_switch() {
            matches.get_flag(&flag).then(|| "true".to_owned()).into_iter().collect()
        } else {
            matches.get_many(&flag).into_iter().flatten().cloned().collect()
        };
        values.into_iter().map(|value| (setting.key(), value))
    }))?;
    Ok(layers.resolve()?)
}

/// Every preset with what it is, for the help.
fn presets() -> String {
    let line = |preset: &Preset| format!("  {:<8} {}\n", preset.name(), preset.about());
    format!("Presets:\n{}", Preset::ALL.iter().map(line).collect::<String>())
}

/// Every key with its default and its help, for the long help.
fn keys() -> String {
    let default = Configuration::default();
    let mut text =
        "Keys for --set and for the sections of a --config file, with their defaults:\n".to_owned();
    for setting in SETTINGS {
        let value = setting.value(&default).map_or("(absent)".into(), |value| plain(&value));
        let assignment = format!("{}={value}", setting.key());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {assignment:<38} {}", setting.help());
    }
    text
}

/// A value as it is spelt on a command line.
fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
