//! What the gate says: a row for each array, the counts, and everything that is wrong.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use super::case::Kind;
use super::mutants::Fate;
use super::runner::Ran;
use super::source::Source;

/// A whole run.
pub(crate) struct Report {
    /// Items that the source holds.
    pub(crate) registered: usize,
    /// Of these, how many a case ran for.
    pub(crate) checked: usize,
    /// The cases.
    pub(crate) cases: Vec<Ran>,
    /// The mutants that were activated; none without `--mutants`.
    pub(crate) mutants: Vec<Fate>,
    /// What the scan of the source and its comparison with the cases found.
    pub(crate) findings: Vec<String>,
}

impl Report {
    /// The report of `cases`, run on what `source` holds.
    pub(crate) fn new(
        source: &Source,
        cases: Vec<Ran>,
        mutants: Vec<Fate>,
        findings: Vec<String>,
    ) -> Self {
        let covered: BTreeSet<&str> = cases.iter().flat_map(|case| case.covers.clone()).collect();
        let checked = source.items.keys().filter(|name| covered.contains(name.as_str())).count();
        Self { registered: source.items.len(), checked, cases, mutants, findings }
    }

    fn killed(&self) -> usize {
        self.mutants.iter().filter(|fate| fate.killer.is_some()).count()
    }

    /// Everything that fails the gate, a line each.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = self.findings.clone();
        for case in self.cases.iter().filter(|case| !case.passed()) {
            match &case.rows {
                Err(error) => failures.push(format!("{}: {error}", case.name)),
                Ok(rows) if rows.is_empty() => {
                    failures.push(format!("{}: compares nothing", case.name))
                }
                Ok(rows) => failures.extend(rows.iter().filter(|row| !row.passed).map(|row| {
                    let fault = row.fault.as_deref().unwrap_or_default();
                    format!("{}, {} ({}): {fault}", case.name, row.array, row.kind.word())
                })),
            }
        }
        for fate in self.mutants.iter().filter(|fate| fate.killer.is_none()) {
            failures
                .push(format!("{}: the mutant `{}` survives", fate.mutant.file, fate.mutant.name));
        }
        failures
    }

    /// The counts as one line.
    pub(crate) fn summary(&self) -> String {
        let mut line = format!(
            "gradcheck: {} registered, {} checked by {} cases",
            self.registered,
            self.checked,
            self.cases.len()
        );
        if !self.mutants.is_empty() {
            let _ = write!(
                line,
                "; mutants killed / planted: {} / {}",
                self.killed(),
                self.mutants.len()
            );
        }
        line
    }

    /// The rows as a table. That a gradient was added is told where it was not.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "{:<44} {:<24} {:<10} {:>7} {:>13} {:>9} {:>6}\n",
            "case", "array", "check", "entries", "largest error", "allowed", "share"
        );
        for case in &self.cases {
            for row in case.rows.iter().flatten() {
                if row.kind == Kind::Added && row.passed {
                    continue;
                }
                // Writing to a string cannot fail.
                let _ = writeln!(
                    table,
                    "{:<44} {:<24} {:<10} {:>7} {:>13.1e} {:>9.1e} {:>6.3}{}",
                    case.name,
                    row.array,
                    row.kind.word(),
                    row.entries,
                    row.largest_error,
                    row.allowed,
                    row.worst,
                    if row.passed { "" } else { " FAILED" }
                );
            }
        }
        table
    }

    /// The report as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let mut rows = Vec::new();
        for case in &self.cases {
            for row in case.rows.iter().flatten() {
                rows.push(json!({
                    "case": case.name,
                    "covers": case.covers,
                    "array": row.array,
                    "check": row.kind.word(),
                    "entries": row.entries,
                    "largest_error": row.largest_error,
                    "allowed": row.allowed,
                    "share": row.worst.is_finite().then_some(row.worst),
                    "passed": row.passed,
                }));
            }
        }
        let mutant = |fate: &Fate| json!({"name": fate.mutant.name, "file": fate.mutant.file, "killed_by": fate.killer});
        json!({
            "registered": self.registered,
            "checked": self.checked,
            "planted": self.mutants.len(),
            "killed": self.killed(),
            "failures": self.failures(),
            "rows": rows,
            "mutants": self.mutants.iter().map(mutant).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::case::Row;
    use crate::gradcheck::source::Mutant;

    fn report(found: f64, killer: Option<&str>) -> Report {
        let mut source = Source::default();
        let text = "impl Layer for A {} impl Layer for B {}";
        source.read_file("crates/nn/src/a.rs", text).unwrap();
        let row = |kind| Row::compare("x", kind, &[found], &[1.0], |_| 1e-6, |_| 0.0);
        let rows = Ok(vec![row(Kind::Gradient), row(Kind::Added)]);
        let case = Ran { name: "a small A".into(), covers: vec!["A"], rows };
        let mutant = Mutant { name: "A/sign".into(), file: "a.rs".into() };
        let fate = Fate { mutant, killer: killer.map(str::to_owned) };
        Report::new(&source, vec![case], vec![fate], Vec::new())
    }

    #[test]
    fn a_good_run_has_its_counts_and_a_row_for_each_array() {
        let report = report(1.0, Some("a small A"));
        assert_eq!(report.failures(), [""; 0]);
        let json = report.to_json();
        for (key, count) in [("registered", 2), ("checked", 1), ("planted", 1), ("killed", 1)] {
            assert_eq!(json[key].as_u64(), Some(count), "{key}");
        }
        let row = &json["rows"][0];
        assert_eq!((&row["case"], &row["array"]), (&"a small A".into(), &"x".into()));
        assert_eq!((row["entries"].as_u64(), &row["passed"]), (Some(1), &true.into()));
        assert_eq!(report.table().lines().count(), 2);
        assert!(report.summary().ends_with("1 / 1"), "{}", report.summary());
    }

    #[test]
    fn failed_rows_survivors_and_findings_are_all_named() {
        let mut report = report(2.0, None);
        report.findings.push("no case checks `B`".into());
        report.cases.push(Ran {
            name: "broken".into(),
            covers: vec!["B"],
            rows: Err("gone".into()),
        });
        let failures = report.failures();
        assert_eq!(failures.len(), 5, "{failures:?}");
        for (failure, words) in failures.iter().zip([
            "no case checks `B`",
            "a small A, x (gradient): entry 0",
            "a small A, x (added): entry 0",
            "broken: gone",
            "the mutant `A/sign` survives",
        ]) {
            assert!(failure.contains(words), "{failure}");
        }
        assert!(report.table().contains("FAILED"));
    }
}
