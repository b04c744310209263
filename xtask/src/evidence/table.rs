//! The table: a line for each row, and what speaks against a row.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::path::Path;

use super::folder::{Receipt, Run, State};
use super::measured::{Measured, mean};
use super::running::Refused;
use super::timed::Times;

/// The evidence of all runs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    lines: Vec<Line>,
    steps: u32,
    seeds: BTreeSet<u32>,
    /// What the times are of, where there is a timed pass.
    timed: Option<String>,
    revisions: BTreeSet<String>,
    findings: Vec<String>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Default)]
struct Line {
    name: String,
    held_out: Vec<f64>,
    sparsity: Vec<f64>,
    flips: Vec<f64>,
    /// The time of the timed pass, over that of the reference.
    time: Option<f64>,
}

impl Table {
    /// Reads what the runs left in `folder`, beside the `times` of the timed pass. Of those that were `refused`
    /// there is nothing to read.
    ///
    /// # Errors
    /// A folder that is not of the run, or metrics that are not whole.
    pub(super) fn of(
        folder: &Path,
        runs: &[Run],
        refused: Refused,
        times: &Times,
    ) -> Result<Self, Box<dyn Error>> {
        let mut measured = BTreeMap::new();
        let (mut revisions, mut findings) = (times.revisions.clone(), Vec::new());
        findings.extend(refused.iter().map(|(row, why)| format!("{row} did not run: {why}")));
        for run in runs.iter().filter(|run| !refused.contains_key(&run.row)) {
            let State::Finished(receipt) = run.state(folder)? else {
                return Err(format!("{} is not finished", run.path(folder).display()).into());
            };
            let Receipt { revision, failure, .. } = receipt;
            revisions.insert(revision);
            if let Some(failure) = failure {
                findings.push(format!("{run} failed: {failure}"));
                continue;
            }
            let found = Measured::read(&run.path(folder), run.steps)?;
            findings.extend(found.complaints().iter().map(|why| format!("{run}: {why}")));
            measured.insert((run.row.as_str(), run.seed), found);
        }
        findings.extend(times.findings.iter().cloned());
        let mut lines: Vec<Line> = Vec::new();
        for run in runs {
            if !lines.iter().any(|line| line.name == run.row) {
                let time = times.ratio(&run.row);
                lines.push(Line { name: run.row.clone(), time, ..Line::default() });
            }
            let line = lines.iter_mut().find(|line| line.name == run.row);
            let found = measured.get(&(run.row.as_str(), run.seed));
            if let (Some(line), Some(found)) = (line, found) {
                line.held_out.push(found.held_out);
                line.sparsity.extend(found.sparsity);
                line.flips.extend(found.flips);
            }
        }
        let steps = runs.first().map_or(0, |run| run.steps);
        let seeds = runs.iter().map(|run| run.seed).collect();
        Ok(Self { lines, steps, seeds, timed: times.description.clone(), revisions, findings })
    }

    /// What speaks against a row: it did not run, did not learn, or has a layer without weights.
    pub(super) fn findings(&self) -> &[String] {
        &self.findings
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| Row | Held-out loss | Zeros | Flips a step | Time |")?;
        writeln!(f, "|---|--:|--:|--:|--:|")?;
        for Line { name, held_out, sparsity, flips, time } in &self.lines {
            let loss = with_spread(held_out);
            let share = |numbers: &[f64], digits: usize| {
                mean(numbers).map_or("–".into(), |mean| format!("{:.digits$}%", 100.0 * mean))
            };
            let (zeros, flips) = (share(sparsity, 1), share(flips, 3));
            let time = time.map_or("–".into(), |time| format!("{time:.2}"));
            writeln!(f, "| {name} | {loss} | {zeros} | {flips} | {time} |")?;
        }
        let Self { steps, seeds, timed, revisions, findings, .. } = self;
        let join = |words: Vec<String>| words.join(", ");
        let seeds = join(seeds.iter().map(u32::to_string).collect());
        let revisions = join(revisions.iter().cloned().collect());
        let timed = timed.as_ref().map_or(String::new(), |timed| format!("; times of {timed}"));
        write!(f, "\n{steps} steps, seeds {seeds}{timed}; revision {revisions}.")?;
        findings.iter().try_for_each(|finding| write!(f, "\n\n**{finding}**"))
    }
}

