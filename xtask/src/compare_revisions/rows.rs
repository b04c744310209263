//! The rows of a bench report: what identifies one, and its time.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What a row measures: everything in it that was chosen, in words.
pub(crate) type Identity = String;

/// One measured time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Time {
    /// Microseconds.
    pub(crate) us: f64,
    /// Whether the bench trusts it.
    pub(crate) steady: bool,
}

/// The times of a report by what they measure.
pub(crate) type Times = BTreeMap<Identity, Time>;

/// Why a report cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadReport {
    /// It is not JSON.
    #[error("the report is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// There is no list of rows.
    #[error("the report has no array \"rows\"")]
    NoRows,
    /// A row is no object.
    #[error("row {index} is no object")]
    NoObject {
        /// Which row.
        index: usize,
    },
    /// A row has no time, or one that is none.
    #[error("row {index} ({identity}): expected a positive number \"us\", found {found}")]
    NoTime {
        /// Which row.
        index: usize,
        /// What it measures.
        identity: Identity,
        /// What it has instead.
        found: String,
    },
    /// Two rows measure the same.
    #[error("row {index} measures what an earlier row measured ({identity})")]
    Twice {
        /// The later of them.
        index: usize,
        /// What they measure.
        identity: Identity,
    },
}

/// Reads a report `{"rows": [{…, "us": …}, …], …}`.
pub(crate) fn read_times(report: &str) -> Result<Times, BadReport> {
    let report: Value = serde_json::from_str(report)?;
    let rows = report.get("rows").and_then(Value::as_array).ok_or(BadReport::NoRows)?;
    let mut times = Times::new();
    for (index, row) in rows.iter().enumerate() {
        let row = row.as_object().ok_or(BadReport::NoObject { index })?;
        let identity = identity(row);
        let us = row.get("us").and_then(Value::as_f64).filter(|us| us.is_finite() && *us > 0.0);
        let Some(us) = us else {
            let found = row.get("us").map_or("none".into(), Value::to_string);
            return Err(BadReport::NoTime { index, identity, found });
        };
        let steady = row.get("steady").and_then(Value::as_bool).unwrap_or(true);
        if times.insert(identity.clone(), Time { us, steady }).is_some() {
            return Err(BadReport::Twice { index, identity });
        }
    }
    Ok(times)
}

/// The chosen values of a row: words first, as they are, then whole numbers with their names.
fn identity(row: &Map<String, Value>) -> Identity {
    let chosen = || row.iter().filter(|(key, value)| !is_measured(key, value));
    let kernel = chosen().filter(|(key, _)| *key == "kernel");
    let words = kernel.chain(chosen().filter(|(key, _)| *key != "kernel"));
    let words = words.filter_map(|(_, value)| value.as_str().map(str::to_owned));
    let numbers = chosen().filter(|(_, value)| value.is_number());
    let numbers = numbers.map(|(key, value)| format!("{key}={value}"));
    words.chain(numbers).collect::<Vec<_>>().join(" ")
}

/// Whether a value came out of the measurement. What is chosen is a word or a whole number; a few
/// measured values are, too.
fn is_measured(key: &str, value: &Value) -> bool {
    let names = ["us", "gmacs", "gbs", "share", "steady", "bound", "fault", "rounds"];
    let families = ["share_", "roof_", "rounds_"];
    names.contains(&key)
        || families.iter().any(|family| key.starts_with(family))
        || !(value.is_string() || value.is_u64() || value.is_i64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rows: &str) -> String {
        format!(r#"{{"roofs": {{"dram": 12.5}}, "rows": [{rows}]}}"#)
    }

    #[test]
    fn a_row_is_identified_by_what_was_chosen_and_not_by_what_was_measured() {
        let row = r#"{"kernel": "gemv2", "isa": "avx2", "k": 64, "m": 1, "scale": "row", "us": 12,
            "gmacs": 3, "gbs": null, "share": 0.9, "share_memory": 1, "roof_gbs": 5, "bound": "memory",
            "steady": false, "rounds": 7, "rounds_kept": 6, "fault": false, "temperature": 40.5}"#;
        let times = read_times(&report(row)).unwrap();
        let expected = ("gemv2 avx2 row k=64 m=1".to_owned(), Time { us: 12.0, steady: false });
        assert_eq!(times.into_iter().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn reports_that_cannot_be_used_say_why() {
        for (text, expected) in [
            ("{", "the report is not JSON"),
            ("{}", "no array \"rows\""),
            (&report("7"), "row 0 is no object"),
            (&report(r#"{"k": 1}"#), "row 0 (k=1): expected a positive number \"us\", found none"),
            (&report(r#"{"k": 1, "us": 0}"#), "found 0"),
            (&report(r#"{"k": 1, "us": 2}, {"k": 1, "us": 3}"#), "row 1 measures what an earlier"),
        ] {
            let error = read_times(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
