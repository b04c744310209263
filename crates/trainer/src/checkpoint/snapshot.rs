//! [`Snapshot`]: what a run goes on from that is no array.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// Where a run is. Each owner of something that lives across steps (a guard, say) has a part under a name.
///
/// ```
/// use trainer::checkpoint::Snapshot;
///
/// let mut snapshot = Snapshot { step: 40, ..Snapshot::default() };
/// snapshot.insert("best", &Some((20, 1.25)))?;
/// assert_eq!(snapshot.part::<Option<(u32, f64)>>("best")?, Some((20, 1.25)));
/// assert!(snapshot.insert("mean", &f64::NAN).is_err());
/// # Ok::<(), trainer::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Updates so far.
    pub step: u32,
    /// The settings that have a value, as TOML.
    pub configuration: BTreeMap<String, String>,
    /// What tells texts apart.
    pub data: String,
    /// What tells teachers apart, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// What tells models apart that adapters are for, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// How long the run has taken so far.
    pub seconds: f64,
    /// Bytes, by file, that what grows in the folder of the run had then: what follows is of steps that will be
    /// done again.
    pub lengths: BTreeMap<String, u64>,
    /// Updates of each tensor that the optimiser counts.
    pub optimiser_times: Vec<u32>,
    /// The rest.
    pub parts: BTreeMap<String, Value>,
}

impl Snapshot {
    /// Keeps a part.
    ///
    /// # Errors
    /// [`Error::State`] where it could not be restored: a number that is not finite has no JSON.
    pub fn insert<T: Serialize + DeserializeOwned>(&mut self, name: &str, part: &T) -> Result<()> {
        let value = serde_json::to_value(part).and_then(|value| {
            T::deserialize(&value)?;
            Ok(value)
        });
        self.parts.insert(name.to_owned(), value.map_err(state(name))?);
        Ok(())
    }

    /// A part as it was kept.
    ///
    /// # Errors
    /// [`Error::State`] where there is none of this name, or it is of another kind.
    pub fn part<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let missing = || state(name)(serde::de::Error::custom("it is missing"));
        T::deserialize(self.parts.get(name).ok_or_else(missing)?).map_err(state(name))
    }
}

fn state(part: &str) -> impl FnOnce(serde_json::Error) -> Error {
    move |source| Error::State { part: part.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_in_its_bits() {
        let numbers: Vec<f64> = (0..2000)
            .map(|i: u64| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .filter(|number| number.is_finite())
            .chain([-0.0, 0.1 + 0.2, f64::MIN_POSITIVE / 8.0, f64::MAX])
            .collect();
        let mut snapshot = Snapshot { seconds: 1.0 / 3.0, ..Snapshot::default() };
        snapshot.lengths.insert("file".to_owned(), u64::MAX);
        snapshot.insert("numbers", &numbers).unwrap();
        let json = serde_json::to_vec(&snapshot).unwrap();
        let read: Snapshot = serde_json::from_slice(&json).unwrap();
        let found: Vec<f64> = read.part("numbers").unwrap();
        let bits = |numbers: &[f64]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&numbers));
        assert_eq!((read.seconds, &read.lengths), (snapshot.seconds, &snapshot.lengths));
    }

    #[test]
    fn a_part_that_is_missing_or_of_another_kind_is_named() {
        let mut snapshot = Snapshot::default();
        let error = snapshot.part::<u32>("guard").unwrap_err().to_string();
        assert_eq!(error, "the state of the run: guard: it is missing");
        snapshot.insert("guard", &"text".to_owned()).unwrap();
        let error = snapshot.part::<u32>("guard").unwrap_err().to_string();
        assert!(error.starts_with("the state of the run: guard: invalid type"), "{error}");
    }
}
