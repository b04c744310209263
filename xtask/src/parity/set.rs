//! A folder of cases, and what its list says is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::measure::Measurement;
use super::report::{Case, Fate};
use super::{Outcome, layer, model};
use crate::fixtures::{Error, INDEX, Result, read_json};

/// Files beside the cases that tell people about them.
const NOTES: &str = "README.md";

/// What a list tells besides cases: the software that the set was made with.
const MADE_WITH: &str = "made_with";

/// A set of cases.
#[derive(Debug)]
pub(crate) struct Set {
    path: PathBuf,
    layers: Vec<String>,
    models: Vec<String>,
    /// Cases of lists that this gate knows no check for.
    unknown: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Index {
    layers: Vec<Entry>,
    models: Vec<Entry>,
    /// What else is told, among it perhaps other lists of cases.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
}

impl Set {
    /// Reads the list of a set and holds it to the folders that are there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let Index { layers, models, others } = read_json(&path.join(INDEX))?;
        let [layers, models] = [("layer", layers), ("model", models)].map(|(part, entries)| {
            let listed: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
            same(&path.join(part), &listed)?;
            Ok::<_, Error>(listed)
        });
        let mut unknown = Vec::new();
        for (part, cases) in others.iter().filter(|(part, _)| *part != MADE_WITH) {
            let Some(cases) = cases.as_array().filter(|cases| !cases.is_empty()) else {
                return Err(Error::content(&path.join(INDEX), format!("nobody reads {part}")));
            };
            let name = |case: &Value| format!("{part}/{}", case["name"].as_str().unwrap_or("?"));
            unknown.extend(cases.iter().map(name));
        }
        let set = Self { path: path.to_owned(), layers: layers?, models: models?, unknown };
        if set.layers.is_empty() && set.models.is_empty() {
            return Err(Error::content(&path.join(INDEX), "lists no case"));
        }
        let known = [INDEX, NOTES, "layer", "model"];
        match names(path)?.into_iter().find(|name| !known.contains(&name.as_str())) {
            None => Ok(set),
            Some(name) => Err(Error::content(&path.join(name), "nobody reads this file")),
        }
    }

    /// Runs the cases whose names contain `filter`.
    pub(crate) fn run(&self, filter: &str) -> Vec<Case> {
        let mut cases = Vec::new();
        let named = |part: &str, name: &str| format!("{part}/{name}");
        let wanted = |name: &str| name.contains(filter);
        for name in &self.layers {
            let name = named("layer", name);
            if wanted(&name) {
                cases.push(Case::ran(&name, caught(|| layer::run(&self.path.join(&name)))));
            }
        }
        for name in &self.models {
            let name = named("model", name);
            if wanted(&name) {
                cases.push(Case::ran(&name, caught(|| model::run(&self.path.join(&name)))));
            }
        }
        for model in &self.models {
            let name = named("training", model);
            if wanted(&name) {
                let path = self.path.join("model").join(model);
                cases.push(Case::ran(&name, caught(|| model::train(&path))));
            }
        }
        for name in self.unknown.iter().filter(|name| wanted(name)) {
            let fate = Fate::NotRun("this gate knows no check for such cases");
            cases.push(Case { name: name.clone(), fate });
        }
        cases
    }
}

/// Runs a case; a panic fails it.
pub(super) fn caught(run: impl FnOnce() -> Outcome<Vec<Measurement>>) -> Outcome<Vec<Measurement>> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("without a message")).into())
    })
}

/// Refuses a folder that has other cases than those listed.
fn same(folder: &Path, listed: &[String]) -> Result<()> {
    let found = names(folder)?;
    let expected: BTreeSet<String> = listed.iter().cloned().collect();
    let fault = |what: String| Err(Error::content(folder, what));
    if expected.len() != listed.len() {
        return fault(format!("{INDEX} lists a case twice"));
    }
    match found.symmetric_difference(&expected).next() {
        None => Ok(()),
        Some(name) if found.contains(name) => fault(format!("{name} is not in {INDEX}")),
        Some(name) => fault(format!("{name} is in {INDEX} and not here")),
    }
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(Error::file(folder, error)),
    };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.map_err(|source| Error::file(folder, source))?;
        Ok(entry.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}
