//! Rounds in which ours and the peers take turns.

use std::process::{Command, Stdio};

use serde_json::Value;
use ternary_core::kernels::Isa;

use super::plan::{Figures, Finding, Task};
use crate::bench::measuring::Measuring;
use crate::bench::report::Row;
use crate::bench::rounds::{Measured, Round, median};
use crate::bench::{Result, peer};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub(super) rounds: usize,
    pub(super) steps: usize,
    pub(super) unit: Option<usize>,
}

/// One process of ours, between two measurements of its roof.
type Turn = (Round, Figures);

/// Measures all tasks in turn with the peers.
pub(super) fn take(
    bench: &mut Measuring<Finding>,
    tasks: &[Task],
    isa: Isa,
    choice: Choice,
    peers: &[String],
) -> Result {
    let mut turns = vec![Vec::new(); tasks.len()];
    let (of_rows, of_rounds): (Vec<_>, Vec<_>) = peers
        .iter()
        .partition(|command| command.contains("{cfg}") || command.contains("{threads}"));
    // The roof of decoding is that of its bytes, which its first process tells.
    let mut bytes = vec![0; tasks.len()];
    for round in 0..choice.rounds {
        for ((&task, turns), bytes) in tasks.iter().zip(&mut turns).zip(&mut bytes) {
            eprintln!("[round {}/{}] {task}", round + 1, choice.rounds);
            if turns.is_empty() && task.is_decoding() {
                *bytes = ours(task, choice)?.bytes;
            }
            turns.push(turn(bench, task, isa, *bytes, choice)?);
            if !task.is_decoding() {
                for command in &of_rows {
                    take_down(bench, command, Some(task), round)?;
                }
            }
        }
        for command in &of_rounds {
            take_down(bench, command, None, round)?;
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

fn turn(
    bench: &mut Measuring<Finding>,
    task: Task,
    isa: Isa,
    bytes: u64,
    choice: Choice,
) -> Result<Turn> {
    let (_, roof) = task.bound(isa, bytes);
    let before = bench.roof(roof);
    let figures = ours(task, choice)?;
    let after = bench.roof(roof);
    Ok((Round { before, after, seconds: figures.ms / 1e3 }, figures))
}

/// Runs a task in a process of its own.
fn ours(task: Task, choice: Choice) -> Result<Figures> {
    let Task { part, size, threads } = task;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "train", "--child"]);
    command.args([format!("--part={part}"), format!("--preset={size}")]);
    command.args([format!("--threads={threads}"), format!("--steps={}", choice.steps)]);
    command.args(choice.unit.map(|unit| format!("--unit={unit}")));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{task}: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Runs a peer, for a task where its command asks for one, and takes down what it prints.
fn take_down(
    bench: &mut Measuring<Finding>,
    command: &str,
    task: Option<Task>,
    round: usize,
) -> Result {
    let command = task.map_or_else(|| command.to_owned(), |task| command_for(command, task));
    for mut figures in peer::run(&command, round)? {
        if let (Some(Task { size, threads, .. }), Value::Object(figures)) = (task, &mut figures) {
            figures.entry("cfg").or_insert_with(|| size.to_string().into());
            figures.entry("threads").or_insert_with(|| threads.into());
        }
        println!("{figures}");
        bench.report.peers.push(figures);
    }
    Ok(())
}

/// The command of a peer for a task.
fn command_for(command: &str, Task { size, threads, .. }: Task) -> String {
    command.replace("{cfg}", &size.to_string()).replace("{threads}", &threads.to_string())
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
    use super::super::Size;
    use super::super::plan::Part;
    use super::*;

    #[test]
    fn one_command_serves_all_rows() {
        let task = Task { part: Part::Step, size: Size::Base, threads: 2 };
        let command = command_for("peer --cfg {cfg} --threads {threads} {cfg}", task);
        assert_eq!(command, "peer --cfg base --threads 2 base");
    }
}
