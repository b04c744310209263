//! What the gate says: a line for each case, and the counts.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Outcome;
use super::measure::Measurement;

/// How a case went.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) fate: Fate,
}

/// What became of a case.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It was run: what was measured, or what kept it from being measured.
    Ran(Result<Vec<Measurement>, String>),
    /// It was not, for this reason, which is no better than a failure.
    NotRun(&'static str),
}

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    /// Those of no set: the forms of models of named configurations.
    pub(crate) presets: Vec<Case>,
    /// The cases of the set.
    pub(crate) cases: Vec<Case>,
}

impl Case {
    pub(crate) fn ran(name: impl Into<String>, outcome: Outcome<Vec<Measurement>>) -> Self {
        let rows = outcome.map_err(|error| error.to_string());
        Self { name: name.into(), fate: Fate::Ran(rows) }
    }

    fn word(&self) -> &'static str {
        match &self.fate {
            Fate::NotRun(_) => "not run",
            Fate::Ran(Ok(rows)) if !rows.is_empty() && rows.iter().all(Measurement::passed) => {
                "passed"
            }
            Fate::Ran(_) => "FAILED",
        }
    }

    fn line(&self) -> String {
        let told = match &self.fate {
            Fate::NotRun(why) => (*why).to_owned(),
            Fate::Ran(Err(error)) => error.clone(),
            Fate::Ran(Ok(rows)) => match worst(rows) {
                None => "compares nothing".to_owned(),
                Some(row) => format!(
                    "{} tensors, worst {} ({}): {:.1e}, {:.3} of what is allowed",
                    rows.len(),
                    row.tensor,
                    row.check,
                    row.error,
                    row.share()
                ),
            },
        };
        format!("{:<7}  {}: {told}\n", self.word(), self.name)
    }

    fn to_json(&self) -> Value {
        let (rows, why) = match &self.fate {
            Fate::NotRun(why) => (Vec::new(), Some((*why).to_owned())),
            Fate::Ran(Err(error)) => (Vec::new(), Some(error.clone())),
            Fate::Ran(Ok(rows)) => (rows.iter().map(Measurement::to_json).collect(), None),
        };
        json!({"name": self.name, "fate": self.word().to_lowercase(), "why": why, "tensors": rows})
    }
}

/// The row that is the farthest towards what is allowed, or beyond it; one without numbers before all others.
fn worst(rows: &[Measurement]) -> Option<&Measurement> {
    rows.iter().max_by(|a, b| {
        let key = |row: &Measurement| (row.numbers == 0, row.share());
        let ((a_empty, a), (b_empty, b)) = (key(a), key(b));
        a_empty.cmp(&b_empty).then(a.total_cmp(&b))
    })
}

impl Report {
    pub(crate) fn is_empty(&self) -> bool {
        self.presets.is_empty() && self.cases.is_empty()
    }

    fn count(&self, word: &str) -> usize {
        self.cases.iter().filter(|case| case.word() == word).count()
    }

    /// Cases and presets that did not pass: they failed, or were not run.
    pub(crate) fn failures(&self) -> usize {
        self.presets.iter().chain(&self.cases).filter(|case| case.word() != "passed").count()
    }

    /// A line for each case, and a last one with the counts of the set.
    pub(crate) fn text(&self) -> String {
        let mut text: String = self.presets.iter().chain(&self.cases).map(Case::line).collect();
        let [passed, failed, not_run] =
            ["passed", "FAILED", "not run"].map(|word| self.count(word));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{passed} passed, {failed} failed, {not_run} not run");
        text
    }

    pub(crate) fn to_json(&self) -> Value {
        let all = |cases: &[Case]| cases.iter().map(Case::to_json).collect::<Vec<_>>();
        json!({
            "passed": self.count("passed"),
            "failed": self.count("FAILED"),
            "not_run": self.count("not run"),
            "presets": all(&self.presets),
            "cases": all(&self.cases),
        })
    }
}
