//! The folder of a run: whose it is, and whether it is finished.

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::rows::Row;

/// One run of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The name of its row.
    pub(crate) row: String,
    /// Its seed.
    pub(crate) seed: u32,
    /// The round of the timed pass that it is of, if it is of that.
    round: Option<u32>,
    /// Its steps.
    pub(super) steps: u32,
    /// What `ternary` is told, without the folder.
    pub(crate) arguments: Vec<String>,
}

/// What this command writes into the folder of a run that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Receipt {
    /// What `ternary` was told.
    pub(crate) arguments: Vec<String>,
    /// How long it took.
    pub(super) seconds: f64,
    /// Which call of this command ran it: times are compared within one.
    pub(crate) invocation: u64,
    /// The revision of the source.
    pub(crate) revision: String,
    /// What the run said, if it failed.
    pub(crate) failure: Option<String>,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum State {
    /// There is no folder, or an empty one.
    New,
    /// This command began it and was stopped.
    Interrupted,
    /// It has ended.
    Finished(Receipt),
}

const RECEIPT: &str = "evidence.json";

impl Run {
    /// The run of a row with a seed. There is one evaluation, at its end.
    pub(super) fn new(row: &Row, seed: u32, steps: u32) -> Self {
        let mut arguments = vec!["train".to_owned()];
        arguments.extend(row.arguments.iter().cloned());
        arguments.extend(["--steps".to_owned(), steps.to_string()]);
        arguments.extend(["--seed".to_owned(), seed.to_string()]);
        arguments.extend(["--set".to_owned(), format!("evaluation.every={steps}")]);
        Self::of(&row.name, seed, steps, arguments)
    }

    /// Another run of `ternary`.
    pub(crate) fn of(row: &str, seed: u32, steps: u32, arguments: Vec<String>) -> Self {
        Self { row: row.to_owned(), seed, round: None, steps, arguments }
    }

    /// The run of a row in a round of the timed pass. All have the seed 0.
    pub(super) fn timed(row: &Row, round: u32, steps: u32) -> Self {
        Self { round: Some(round), ..Self::new(row, 0, steps) }
    }

    /// The name of its folder.
    fn name(&self) -> String {
        let Self { row, seed, .. } = self;
        self.round.map_or_else(|| format!("{row}-{seed}"), |round| format!("{row}-timed-{round}"))
    }

