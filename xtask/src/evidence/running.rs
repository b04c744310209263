//! Runs of `ternary`, one after the other.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::folder::{Receipt, Run, State};
use crate::process::{self, cargo, git};
use crate::workspace::Workspace;

/// What a run said that did not begin, by the name of its row.
pub(crate) type Refused = BTreeMap<String, String>;

/// Runs those that are not finished. A row that `ternary` refuses is left out, and told.
///
/// # Errors
/// A folder that is not of this command, a build that fails, or a run that was killed.
pub(crate) fn run_the_unfinished(
    workspace: &Workspace,
    folder: &Path,
    runs: &[Run],
) -> Result<Refused, Box<dyn Error>> {
    let mut seconds = BTreeMap::new();
    let mut left = Vec::new();
    for run in runs {
        if let State::Finished(receipt) = run.state(folder)? {
            seconds.insert(run.row.as_str(), receipt.seconds);
        } else {
            left.push(run);
        }
    }
    eprintln!(
        "{} runs, {} of them finished; they are in {}",
        runs.len(),
        runs.len() - left.len(),
        folder.display()
    );
    run_all(workspace, folder, &left, seconds)
}

/// Runs these, none of which is finished, as one invocation: what they wait for is built before the first.
/// `seconds` are those that runs of the rows took before.
///
/// # Errors
/// As [`run_the_unfinished`].
pub(super) fn run_all<'a>(
    workspace: &Workspace,
    folder: &Path,
    left: &[&'a Run],
    mut seconds: BTreeMap<&'a str, f64>,
) -> Result<Refused, Box<dyn Error>> {
    let mut refused = Refused::new();
    if left.is_empty() {
        return Ok(refused);
    }
    let build = ["build", "--release", "--package", "trainer", "--bin", "ternary"];
    process::run(&mut cargo(&workspace.root, &build))?;
    let name = format!("ternary{}", std::env::consts::EXE_SUFFIX);
    let binary = workspace.target.join("release").join(name);
    let revision = revision(&workspace.root);
    let invocation = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    for (index, run) in left.iter().enumerate() {
        let place = format!("[{}/{}] {run}", index + 1, left.len());
        if refused.contains_key(&run.row) {
            continue;
        }
        eprint!("{place} … ");
        run.begin(folder)?;
        let start = Instant::now();
        let mut command = Command::new(&binary);
        command.args(&run.arguments).arg("--out").arg(run.path(folder)).current_dir(folder);
        let output = command.output()?;
        let took = start.elapsed().as_secs_f64();
        let failure = match output.status.code() {
            Some(0) => None,
            Some(1) => Some(last_line(&output)),
            Some(2) => {
                run.give_up(folder)?;
                let complaint = complaint(&output);
                eprintln!("refused: {complaint}");
                refused.insert(run.row.clone(), complaint);
                continue;
            }
            _ => {
                let (status, last) = (output.status, last_line(&output));
                return Err(format!("{place} ended with {status}: {last}").into());
            }
        };
        let told = failure.clone().unwrap_or_else(|| "done".into());
        let (arguments, revision) = (run.arguments.clone(), revision.clone());
        run.finish(folder, &Receipt { arguments, seconds: took, invocation, revision, failure })?;
        seconds.insert(&run.row, took);
        let rest = left[index + 1..].iter().map(|run| run.row.as_str());
        let rest = seconds_left(&seconds, rest).map_or(0.0, |seconds| seconds / 60.0);
        eprintln!("{told} in {took:.1} s, about {rest:.0} min left");
    }
    Ok(refused)
}

/// What the runs of some rows will take: each as long as its row took last, or as the rows on average.
fn seconds_left<'a>(
    known: &BTreeMap<&str, f64>,
    rows: impl Iterator<Item = &'a str>,
) -> Option<f64> {
    let known_seconds: Vec<f64> = known.values().copied().collect();
    let mean = super::measured::mean(&known_seconds)?;
    Some(rows.map(|row| known.get(row).copied().unwrap_or(mean)).sum())
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

/// What was wrong with the arguments, without the help.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let error = text.lines().find(|line| line.starts_with("error"));
    error.map_or_else(|| last_line(output), str::to_owned)
}

/// The revision of the source, with `-dirty` where files were changed.
fn revision(root: &Path) -> String {
    let described = process::output(&mut git(root, &["describe", "--always", "--dirty"]));
    described.map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_has_run_takes_as_long_again_and_others_the_mean() {
        let known = BTreeMap::from([("a", 10.0), ("b", 20.0)]);
        assert_eq!(seconds_left(&known, ["a", "c", "c"].into_iter()), Some(40.0));
        assert_eq!(seconds_left(&known, [].into_iter()), Some(0.0));
        assert_eq!(seconds_left(&BTreeMap::new(), ["a"].into_iter()), None);
    }
}
