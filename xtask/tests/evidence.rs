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

/// Leaves what a finished run of one step would have left.
fn finish(folder: &Path, row: &str, ste: &str, [held_out, sparsity]: [f64; 2]) {
    let run = folder.join(format!("{row}-0"));
    fs::create_dir(&run).unwrap();
    let arguments = format!("train --ste {ste} --steps 1 --seed 0 --set evaluation.every=1");
    let receipt = serde_json::json!({
        "arguments": arguments.split(' ').collect::<Vec<_>>(),
        "seconds": 1.0,
        "invocation": 1,
        "revision": "abc",
        "failure": null,
    });
    fs::write(run.join("evidence.json"), receipt.to_string()).unwrap();
    let matrices = serde_json::json!([{ "name": "deep.weight", "sparsity": sparsity }]);
    let records = [
        serde_json::json!({"kind": "step", "loss": 5.0, "flips": 0.5, "tokens_per_second": 9.0}),
        serde_json::json!({"kind": "evaluation", "step": 1, "nats_per_byte": held_out}),
        serde_json::json!({"kind": "layers", "sparsity": sparsity, "matrices": matrices}),
    ];
    let lines = records.map(|record| record.to_string()).join("\n");
    fs::write(run.join("metrics.jsonl"), lines).unwrap();
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
    let output = evidence(&folder, &["--steps", "1", "--markdown", document.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let page = fs::read_to_string(document).unwrap();
    assert!(page.starts_with("# Kept\n\n<!-- evidence: begin -->\n\n| Row |"), "{page}");
    assert!(page.contains("\n| twn | 3.2500 | 50.0% | 50.000% | 1.00 |\n"), "{page}");
    assert!(page.ends_with("<!-- evidence: end -->\n\nKept too.\n") && !page.contains("old"));
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
        let output = evidence(&folder, &["--steps", "1"]);
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
