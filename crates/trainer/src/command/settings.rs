//! Settings as flags, keys and help, for the commands that begin runs.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Id, value_parser};

use super::arguments;
use crate::config::{self, Configuration, Layers, SETTINGS, Setting};
use crate::error::Result;

/// How a command that begins runs takes its settings.
pub(super) struct Settings {
    /// What is otherwise than by the settings' own defaults, as of `--set`.
    pub(super) defaults: &'static [&'static str],
    /// Whether a setting is a flag too, by its key.
    pub(super) is_flag: fn(&Setting) -> bool,
    /// Whether a setting does anything.
    pub(super) is_known: fn(&Setting) -> bool,
    /// One thing more that is otherwise, by what the settings are then.
    pub(super) adjust: fn(&Configuration) -> Option<String>,
    /// What the command needs besides settings that go together.
    pub(super) check: fn(&Configuration) -> Result<(), config::Error>,
}

impl Settings {
    /// A flag for each setting that is one, `--config`, `--set`, `--plan`, `--resume` and `--json`.
    pub(super) fn arguments(&self) -> Vec<Arg> {
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
        let settings =
            self.flags().map(Setting::flag).chain(["config", "set", "plan"].map(str::to_owned));
        let resume = Arg::new("resume")
            .long("resume")
            .value_name("RUN")
            .value_parser(value_parser!(PathBuf))
            .conflicts_with_all(settings.map(Id::from))
            .help("Go on with a run that was interrupted or killed, with its own settings alone");
        let json =
            arguments::json().help("Print the summary, or the plan, as a JSON object on one line");
        let default = self.default();
        let flags = self.flags().map(|setting| flag(setting, &default));
        flags.chain([config, set, plan, resume, json]).collect()
    }

    /// The configuration that the arguments ask for.
    ///
    /// # Errors
    /// Settings that are not known, or do not go together.
    pub(super) fn read(&self, matches: &ArgMatches) -> Result<Configuration> {
        let layers = self.layers(matches, None)?;
        let adjustment = (self.adjust)(&layers.merged()?);
        let layers = match adjustment {
            Some(_) => self.layers(matches, adjustment.as_deref())?,
            None => layers,
        };
        let configuration = layers.resolve()?;
        (self.check)(&configuration)?;
        Ok(configuration)
    }

    /// What the arguments give, over the defaults of the command and an adjustment of them.
    fn layers(&self, matches: &ArgMatches, adjustment: Option<&str>) -> Result<Layers> {
        let mut layers = Layers::default();
        layers.add_assignments(self.defaults.iter().copied())?;
        layers.add_assignments(adjustment)?;
        if let Some(path) = matches.get_one::<PathBuf>("config") {
            layers.add_file(path)?;
        }
        let set = matches.get_many::<String>("set").into_iter().flatten();
        layers.add_assignments(set.map(|assignment| &**assignment))?;
        layers.add_flags(self.flags().flat_map(|setting| {
            let flag = setting.flag();
            let values: Vec<String> = if setting.is_switch() {
                matches.get_flag(&flag).then(|| "true".to_owned()).into_iter().collect()
            } else {
                matches.get_many(&flag).into_iter().flatten().cloned().collect()
            };
            values.into_iter().map(|value| (setting.key(), value))
        }))?;
        Ok(layers)
    }

    /// Every key with its default and its help, for the long help.
    pub(super) fn keys(&self) -> String {
        let default = self.default();
        let mut text =
            "Keys for --set and for the sections of a --config file, with their defaults:\n"
                .to_owned();
        for setting in SETTINGS.iter().filter(|setting| (self.is_known)(setting)) {
            let value = setting.value(&default).map_or("(absent)".into(), |value| plain(&value));
            let assignment = format!("{}={value}", setting.key());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {assignment:<38} {}", setting.help());
        }
        text
    }

    fn flags(&self) -> impl Iterator<Item = &'static Setting> + use<> {
        let is_flag = self.is_flag;
        SETTINGS.iter().filter(move |setting| is_flag(setting))
    }

    fn default(&self) -> Configuration {
        let mut layers = Layers::default();
        // They need not make a run on their own: a model may be missing.
        let added = layers.add_assignments(self.defaults.iter().copied());
        added.and_then(|()| layers.merged()).unwrap_or_default()
    }
}

fn flag(setting: &'static Setting, default: &Configuration) -> Arg {
    let default = match setting.value(default) {
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

/// A value as it is spelt on a command line.
fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
