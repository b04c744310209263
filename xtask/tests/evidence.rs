//! `cargo xtask evidence` over folders of finished runs: what it prints, writes and ends with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const DOCUMENT: &str =
    "# Kept\n\n<!-- evidence: begin -->\nold\n<!-- evidence: end -->\n\nKept too.\n";

/// An empty folder for one test.
fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Leaves the receipt of a finished run in the folder `name`, and these lines of metrics.
fn leave(folder: &Path, name: &str, ste: &str, steps: usize, records: &[serde_json::Value]) {
    let run = folder.join(name);
    fs::create_dir(&run).unwrap();
    let ends = format!("--steps {steps} --seed 0 --set evaluation.every={steps}");
    let receipt = serde_json::json!({
        "arguments": format!("train --ste {ste} {ends}").split(' ').collect::<Vec<_>>(),
        "seconds": 1.0,
        "invocation": 1,
        "revision": "abc",
        "failure": null,
    });
    fs::write(run.join("evidence.json"), receipt.to_string()).unwrap();
    let lines: Vec<_> = records.iter().map(ToString::to_string).collect();
    fs::write(run.join("metrics.jsonl"), lines.join("\n")).unwrap();
}

/// Leaves what a run in a round of the timed pass would have left, with these speeds of its steps.
fn finish_timed(folder: &Path, row: &str, ste: &str, round: u32, rates: &[f64]) {
    let step = |rate| serde_json::json!({"kind": "step", "tokens_per_second": rate});
    let records: Vec<_> = rates.iter().map(step).collect();
    leave(folder, &format!("{row}-timed-{round}"), ste, rates.len(), &records);
}

/// Leaves what a finished run of one step would have left.
fn finish(folder: &Path, row: &str, ste: &str, [held_out, sparsity]: [f64; 2]) {
    let matrices = serde_json::json!([{ "name": "deep.weight", "sparsity": sparsity }]);
    let records = [
        serde_json::json!({"kind": "step", "loss": 5.0, "flips": 0.5}),
        serde_json::json!({"kind": "evaluation", "step": 1, "nats": held_out}),
        serde_json::json!({"kind": "layers", "sparsity": sparsity, "matrices": matrices}),
    ];
    leave(folder, &format!("{row}-0"), ste, 1, &records);
}

fn evidence(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["evidence", "--only", "absmean,twn", "--seeds", "1", "--out"]).arg(folder);
    command.args(more).output().unwrap()
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[test]
fn finished_runs_become_a_table_that_stands_between_the_markers_of_the_document() {
    let folder = empty_folder("evidence-finished");
    finish(&folder, "absmean", "vanilla", [3.0, 0.25]);
    finish(&folder, "twn", "twn", [3.25, 0.5]);
    let document = folder.join("page.md");
    fs::write(&document, DOCUMENT).unwrap();
    // The means are (2 + 2 + 8)/3 = 4 and 2 seconds, and then 4/3 and 3.
    finish_timed(&folder, "absmean", "vanilla", 0, &[9.0, 9.0, 0.5, 0.5, 0.125]);
    finish_timed(&folder, "twn", "twn", 0, &[9.0, 9.0, 1.0, 1.0, 0.25]);
    finish_timed(&folder, "absmean", "vanilla", 1, &[9.0, 9.0, 0.5, 1.0, 1.0]);
    finish_timed(&folder, "twn", "twn", 1, &[9.0, 9.0, 0.5, 0.5, 0.2]);
    let page = ["--steps", "1", "--timed-steps", "5", "--markdown", document.to_str().unwrap()];
    let output = evidence(&folder, &page);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let page = fs::read_to_string(document).unwrap();
    assert!(page.starts_with("# Kept\n\n<!-- evidence: begin -->\n\n| Row |"), "{page}");
    assert!(page.contains("\n| twn | 3.2500 | 50.0% | 50.000% | 1.50 |\n"), "{page}");
    assert!(page.ends_with("<!-- evidence: end -->\n\nKept too.\n") && !page.contains("old"));
    assert!(page.contains("times of the fastest of 2 rounds of 5 steps"), "{page}");
    // Without the pass there are no times, and nothing is run.
    let output = evidence(&folder, &["--steps", "1", "--timed-steps", "0"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("| twn | 3.2500 | 50.0% | 50.000% | – |"), "{}", text(&output));
    // With other steps they are not the runs that were asked for.
    let output = evidence(&folder, &["--steps", "2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("other arguments"), "{}", text(&output));
}

#[test]
fn a_planted_row_that_diverged_or_died_is_named_and_fails_the_command() {
    for (numbers, complaint) in [
        ([5.5, 0.25], "twn with seed 0: its held-out loss 5.5000 is not below"),
        ([3.0, 0.995], "twn with seed 0: nearly all weights of deep.weight are 0"),
        ([f64::NAN, 0.25], "twn with seed 0: its held-out loss is not finite"),
    ] {
        let folder = empty_folder("evidence-diverged");
        finish(&folder, "absmean", "vanilla", [3.0, 0.25]);
        finish(&folder, "twn", "twn", numbers);
        let output = evidence(&folder, &["--steps", "1", "--timed-steps", "0"]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(complaint), "{complaint}: {}", text(&output));
    }
}

#[test]
fn a_document_without_markers_is_refused_before_anything_runs() {
    let folder = empty_folder("evidence-document");
    let document = folder.join("page.md");
    fs::write(&document, "no markers").unwrap();
    let output = evidence(&folder, &["--markdown", document.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("evidence: begin"), "{}", text(&output));
}
