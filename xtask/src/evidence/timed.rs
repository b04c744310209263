//! The timed pass: what a step of each row costs.
//!
//! The long runs may share the machine with other work, and may be spread over many calls. Here each row runs
//! a few steps, once in each round, all in one call with nothing else between. A machine that drifts between
//! faster and slower states does so over all rows alike, and the fastest round is the least disturbed one.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use super::folder::{Receipt, Run, State};
use super::measured::{WARM_UP, seconds_per_byte};
use super::rows::{self, REFERENCE, Row};
use super::running::Refused;

/// The runs of the pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pass {
    /// Round after round; empty where nothing is timed.
    runs: Vec<Run>,
    /// What they are, in words.
    description: String,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Times {
    /// What the times are of; none where nothing was timed.
    pub(super) description: Option<String>,
    /// The seconds for each byte, by the name of the row.
    pub(super) seconds: BTreeMap<String, f64>,
    /// The revisions of the source.
    pub(super) revisions: BTreeSet<String>,
    /// Rows that have no time, and why.
    pub(super) findings: Vec<String>,
}

impl Pass {
    /// The pass over `rows`, and over that which they are compared with. There is none of 0 steps, nor over no
    /// rows.
    pub(super) fn new<'a>(rows: impl Iterator<Item = &'a Row>, rounds: u32, steps: u32) -> Self {
        let mut rows: Vec<Row> = rows.cloned().collect();
        if rows.is_empty() || steps == 0 {
            rows.clear();
        } else if !rows.iter().any(|row| row.name == REFERENCE) {
            rows.splice(0..0, rows::chosen(&[REFERENCE.to_owned()]));
        }
        let of_round = |round| rows.iter().map(move |row| Run::timed(row, round, steps));
        let runs = (0..rounds).flat_map(of_round).collect();
        Self { runs, description: format!("the fastest of {rounds} rounds of {steps} steps") }
    }

    /// The times that are in `folder`. Where one is missing, or of another call than the rest, `run_all` is
    /// told to run the whole pass again.
    ///
    /// # Errors
    /// Those of `run_all`, a folder that is not of this command, or metrics that are not whole.
    pub(super) fn times(
        &self,
        folder: &Path,
        run_all: impl FnOnce(&[&Run]) -> Result<Refused, Box<dyn Error>>,
    ) -> Result<Times, Box<dyn Error>> {
        if self.runs.is_empty() {
            return Ok(Times::default());
        }
        let mut refused = Refused::new();
        if !self.is_whole(folder)? {
            self.runs.iter().try_for_each(|run| run.forget(folder))?;
            refused = run_all(&self.runs.iter().collect::<Vec<_>>())?;
        }
        let mut times =
            Times { description: Some(self.description.clone()), ..self.read(folder, &refused)? };
        times.findings.extend(refused.iter().map(|(row, why)| format!("{row} has no time: {why}")));
        Ok(times)
    }

    /// Whether all its runs are finished, have the arguments of now, and were made by one call.
    fn is_whole(&self, folder: &Path) -> Result<bool, Box<dyn Error>> {
        let mut invocations = BTreeSet::new();
        for run in &self.runs {
            match run.receipt(folder)? {
                Some(receipt) if receipt.arguments == run.arguments => {
                    invocations.insert(receipt.invocation);
                }
                _ => return Ok(false),
            }
        }
        Ok(invocations.len() == 1)
    }

    fn read(&self, folder: &Path, refused: &Refused) -> Result<Times, Box<dyn Error>> {
        let mut times = Times::default();
        for run in self.runs.iter().filter(|run| !refused.contains_key(&run.row)) {
            let State::Finished(receipt) = run.state(folder)? else {
                return Err(format!("{} is not finished", run.path(folder).display()).into());
            };
            let Receipt { revision, failure, .. } = receipt;
            times.revisions.insert(revision);
            if let Some(failure) = failure {
                times.findings.push(format!("{run} failed: {failure}"));
                continue;
            }
            let seconds = seconds_per_byte(&run.path(folder), run.steps)?;
            let smallest = times.seconds.entry(run.row.clone()).or_insert(seconds);
            *smallest = smallest.min(seconds);
        }
        Ok(times)
    }
}

impl Times {
    /// The time of a row, as a multiple of that of the [`REFERENCE`]. `t` is the mean over the steps of a run
    /// (see [`seconds_per_byte`]):
    ///
    /// ```text
    /// time = min over rounds t(row) / min over rounds t(absmean)
    /// ```
    pub(super) fn ratio(&self, row: &str) -> Option<f64> {
        Some(self.seconds.get(row)? / self.seconds.get(REFERENCE)?)
    }
}