    /// Its folder, in that of all runs.
    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(self.name())
    }

    /// A file beside its folder that is there while it runs.
    fn begun(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.begun", self.name()))
    }

    /// How far it is.
    ///
    /// # Errors
    /// A folder that this command did not make, or of a run with other arguments.
    pub(crate) fn state(&self, folder: &Path) -> Result<State, Box<dyn Error>> {
        let path = self.path(folder);
        if let Some(found) = self.receipt(folder)? {
            if found.arguments != self.arguments {
                let [expected, found] = [&self.arguments, &found.arguments].map(|a| a.join(" "));
                let path = path.display();
                let text = format!("{path} is of other arguments; choose another --out");
                return Err(format!("{text}\nexpected {expected}\nfound    {found}").into());
            }
            return Ok(State::Finished(found));
        }
        if self.begun(folder).exists() {
            return Ok(State::Interrupted);
        }
        if path.exists() && !(path.is_dir() && path.read_dir()?.next().is_none()) {
            return Err(format!("{} is not of this command", path.display()).into());
        }
        Ok(State::New)
    }

    /// The receipt that is in its folder, be it of these arguments or of others.
    pub(super) fn receipt(&self, folder: &Path) -> Result<Option<Receipt>, Box<dyn Error>> {
        let path = self.path(folder).join(RECEIPT);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path)?;
        let of_path = |error| format!("{}: {error}", path.display());
        Ok(Some(serde_json::from_str(&text).map_err(of_path)?))
    }

    /// Removes its folder, finished or not, so that it is new.
    ///
    /// # Errors
    /// A folder that this command did not make.
    pub(super) fn forget(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let (path, begun) = (self.path(folder), self.begun(folder));
        if self.receipt(folder)?.is_some() {
            // Were this stopped halfway, the rest would be that of an interrupted run.
            fs::write(&begun, "")?;
            fs::remove_file(path.join(RECEIPT))?;
        }
        if self.state(folder)? == State::Interrupted {
            if path.exists() {
                fs::remove_dir_all(&path)?;
            }
            fs::remove_file(&begun)?;
        }
        Ok(())
    }

    /// Makes room for the run: what an interrupted one has left is removed.
    pub(super) fn begin(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let path = self.path(folder);
        if self.state(folder)? == State::Interrupted && path.exists() {
            fs::remove_dir_all(&path)?;
        }
        Ok(fs::write(self.begun(folder), "")?)
    }

    /// Writes the receipt of the run.
    pub(super) fn finish(&self, folder: &Path, receipt: &Receipt) -> Result<(), Box<dyn Error>> {
        let path = self.path(folder);
        fs::create_dir_all(&path)?;
        let unfinished = path.join("evidence.unfinished");
        fs::write(&unfinished, serde_json::to_vec_pretty(receipt)?)?;
        fs::rename(unfinished, path.join(RECEIPT))?;
        Ok(fs::remove_file(self.begun(folder))?)
    }

    /// Forgets that it was begun: it did not come to run.
    pub(super) fn give_up(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        Ok(fs::remove_file(self.begun(folder))?)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, seed, .. } = self;
        match self.round {
            Some(round) => write!(f, "{row} timed in round {round}"),
            None => write!(f, "{row} with seed {seed}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows;
    use super::super::temporary::TemporaryFolder;
    use super::*;

    fn run(steps: u32) -> Run {
        Run::new(&rows::chosen(&["twn".into()])[0], 2, steps)
    }

    #[test]
    fn a_run_is_told_its_row_steps_seed_and_that_it_evaluates_at_its_end_only() {
        let expected = "train --ste twn --steps 7 --seed 2 --set evaluation.every=7";
        assert_eq!(run(7).arguments.join(" "), expected);
        assert_eq!(run(7).path(Path::new("")), Path::new("twn-2"));
        let timed = Run::timed(&rows::chosen(&["twn".into()])[0], 1, 7);
        assert_eq!(timed.arguments.join(" "), expected.replace("--seed 2", "--seed 0"));
        assert_eq!(timed.path(Path::new("")), Path::new("twn-timed-1"));
    }

    #[test]
    fn a_run_is_new_then_interrupted_then_finished() {
        let folder = TemporaryFolder::new();
        let (run, at) = (run(7), folder.path());
        assert_eq!(run.state(at).unwrap(), State::New);
        run.begin(at).unwrap();
        let half = run.path(at).join("metrics.jsonl");
        fs::create_dir(run.path(at)).unwrap();
        fs::write(&half, "half a").unwrap();
        assert_eq!(run.state(at).unwrap(), State::Interrupted);
        run.begin(at).unwrap();
        assert!(!half.exists());
        let receipt = Receipt {
            arguments: run.arguments.clone(),
            seconds: 1.5,
            invocation: 3,
            revision: "abc".into(),
            failure: None,
        };
        run.finish(at, &receipt).unwrap();
        assert_eq!(run.state(at).unwrap(), State::Finished(receipt));
        let error = self::run(8).state(at).unwrap_err().to_string();
        assert!(error.contains("other arguments") && error.contains("--steps 8"), "{error}");
        // Forgotten, it is new, whatever it was.
        self::run(8).forget(at).unwrap();
        assert!(!run.path(at).exists());
        run.begin(at).unwrap();
        run.forget(at).unwrap();
        run.forget(at).unwrap();
        assert_eq!(run.state(at).unwrap(), State::New);
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused_and_left_alone() {
        let folder = TemporaryFolder::new();
        let run = run(7);
        fs::create_dir(run.path(folder.path())).unwrap();
        assert_eq!(run.state(folder.path()).unwrap(), State::New);
        let precious = run.path(folder.path()).join("precious");
        fs::write(&precious, "").unwrap();
        for error in [run.begin(folder.path()), run.forget(folder.path())] {
            assert!(error.unwrap_err().to_string().contains("not of this command"));
        }
        assert!(precious.exists());
    }
}
