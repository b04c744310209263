//! The table: what adapters of each kind of layer have learnt.

use std::collections::BTreeSet;
use std::fmt;

use crate::evidence::table::with_spread;

/// What came of the adapters of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    /// Numbers that were trained.
    pub(super) parameters: usize,
    /// The held-out loss of the model alone.
    pub(super) before: f64,
    /// The same with the adapters.
    pub(super) after: f64,
}

/// All runs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    base_steps: u32,
    steps: u32,
    /// The runs of each row with their seeds, in the order of the first of them.
    rows: Vec<(String, Vec<(u32, Found)>)>,
    revisions: BTreeSet<String>,
}

impl Table {
    pub(super) fn new(base_steps: u32, steps: u32) -> Self {
        Self { base_steps, steps, rows: Vec::new(), revisions: BTreeSet::new() }
    }

    /// Notes the revision of a run.
    pub(super) fn of_revision(&mut self, revision: String) {
        self.revisions.insert(revision);
    }

    pub(super) fn add(&mut self, row: &str, seed: u32, found: Found) {
        match self.rows.iter_mut().find(|(name, _)| name == row) {
            Some((_, runs)) => runs.push((seed, found)),
            None => self.rows.push((row.to_owned(), vec![(seed, found)])),
        }
    }

    /// Runs that did not lower the loss.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (row, runs) in &self.rows {
            for (seed, Found { before, after, .. }) in runs {
                // What is no number is not below anything.
                if after.partial_cmp(before) != Some(std::cmp::Ordering::Less) {
                    let text = "did not lower the held-out loss";
                    findings.push(format!(
                        "{row} with seed {seed} {text}: {before:.4}, then {after:.4}"
                    ));
                }
            }
        }
        findings
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| Adapters of | Numbers | Before | After | Change |")?;
        writeln!(f, "|---|--:|--:|--:|--:|")?;
        for (row, runs) in &self.rows {
            let of = |number: fn(&Found) -> f64| {
                with_spread(&runs.iter().map(|(_, found)| number(found)).collect::<Vec<_>>())
            };
            let parameters = runs.first().map_or(0, |(_, found)| found.parameters);
            let (before, after) = (of(|found| found.before), of(|found| found.after));
            let change = of(|found| found.after - found.before);
            writeln!(f, "| {row} | {parameters} | {before} | {after} | {change} |")?;
        }
        let Self { base_steps, steps, rows, revisions } = self;
        let seeds: BTreeSet<u32> =
            rows.iter().flat_map(|(_, runs)| runs).map(|run| run.0).collect();
        let seeds = seeds.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let revisions = revisions.iter().cloned().collect::<Vec<_>>().join(", ");
        write!(
            f,
            "\nModels of {base_steps} steps, adapters of {steps}, seeds {seeds}; revision {revisions}."
        )?;
        self.findings().iter().try_for_each(|finding| write!(f, "\n\n**{finding}**"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_spreads_stand_in_the_table_and_what_did_not_learn_is_named() {
        let mut table = Table::new(9, 5);
        let found = |before, after| Found { parameters: 64, before, after };
        table.of_revision("abc".into());
        table.add("delta", 0, found(3.0, 1.0));
        table.add("both", 0, found(3.0, 1.5));
        table.add("delta", 1, found(4.0, 2.2));
        assert_eq!(table.findings(), [""; 0]);
        let expected = "\
| Adapters of | Numbers | Before | After | Change |
|---|--:|--:|--:|--:|
| delta | 64 | 3.5000 ± 0.7071 | 1.6000 ± 0.8485 | -1.9000 ± 0.1414 |
| both | 64 | 3.0000 | 1.5000 | -1.5000 |

Models of 9 steps, adapters of 5, seeds 0, 1; revision abc.";
        assert_eq!(table.to_string(), expected);
        for after in [3.0, 3.1, f64::NAN] {
            let mut table = table.clone();
            table.add("both", 1, found(3.0, after));
            let [finding] = table.findings().try_into().unwrap();
            assert!(finding.starts_with("both with seed 1 did not lower"), "{finding}");
            assert!(table.to_string().ends_with("**"));
        }
    }
}
