//! From a preset, a file, `--set` and flags to one configuration.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use toml::Value;

use super::error::{Error, Source};
use super::preset::Preset;
use super::value::SettingValue;
use super::{Configuration, SETTINGS, Setting};

/// Values for settings, in layers: a later layer overrides the earlier ones.
#[derive(Debug, Default)]
pub struct Layers {
    layers: Vec<BTreeMap<String, Given>>,
}

/// A value as it was given. From a command line, where strings have no quotes, it can be read in two ways.
#[derive(Debug, Clone)]
struct Given {
    source: Source,
    readings: Vec<Value>,
}

impl Layers {
    /// Adds a configuration file on top.
    ///
    /// # Errors
    /// [`Error::File`] for one that cannot be read or parsed. What its keys are worth is checked by
    /// [`resolve`](Self::resolve).
    pub fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let bad = |problem: String| Error::File { path: path.to_owned(), problem };
        let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| bad(error.to_string().trim_end().to_owned()))?;
        let mut layer = BTreeMap::new();
        let source = Source::File(path.to_owned());
        let mut add = |key: String, value: Value| {
            layer.insert(key, Given { source: source.clone(), readings: vec![value] });
        };
        for (key, value) in table {
            match value {
                // A table named like a setting of the top is a wrong value, not a section.
                Value::Table(section) if setting(&key).is_none() => {
                    section
                        .into_iter()
                        .for_each(|(name, value)| add(format!("{key}.{name}"), value));
                }
                value => add(key, value),
            }
        }
        self.layers.push(layer);
        Ok(())
    }

    /// Adds what `--set` was given, each `key=value`, on top. The elements of a list are divided by semicolons, or
    /// given one after the other.
    ///
    /// # Errors
    /// [`Error::Assignment`] without an equals sign, [`Error::Twice`] for a key given twice that is no list.
    pub fn add_assignments<'a>(
        &mut self,
        assignments: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Error> {
        let mut pairs = Vec::new();
        for found in assignments {
            let (key, value) = found
                .split_once('=')
                .ok_or_else(|| Error::Assignment { found: found.to_owned() })?;
            pairs.push((key.trim().to_owned(), value.trim().to_owned()));
        }
        self.add_words(Source::Set, pairs)
    }

    /// Adds what flags were given, by the keys of their settings, on top, lists as for `--set`.
    ///
    /// # Errors
    /// [`Error::Twice`] for a key given twice that is no list.
    pub fn add_flags(
        &mut self,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), Error> {
        self.add_words(Source::Flag, flags)
    }

    fn add_words(
        &mut self,
        source: Source,
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), Error> {
        let mut layer: BTreeMap<String, Given> = BTreeMap::new();
        for (key, word) in pairs {
            if setting(&key).is_some_and(Setting::is_list) {
                let given = Given { source: source.clone(), readings: vec![elements(&word)] };
                layer.entry(key).and_modify(|list| list.append(&given)).or_insert(given);
                continue;
            }
            let given = Given { source: source.clone(), readings: readings(&word) };
            if let Some(first) = layer.get(&key) {
                let (first, second) = (first.in_words(), given.in_words());
                return Err(Error::Twice { source_of_key: source, key, first, second });
            }
            layer.insert(key, given);
        }
        self.layers.push(layer);
        Ok(())
    }

    /// The configuration: the preset that the top layer names, changed by the layers from the bottom
    /// up, and checked as a whole.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::Value`], [`Error::Contradiction`].
    pub fn resolve(&self) -> Result<Configuration, Error> {
        let configuration = self.merged()?;
        configuration.check()?;
        Ok(configuration)
    }

    /// The same unchecked: settings that do not make a run on their own.
    ///
    /// # Errors
    /// [`Error::UnknownKey`], [`Error::Value`].
    pub(crate) fn merged(&self) -> Result<Configuration, Error> {
        let mut configuration = self.preset()?.unwrap_or_default().configuration();
        for (key, given) in self.layers.iter().flatten() {
            let setting = setting(key).ok_or_else(|| Error::UnknownKey {
                source_of_key: given.source.clone(),
                key: key.clone(),
                closest: closest(key),
            })?;
            let mut readings = given.readings.iter();
            if !readings.any(|value| setting.change(&mut configuration, value)) {
                return Err(Error::Value {
                    source_of_value: given.source.clone(),
                    key: key.clone(),
                    expected: setting.expected(),
                    found: given.in_words(),
                });
            }
        }
        Ok(configuration)
    }

    /// The preset that the top layer names. A file that names another one may hold every setting of that one, which
    /// would leave nothing of the preset but its name.
    fn preset(&self) -> Result<Option<Preset>, Error> {
        let mut named: Option<(&Source, Preset)> = None;
        for given in self.layers.iter().filter_map(|layer| layer.get("preset")) {
            let Some(preset) = given.readings.iter().find_map(Preset::from_toml) else { continue };
            match named {
                Some((Source::File(path), other)) if other != preset => {
                    return Err(Error::Contradiction {
                        keys: "preset",
                        expected: "one preset: to change it, take the line `preset` and the keys that are to change \
                                   out of the file",
                        found: format!(
                            "{} in {}, and {} by {}",
                            other.name(),
                            path.display(),
                            preset.name(),
                            given.source
                        ),
                    });
                }
                _ => named = Some((&given.source, preset)),
            }
        }
        Ok(named.map(|(_, preset)| preset))
    }
}

impl Given {
    /// Adds the elements of another list.
    fn append(&mut self, more: &Self) {
        for (list, more) in self.readings.iter_mut().zip(&more.readings) {
            if let (Value::Array(list), Value::Array(more)) = (list, more) {
                list.extend(more.iter().cloned());
            }
        }
    }

    fn in_words(&self) -> String {
        self.readings[0].to_string()
    }
}

/// A word of a command line as the number or truth value that it spells, and as a string.
fn readings(word: &str) -> Vec<Value> {
    let spelt = word
        .parse::<Value>()
        .ok()
        .filter(|value| matches!(value, Value::Integer(_) | Value::Float(_) | Value::Boolean(_)));
    spelt.into_iter().chain([Value::String(word.to_owned())]).collect()
}

/// The elements of a list on a command line, between semicolons.
fn elements(word: &str) -> Value {
    let parts = word.split(';').map(str::trim).filter(|part| !part.is_empty());
    Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
}

fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key() == key)
}

/// The key that takes the fewest edits to come from `key`, if they are few.
fn closest(key: &str) -> Option<String> {
    let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |setting: &Setting| {
        let known = setting.key();
        match () {
            // The flag of a setting in a section.
            () if setting.is_flag() && setting.flag() == key => 0,
            // A name that is right in the wrong section is as good as two wrong letters.
            () if name(&known) == name(key) => 2,
            () => edits(&known, key),
        }
    };
    SETTINGS
        .iter()
        .map(|setting| (distance(setting), setting.key()))
        .filter(|(edits, known)| *edits <= 1 + known.len() / 4)
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein's distance: insertions, deletions and substitutions from one word to the other.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for j in 0..b.len() {
            let substituted = diagonal + usize::from(letter != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
