//! What Python wrote into the folder of a model.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::fixtures::model::Batch;
use crate::fixtures::oracle::adamw::Settings;
use crate::parity::Outcome;

/// The folder of the model itself.
pub(super) const BASE: &str = "base";
/// The folder of adapters that we write.
pub(super) const OURS: &str = "ours";

/// `made.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Made {
    /// Sequences of one length.
    pub(super) tokens: Vec<Vec<usize>>,
    /// The logits of those.
    pub(super) base: Vec<f64>,
    /// The same with each of the adapters.
    pub(super) adapters: BTreeMap<String, Vec<f64>>,
    pub(super) training: Training,
}

/// Training in f64.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Training {
    /// What it starts from.
    pub(super) adapter: String,
    pub(super) adamw: Settings,
    batches: Vec<Vec<Vec<usize>>>,
    /// Before each step.
    pub(super) losses: Vec<f64>,
}

/// `read.json`: numbers, or why there are none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Heard {
    ours: Told<Vec<f64>>,
    base: Told<f64>,
    tuned: Told<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Told<V> {
    Value(V),
    Problem { error: String },
}

impl Made {
    pub(super) fn read(place: &Path) -> Result<Self, String> {
        json(&place.join("made.json"))
    }
}

impl Training {
    /// Batches of which every token counts.
    pub(super) fn batches(&self) -> Vec<Batch> {
        let batch = |tokens: &Vec<Vec<usize>>| {
            let labels = tokens.iter().map(|row| row.iter().map(|&token| token as i64).collect());
            Batch { tokens: tokens.clone(), labels: labels.collect() }
        };
        self.batches.iter().map(batch).collect()
    }
}

impl Heard {
    pub(super) fn read(place: &Path) -> Result<Self, String> {
        json(&place.join("read.json"))
    }

    /// The logits with the adapters that we wrote.
    pub(super) fn ours(&self) -> Outcome<&Vec<f64>> {
        self.ours.value()
    }

    /// The held-out losses without and with the adapters that a run has trained.
    pub(super) fn losses(&self) -> Outcome<[f64; 2]> {
        Ok([*self.base.value()?, *self.tuned.value()?])
    }
}

impl<V> Told<V> {
    fn value(&self) -> Outcome<&V> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Problem { error } => Err(error.clone().into()),
        }
    }
}

fn json<V: DeserializeOwned>(path: &Path) -> Result<V, String> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_could_not_do_is_an_error_where_it_is_asked_for() {
        let heard = r#"{"ours": {"error": "no such module"}, "base": 2.5, "tuned": 2}"#;
        let heard: Heard = serde_json::from_str(heard).unwrap();
        assert_eq!(heard.ours().unwrap_err().to_string(), "no such module");
        assert_eq!(heard.losses().unwrap(), [2.5, 2.0]);
    }
}