/// Reads the steps of each run: 0, or so many that some are left to be timed.
pub(super) fn steps(text: &str) -> Result<u32, String> {
    let steps = text.parse().ok().filter(|steps| *steps == 0 || *steps > WARM_UP);
    steps.ok_or_else(|| format!("expected 0, or at least {}", WARM_UP + 1))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::temporary::TemporaryFolder;
    use super::*;

    fn pass(names: &[&str], rounds: u32, steps: u32) -> Pass {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Pass::new(rows::chosen(&names).iter(), rounds, steps)
    }

    /// Leaves what a run would whose steps after the second have these rates.
    fn finish(folder: &Path, run: &Run, invocation: u64, rates: &[f64]) {
        run.begin(folder).unwrap();
        fs::create_dir(run.path(folder)).unwrap();
        let rates = [0.125, 0.25].iter().chain(rates);
        let lines: Vec<String> = rates
            .map(|rate| format!("{{\"kind\":\"step\",\"tokens_per_second\":{rate}}}"))
            .collect();
        fs::write(run.path(folder).join("metrics.jsonl"), lines.join("\n")).unwrap();
        run.finish(folder, &receipt(run, invocation, None)).unwrap();
    }

    fn receipt(run: &Run, invocation: u64, failure: Option<String>) -> Receipt {
        let arguments = run.arguments.clone();
        Receipt { arguments, seconds: 1.0, invocation, revision: "abc".into(), failure }
    }

    fn nothing_is_run(runs: &[&Run]) -> Result<Refused, Box<dyn Error>> {
        panic!("{} runs are made again", runs.len());
    }

    #[test]
    fn rounds_are_the_outer_loop_and_the_reference_is_among_the_rows() {
        let names = |pass: Pass| -> Vec<_> { pass.runs.iter().map(Run::to_string).collect() };
        let expected = [
            "absmean timed in round 0",
            "twn timed in round 0",
            "absmean timed in round 1",
            "twn timed in round 1",
        ];
        assert_eq!(names(pass(&["twn"], 2, 5)), expected);
        assert_eq!(names(pass(&["twn", "absmean"], 2, 5)), expected);
        assert_eq!(names(pass(&["twn"], 2, 0)), [""; 0]);
        assert_eq!(names(Pass::new([].iter(), 2, 5)), [""; 0]);
    }

    #[test]
    fn a_time_is_the_smallest_of_the_rounds_over_that_of_the_reference() {
        let folder = TemporaryFolder::new();
        let pass = pass(&["twn"], 2, 5);
        // The means are 4, 2 and then 1, 3 seconds; the medians are others.
        let rates = [[0.5, 0.125, 0.5], [1.0, 1.0, 0.25], [1.0, 1.0, 1.0], [0.5, 0.2, 0.5]];
        for (run, rates) in pass.runs.iter().zip(rates) {
            finish(folder.path(), run, 7, &rates);
        }
        let times = pass.times(folder.path(), nothing_is_run).unwrap();
        assert_eq!(times.seconds, BTreeMap::from([("absmean".into(), 1.0), ("twn".into(), 2.0)]));
        assert_eq!((times.ratio("twn"), times.ratio("absmean")), (Some(2.0), Some(1.0)));
        assert_eq!(times.ratio("ttq"), None);
        assert_eq!(times.description.unwrap(), "the fastest of 2 rounds of 5 steps");
    }

    #[test]
    fn a_pass_that_is_not_whole_or_not_of_one_call_is_made_again_as_a_whole() {
        let folder = TemporaryFolder::new();
        let at = folder.path();
        let (pass, shorter) = (pass(&["twn"], 2, 4), pass(&["twn"], 2, 3));
        let make = |pass: &Pass, invocation: u64| {
            let mut made = 0;
            let times = pass.times(at, |runs| {
                for run in runs {
                    let rates = [0.5; 2];
                    finish(at, run, invocation, &rates[..run.steps as usize - 2]);
                }
                made = runs.len();
                Ok(Refused::new())
            });
            assert_eq!(times.unwrap().ratio("twn"), Some(1.0));
            made
        };
        assert_eq!(make(&pass, 7), 4);
        assert_eq!(make(&pass, 8), 0);
        // One is missing, was interrupted, or is of another call.
        pass.runs[3].forget(at).unwrap();
        assert_eq!(make(&pass, 8), 4);
        pass.runs[1].forget(at).unwrap();
        pass.runs[1].begin(at).unwrap();
        assert_eq!(make(&pass, 9), 4);
        pass.runs[1].forget(at).unwrap();
        finish(at, &pass.runs[1], 10, &[0.5; 2]);
        assert_eq!(make(&pass, 11), 4);
        // All are of other steps.
        assert_eq!(make(&shorter, 12), 4);
        assert_eq!(make(&shorter, 13), 0);
    }

    #[test]
    fn a_row_without_a_time_is_found() {
        let folder = TemporaryFolder::new();
        let pass = pass(&["twn", "ttq"], 1, 3);
        let run_all = |runs: &[&Run]| {
            finish(folder.path(), runs[0], 7, &[1.0]);
            runs[1].begin(folder.path()).unwrap();
            let failure = Some("error: no number".into());
            runs[1].finish(folder.path(), &receipt(runs[1], 7, failure)).unwrap();
            Ok(Refused::from([("ttq".into(), "error: no such key".into())]))
        };
        let times = pass.times(folder.path(), run_all).unwrap();
        assert_eq!(
            times.findings,
            [
                "twn timed in round 0 failed: error: no number",
                "ttq has no time: error: no such key"
            ]
        );
        assert_eq!((times.ratio("absmean"), times.ratio("twn")), (Some(1.0), None));
    }

    #[test]
    fn steps_are_none_or_more_than_the_warm_up() {
        assert_eq!((steps("0"), steps("3")), (Ok(0), Ok(3)));
        for text in ["1", "2", "-1", "many"] {
            assert_eq!(steps(text).unwrap_err(), "expected 0, or at least 3");
        }
    }
}
