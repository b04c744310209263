//! The configuration of a run, and how it differs from that of its preset.
//!
//! `config.toml` is read as text with keys, not as a configuration of this version: the page of a run that
//! another version made is still worth a look.

use std::path::Path;

use toml::Value;

use crate::config::{Configuration, Preset, SETTINGS};
use crate::error::{Error, Result};

/// A setting of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chosen {
    /// Its key, as `model.width`.
    pub(super) key: String,
    /// Its value, or nothing where it is absent.
    pub(super) value: Option<String>,
    /// What the preset has there.
    pub(super) preset: Option<String>,
    /// What it does; nothing for a key that this version does not know.
    pub(super) help: String,
}

impl Chosen {
    /// Whether the preset has something else.
    pub(super) fn is_changed(&self) -> bool {
        self.value != self.preset
    }
}

/// Reads the settings of a run, in the order of help texts, unknown ones last.
///
/// # Errors
/// [`Error::File`]; [`Error::RunFile`] for a file that is no TOML.
pub(super) fn read(path: &Path) -> Result<Vec<Chosen>> {
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    let table: toml::Table = text.parse().map_err(|problem: toml::de::Error| Error::RunFile {
        path: path.to_owned(),
        expected: "the settings of a run, in TOML".to_owned(),
        found: problem.message().to_owned(),
    })?;
    let mut given: Vec<(String, Value)> = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(section) => {
                given.extend(
                    section.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)),
                );
            }
            value => given.push((key, value)),
        }
    }
    let preset = given.iter().find(|(key, _)| key == "preset");
    let preset = preset.and_then(|(_, name)| named(name)).unwrap_or_default();
    let mut chosen: Vec<Chosen> = Vec::with_capacity(SETTINGS.len());
    for setting in SETTINGS.iter().filter(|setting| setting.is_kept()) {
        let key = setting.key();
        let place = given.iter().position(|(given, _)| *given == key);
        chosen.push(Chosen {
            value: place.map(|place| shown(&given.swap_remove(place).1)),
            preset: setting.value(&preset).map(|value| shown(&value)),
            help: setting.help(),
            key,
        });
    }
    given.sort_by(|a, b| a.0.cmp(&b.0));
    chosen.extend(given.into_iter().map(|(key, value)| {
        let help = "this version does not know it".to_owned();
        Chosen { key, value: Some(shown(&value)), preset: None, help }
    }));
    Ok(chosen)
}

/// The configuration of the preset of that name, if there is one.
fn named(name: &Value) -> Option<Configuration> {
    let preset = Preset::ALL.into_iter().find(|preset| Some(preset.name()) == name.as_str());
    preset.map(Preset::configuration)
}

/// A value as it is spelt on a command line; numbers in one way, however they were written.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(number) => format!("{number:?}"),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;
    use crate::temporary::TemporaryFolder;

    #[test]
    fn what_differs_from_the_preset_is_known_with_both_values() {
        let folder = TemporaryFolder::new();
        let mut layers = Layers::default();
        layers.add_assignments(["preset=moe", "steps=7", "ternary.ramp=0.25"]).unwrap();
        let path = folder.file("config.toml", layers.resolve().unwrap().to_toml());
        let chosen = read(&path).unwrap();
        let changed: Vec<_> = chosen.iter().filter(|chosen| chosen.is_changed()).collect();
        let keys: Vec<&str> = changed.iter().map(|chosen| &*chosen.key).collect();
        assert_eq!(keys, ["steps", "ternary.ramp"]);
        assert_eq!(
            (changed[0].value.as_deref(), changed[0].preset.as_deref()),
            (Some("7"), Some("1000"))
        );
        assert_eq!(
            (changed[1].value.as_deref(), changed[1].preset.as_deref()),
            (Some("0.25"), None)
        );
    }

    #[test]
    fn keys_of_another_version_are_shown_and_what_is_no_toml_is_named() {
        let folder = TemporaryFolder::new();
        let path = folder.file("config.toml", "steps = 3\n[flux]\ncapacitor = 1.21\n");
        let chosen = read(&path).unwrap();
        let last = chosen.last().unwrap();
        assert_eq!((&*last.key, last.value.as_deref()), ("flux.capacitor", Some("1.21")));
        let path = folder.file("config.toml", "steps = = 3");
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("config.toml: expected the settings of a run"), "{error}");
    }
}
