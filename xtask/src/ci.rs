//! `cargo xtask ci`: every gate a change must pass, besides the tests.

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::gradcheck;
use crate::layers;
use crate::parity;
use crate::process::{cargo, run as run_command};
use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// One gate: its name and what it does.
struct Step {
    name: String,
    check: Box<dyn FnOnce() -> Result<(), Box<dyn Error>>>,
}

impl Step {
    fn command(name: impl Into<String>, mut command: Command) -> Self {
        Self { name: name.into(), check: Box::new(move || Ok(run_command(&mut command)?)) }
    }
}

/// Runs every gate, the later ones also when an earlier one failed.
pub(crate) fn run(_: Args) -> Result<(), Box<dyn Error>> {
    finish(run_steps(steps(&Workspace::read()?)))
}

fn steps(workspace: &Workspace) -> Vec<Step> {
    let cargo = |args: &[&str]| cargo(&workspace.root, args);
    let mut doc = cargo(&["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let mut steps = vec![
        Step::command("fmt", cargo(&["fmt", "--all", "--check"])),
        Step::command("clippy", cargo(&clippy)),
        Step::command("doc", doc),
        Step { name: "layers".into(), check: Box::new(|| layers::run(layers::Args {})) },
        Step {
            name: "gradcheck".into(),
            check: Box::new(|| gradcheck::run(gradcheck::Args::with_mutants())),
        },
        Step { name: "parity".into(), check: Box::new(|| parity::run(parity::Args::default())) },
    ];
    // One at a time, so that no other member's features come along.
    for member in workspace.members.iter().filter(|member| member.downstream_of().is_some()) {
        let build = cargo(&["build", "--package", &member.name]);
        steps.push(Step::command(format!("build {}", member.name), build));
    }
    steps
}

/// How one gate went.
struct Done {
    name: String,
    time: Duration,
    error: Option<String>,
}

fn run_steps(steps: Vec<Step>) -> Vec<Done> {
    steps
        .into_iter()
        .map(|Step { name, check }| {
            println!("── {name}");
            let start = Instant::now();
            let error = check().err().map(|error| error.to_string());
            let time = start.elapsed();
            println!("── {name}: {:.1} s", time.as_secs_f64());
            Done { name, time, error }
        })
        .collect()
}

/// Prints how each gate went; an error names those that failed.
fn finish(done: Vec<Done>) -> Result<(), Box<dyn Error>> {
    println!();
    for Done { name, time, error } in &done {
        let word = if error.is_none() { "passed" } else { "FAILED" };
        println!("{word}  {:>6.1} s  {name}", time.as_secs_f64());
    }
    let failed: Vec<String> = done
        .into_iter()
        .filter_map(|Done { name, error, .. }| Some(format!("{name}: {}", error?.trim_end())))
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, result: Result<(), &'static str>) -> Step {
        Step { name: name.into(), check: Box::new(move || Ok(result?)) }
    }

    #[test]
    fn a_failed_step_does_not_hide_the_later_ones_and_all_failures_are_named() {
        let steps = vec![step("a", Err("broken")), step("b", Ok(())), step("c", Err("bent"))];
        let done = run_steps(steps);
        assert_eq!(done.len(), 3);
        assert_eq!(finish(done).unwrap_err().to_string(), "a: broken\nc: bent");
    }

    #[test]
    fn steps_that_pass_make_a_pass() {
        assert!(finish(run_steps(vec![step("a", Ok(())), step("b", Ok(()))])).is_ok());
    }

    #[test]
    fn there_is_a_step_for_each_downstream_package() {
        let workspace = Workspace::read().unwrap();
        let downstream = workspace.members.iter().filter(|m| m.downstream_of().is_some()).count();
        let names: Vec<String> = steps(&workspace).into_iter().map(|step| step.name).collect();
        assert_eq!(names[..6], ["fmt", "clippy", "doc", "layers", "gradcheck", "parity"]);
        assert_eq!(names.len(), 6 + downstream);
        assert!(downstream > 0);
    }
}
