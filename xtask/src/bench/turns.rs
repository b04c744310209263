//! Rounds in which processes of ours and peers take turns.

use std::fmt::Display;
use std::process::{Command, Stdio};

use serde_json::Value;
use ternary_core::kernels::Isa;

use super::child::Figures;
use super::measuring::Measuring;
use super::report::{Row, Spec};
use super::roofs::Roof;
use super::rounds::{Measured, Round, Work, median};
use super::{Result, peer};

/// What a row is about that runs in a process of its own.
pub(crate) trait Task: Copy + Display {
    /// What `cargo xtask` is told to run it in its own process and print its figures.
    fn arguments(self) -> Vec<String>;

    /// What a call has to do at least, and the limit that bounds it; a process of ours told so many `bytes`.
    fn bound(self, isa: Isa, bytes: u64) -> (Work, Roof);

    /// Whether the bytes are needed for the bound, so that one process has to run before the first turn.
    fn is_bound_by_bytes(self) -> bool;

    /// What a peer is told to do the same, and tells: keys of its figures, and in braces words of its command. None where
    /// peers do nothing of the kind.
    fn keys(self) -> Option<Vec<(&'static str, Value)>>;
}

/// A task with the medians of its figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Finding<T> {
    pub(crate) task: T,
    pub(crate) figures: Figures,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) rounds: usize,
    /// What every process of ours is told besides.
    pub(crate) arguments: Vec<String>,
}

/// One process of ours, between two measurements of its roof.
type Turn = (Round, Figures);

/// Measures all tasks in turn with the peers.
pub(crate) fn take<T: Task>(
    bench: &mut Measuring<Finding<T>>,
    tasks: &[T],
    isa: Isa,
    choice: &Choice,
    peers: &[String],
) -> Result
where
    Finding<T>: Spec,
{
    let mut turns = vec![Vec::new(); tasks.len()];
    let names: Vec<_> = tasks.iter().filter_map(|task| task.keys()).flatten().collect();
    let (of_rows, of_rounds): (Vec<_>, Vec<_>) = peers
        .iter()
        .partition(|command| names.iter().any(|(name, _)| command.contains(&braced(name))));
    let mut bytes = vec![0; tasks.len()];
    for round in 0..choice.rounds {
        for ((&task, turns), bytes) in tasks.iter().zip(&mut turns).zip(&mut bytes) {
            eprintln!("[round {}/{}] {task}", round + 1, choice.rounds);
            if turns.is_empty() && task.is_bound_by_bytes() {
                *bytes = ours(task, choice)?.bytes;
            }
            turns.push(turn(bench, task, isa, *bytes, choice)?);
            if let Some(keys) = task.keys() {
                for command in &of_rows {
                    take_down(bench, command, &keys, round)?;
                }
            }
        }
        for command in &of_rounds {
            take_down(bench, command, &[], round)?;
        }
    }
    for ((&task, turns), bytes) in tasks.iter().zip(&turns).zip(bytes) {
        let (work, _) = task.bound(isa, bytes);
        let rounds: Vec<Round> = turns.iter().map(|&(round, _)| round).collect();
        let spec = Finding { task, figures: medians(turns) };
        let measured = Measured::of(work, &rounds);
        bench.report.rows.push(Row { spec, isa: isa.to_string(), work, measured });
    }
    Ok(())
}

fn turn<T: Task>(
    bench: &mut Measuring<Finding<T>>,
    task: T,
    isa: Isa,
    bytes: u64,
    choice: &Choice,
) -> Result<Turn>
where
    Finding<T>: Spec,
{
    let (_, roof) = task.bound(isa, bytes);
    let before = bench.roof(roof);
    let figures = ours(task, choice)?;
    let after = bench.roof(roof);
    Ok((Round { before, after, seconds: figures.ms / 1e3 }, figures))
}

/// Runs a task in a process of its own.
fn ours<T: Task>(task: T, choice: &Choice) -> Result<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bench").args(task.arguments()).args(&choice.arguments);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{task}: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Runs a peer, for a task where there are keys of one, and takes down what it prints.
fn take_down<T>(
    bench: &mut Measuring<Finding<T>>,
    command: &str,
    keys: &[(&'static str, Value)],
    round: usize,
) -> Result {
    for mut figures in peer::run(&command_for(command, keys), round)? {
        if let Value::Object(figures) = &mut figures {
            for (key, value) in keys {
                figures.entry(*key).or_insert_with(|| value.clone());
            }
        }
        println!("{figures}");
        bench.report.peers.push(figures);
    }
    Ok(())
}

fn braced(name: &str) -> String {
    format!("{{{name}}}")
}

/// The command of a peer for a task.
fn command_for(command: &str, keys: &[(&'static str, Value)]) -> String {
    keys.iter().fold(command.to_owned(), |command, (name, value)| {
        let word = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        command.replace(&braced(name), &word)
    })
}

/// The median of each figure.
fn medians(turns: &[Turn]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| {
        let figures = turns.iter().map(|(_, figures)| figure(figures)).collect();
        median(figures).unwrap_or(f64::NAN)
    };
    Figures {
        ms: of(|figures| figures.ms),
        cpu_ms: of(|figures| figures.cpu_ms),
        tok_s: of(|figures| figures.tok_s),
        rss_mb: of(|figures| figures.rss_mb),
        bytes: turns.first().map_or(0, |(_, figures)| figures.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_command_serves_all_rows() {
        let keys = [("cfg", "base".into()), ("threads", 2.into())];
        let command = command_for("peer --cfg {cfg} --threads {threads} {cfg}", &keys);
        assert_eq!(command, "peer --cfg base --threads 2 base");
    }
}
