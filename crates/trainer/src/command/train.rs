//! `ternary train`.

use clap::{ArgMatches, Command};

use super::running;
use super::settings::Settings;
use crate::config::{Preset, Setting};
use crate::error::Result;

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

const SETTINGS: Settings = Settings {
    defaults: &[],
    is_flag,
    is_known: is_of_training,
    adjust: |_| None,
    check: |_| Ok(()),
};

fn is_flag(setting: &Setting) -> bool {
    setting.is_flag() && is_of_training(setting)
}

/// Whether a setting is for runs that train a whole model.
fn is_of_training(setting: &Setting) -> bool {
    !matches!(setting.section, "lora" | "samples")
}

pub(super) fn command() -> Command {
    let presets = presets();
    let short =
        format!("{EXAMPLES}\n{presets}\nAll keys, for --set and --config: ternary train --help");
    Command::new("train")
        .about("Trains a model, and leaves it in a folder with the metrics of the run")
        .args(SETTINGS.arguments())
        .after_help(short)
        .after_long_help(format!("{EXAMPLES}\n{presets}\n{}", SETTINGS.keys()))
}

/// Trains, or plans, and prints the summary.
pub(super) fn run(matches: &ArgMatches) -> Result<()> {
    running::run(&SETTINGS, matches)
}

/// Every preset with what it is, for the help.
fn presets() -> String {
    let line = |preset: &Preset| format!("  {:<8} {}\n", preset.name(), preset.about());
    format!("Presets:\n{}", Preset::ALL.iter().map(line).collect::<String>())
}