/// The mean, and the sample standard deviation where there are two numbers or more:
///
/// ```text
/// s = √(Σ(x − x̄)² / (n − 1))
/// ```
pub(crate) fn with_spread(numbers: &[f64]) -> String {
    let Some(average) = mean(numbers) else { return "–".into() };
    if numbers.len() < 2 {
        return format!("{average:.4}");
    }
    let squares: f64 = numbers.iter().map(|x| (x - average) * (x - average)).sum();
    let spread = (squares / (numbers.len() - 1) as f64).sqrt();
    format!("{average:.4} ± {spread:.4}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::temporary::TemporaryFolder;
    use super::super::{rows, runs};
    use super::*;

    /// Leaves what a run of two steps would.
    fn finish(folder: &Path, run: &Run, last: f64, of_ternary: bool) {
        run.begin(folder).unwrap();
        let path = run.path(folder);
        fs::create_dir(&path).unwrap();
        let flips = if of_ternary { r#""flips":0.01,"# } else { "" };
        let step = |step: u32| format!(r#"{{"kind":"step","step":{step},{flips}"loss":5.0}}"#);
        let evaluation = format!(r#"{{"kind":"evaluation","step":2,"nats":{last}}}"#);
        let mut lines = vec![step(1), step(2), evaluation];
        if of_ternary {
            let matrices = r#"[{"name":"a","sparsity":0.25}]"#;
            lines.push(format!(
                r#"{{"kind":"layers","step":2,"sparsity":0.25,"matrices":{matrices}}}"#
            ));
        }
        fs::write(path.join("metrics.jsonl"), lines.join("\n")).unwrap();
        run.finish(folder, &receipt(run, None)).unwrap();
    }

    fn receipt(run: &Run, failure: Option<String>) -> Receipt {
        let arguments = run.arguments.clone();
        Receipt { arguments, seconds: 1.0, invocation: 7, revision: "abc".into(), failure }
    }

    fn three_rows() -> Vec<Run> {
        runs(&rows::chosen(&["float".into(), "absmean".into(), "twn".into()]), 2, 2)
    }

    #[test]
    fn means_spreads_and_times_stand_in_the_table() {
        let folder = TemporaryFolder::new();
        for (run, last) in three_rows().iter().zip([2.0, 3.0, 3.5, 2.1, 3.2, 3.7]) {
            finish(folder.path(), run, last, run.row != "float");
        }
        let seconds = [("float", 0.5), ("absmean", 2.0), ("ttq", 3.0)];
        let times = Times {
            description: Some("the pass".into()),
            seconds: seconds.map(|(row, seconds)| (row.to_owned(), seconds)).into(),
            revisions: ["def".to_owned()].into(),
            findings: vec![],
        };
        let table = Table::of(folder.path(), &three_rows(), Refused::new(), &times).unwrap();
        assert_eq!(table.findings(), [""; 0]);
        let expected = "\
| Row | Held-out loss | Zeros | Flips a step | Time |
|---|--:|--:|--:|--:|
| float | 2.0500 ± 0.0707 | – | – | 0.25 |
| absmean | 3.1000 ± 0.1414 | 25.0% | 1.000% | 1.00 |
| twn | 3.6000 ± 0.1414 | 25.0% | 1.000% | – |

2 steps, seeds 0, 1; times of the pass; revision abc, def.";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_row_that_diverged_failed_or_was_refused_is_found() {
        let folder = TemporaryFolder::new();
        let runs = three_rows();
        for (index, run) in runs.iter().enumerate().filter(|(_, run)| run.row != "twn") {
            let last = if index == 0 { 5.5 } else { 3.0 };
            if index == 4 {
                run.begin(folder.path()).unwrap();
                let failure = Some("error: step 1: no number".into());
                run.finish(folder.path(), &receipt(run, failure)).unwrap();
            } else {
                finish(folder.path(), run, last, true);
            }
        }
        let refused = Refused::from([("twn".into(), "error: no such key".into())]);
        let not_timed = Times::default();
        let table = Table::of(folder.path(), &runs, refused, &not_timed).unwrap();
        assert_eq!(
            table.findings(),
            [
                "twn did not run: error: no such key",
                "float with seed 0: its held-out loss 5.5000 is not below the loss of its first \
                 step, 5.0000",
                "absmean with seed 1 failed: error: step 1: no number",
            ]
        );
        let text = table.to_string();
        assert!(
            text.contains("| twn | – | – | – | – |") && text.contains("**float with"),
            "{text}"
        );
        assert!(text.contains("| absmean | 3.0000 | 25.0% |"), "{text}");
        assert!(Table::of(folder.path(), &runs, Refused::new(), &not_timed).is_err());
    }
}
