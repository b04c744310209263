//! Whole runs that learn from a teacher, are watched, and end early.

mod ternary;

use std::fs;

use serde_json::Value;
use ternary::{Done, Folder};

/// A model that a test can wait for.
const SMALL: &str = "--set model.width=32 --set model.layers=1 --set model.feed_forward=48 \
                     --set batch.windows=2 --set batch.length=32 --set evaluation.windows=8 --data text";

/// A folder with a text that a model can learn.
fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    let words = ["ternary ", "weights ", "learn ", "from bytes. "];
    let text: String = (0..3000_usize).map(|i| words[(i * i + i / 7) % words.len()]).collect();
    fs::write(folder.path("text"), text).unwrap();
    folder
}

fn train(folder: &Folder, out: &str, arguments: &str) -> Done {
    let done = folder.ternary(&format!("train {SMALL} --out {out} {arguments}"));
    assert_eq!(done.code, Some(0), "{done:?}");
    done
}

fn records(folder: &Folder, out: &str, kind: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.path(out).join("metrics.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["kind"] == kind).collect()
}

fn summary(folder: &Folder, out: &str) -> Value {
    let text = fs::read_to_string(folder.path(out).join("summary.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_run_learns_from_the_scores_of_another() {
    let folder = folder("teacher");
    train(&folder, "teacher", "--float --steps 80");
    let shares =
        |share: &str| format!("--teacher teacher --steps 60 --set distillation.share={share}");
    train(&folder, "taught", &shares("0.9"));
    train(&folder, "alone", "--steps 60");
    let divergences: Vec<f64> = records(&folder, "taught", "step")
        .iter()
        .map(|record| record["divergence"].as_f64().unwrap())
        .collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&divergences[..5]), mean(&divergences[55..]));
    assert!(last > 0.0 && last < 0.7 * first, "{first} to {last}");
    assert!(records(&folder, "alone", "step").iter().all(|record| record["divergence"].is_null()));
    let config = fs::read_to_string(folder.path("taught").join("config.toml")).unwrap();
    assert!(config.contains("teacher = \""), "{config}");
}

#[test]
fn a_teacher_that_does_not_fit_is_refused_before_anything_is_written() {
    let folder = folder("no-teacher");
    train(&folder, "short", "--float --steps 1");
    for (length, arguments, expected) in [
        ("32", "--teacher nobody", "nobody"),
        ("64", "--teacher short", "positions: expected at least 64, found 32"),
        ("32", "--teacher short --fogzo-from 0", "teacher, fogzo_from: expected no FOGZO"),
    ] {
        let small = SMALL.replace("length=32", &format!("length={length}"));
        let done = folder.ternary(&format!("train {small} --out run {arguments}"));
        assert_ne!(done.code, Some(0), "{arguments}");
        assert!(done.stderr.contains(expected), "{}", done.stderr);
        assert!(!folder.path("run").exists(), "{arguments}");
    }
}

#[test]
fn a_run_ends_early_when_it_is_told_to_and_leaves_a_model_of_hard_codes() {
    let folder = folder("early");
    let evaluations = "--steps 40 --set evaluation.every=5 --set ternary.ramp=1";
    for (out, arguments, reason, steps) in [
        ("condition", "--stop-if train-loss>1@12", "stop-if: train-loss is", 12),
        ("held-out", "--stop-if ppl>1.5@10", "stop-if: ppl is", 10),
        (
            "patience",
            "--set evaluation.patience=2 --set evaluation.least_improvement=100",
            "early-stop: 2",
            15,
        ),
    ] {
        let done = train(&folder, out, &format!("{evaluations} {arguments}"));
        let summary = summary(&folder, out);
        assert!(summary["stopped"].as_str().unwrap().starts_with(reason), "{out}: {summary}");
        assert_eq!(summary["steps"], steps, "{out}");
        assert!(done.stdout.contains(&format!("after {steps} steps")), "{}", done.stdout);
        // What it says of the saved model, eval finds too, although the ramp was under way.
        let last = records(&folder, out, "evaluation").pop().unwrap()["nats"].as_f64().unwrap();
        assert_eq!(summary["held_out"]["nats"].as_f64().unwrap(), last);
        let text = fs::read(folder.path("text")).unwrap();
        let held_out = &text[text.len() - text.len().div_ceil(10)..];
        fs::write(folder.path("tail"), held_out).unwrap();
        let done = folder.ternary(&format!("eval --model {out} --data tail --windows 8 --json"));
        let found: Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!(found["nats_per_byte"].as_f64().unwrap(), last, "{out}");
    }
    let done = train(&folder, "budget", "--steps 1000000 --time-budget 1s");
    assert!(summary(&folder, "budget")["stopped"].as_str().unwrap().starts_with("time-budget: 1s"));
    assert!(done.stdout.contains("held-out loss"), "{}", done.stdout);
}

#[test]
fn steps_that_are_not_finite_are_told_and_end_the_run_when_there_are_too_many() {
    let folder = folder("diverging");
    let arguments = "--float --optimiser sgd --set optimiser.learning_rate=1e30 --set optimiser.clip=1e30 \
                     --set guard.bad_steps=3 --steps 50 --set optimiser.warm_up=0";
    let done = folder.ternary(&format!("train {SMALL} --out run {arguments}"));
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("3 steps in a row"), "{}", done.stderr);
    let skipped = records(&folder, "run", "skipped");
    assert_eq!(skipped.len(), 3, "{skipped:?}");
    assert!(!folder.path("run/model").exists());
}

#[test]
fn the_model_of_the_best_evaluation_is_kept_and_has_its_loss() {
    let folder = folder("best");
    let arguments = "--steps 30 --set evaluation.every=5 --set evaluation.keep_best=true";
    train(&folder, "run", arguments);
    let evaluations: Vec<f64> = records(&folder, "run", "evaluation")
        .iter()
        .map(|record| record["nats"].as_f64().unwrap())
        .collect();
    let best = evaluations.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(summary(&folder, "run")["best"]["nats"].as_f64().unwrap(), best);
    let text = fs::read(folder.path("text")).unwrap();
    fs::write(folder.path("tail"), &text[text.len() - text.len().div_ceil(10)..]).unwrap();
    let done = folder.ternary("eval --model run/best --data tail --windows 8 --json");
    let found: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(found["nats_per_byte"].as_f64().unwrap(), best);
}
