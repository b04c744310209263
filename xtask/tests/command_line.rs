//! The command line as its users meet it: what it lists, refuses and finds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn xtask(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.current_dir(folder).args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    both.concat()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// An empty folder for one test.
fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn help_lists_each_command_with_a_line_about_it() {
    let output = xtask(root(), &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output);
    for command in [
        "bench",
        "ci",
        "compare-revisions",
        "evidence",
        "gradcheck",
        "interop",
        "layers",
        "quality",
    ] {
        let line = help.lines().find(|line| line.trim_start().starts_with(&format!("{command} ")));
        assert!(line.is_some_and(|line| line.split_whitespace().count() > 4), "{command}: {help}");
    }
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_was_wrong() {
    for (args, word) in [
        (&["layers", "--no-such-flag"][..], "--no-such-flag"),
        (&["no-such-command"], "no-such-command"),
        (&["compare-revisions", "only-one"], "<B>"),
        (&["compare-revisions", "--rounds", "0", "a", "b"], "--rounds"),
        (&["evidence", "--only", "absmean,no-such-row"], "no-such-row"),
        (&["evidence", "--seeds", "0"], "--seeds"),
        (&["quality", "--steps", "0"], "--steps"),
        (&["bench", "lora", "--base", "f8"], "f32, bf16, ternary"),
        (&["ci", "surplus"], "surplus"),
        (&["gradcheck", "--json"], "--json"),
        (&[], "Usage"),
    ] {
        let output = xtask(root(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output).contains(word), "{args:?}: {}", text(&output));
    }
}

#[test]
fn interop_says_at_once_that_a_python_is_not_there() {
    let out = empty_folder("interop");
    let output =
        xtask(root(), &["interop", "--python", "no-such-python", "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("`no-such-python -c import importlib"), "{}", text(&output));
}

#[test]
fn layers_passes_on_this_tree() {
    let output = xtask(root(), &["layers"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn layers_finds_what_is_planted_in_a_copy_of_this_tree() {
    let copy = empty_folder("layers-copy");
    copy_sources(root(), &copy);
    let sound = xtask(&copy, &["layers"]);
    assert_eq!(sound.status.code(), Some(0), "{}", text(&sound));

    let manifest = copy.join("crates/ternary-core/Cargo.toml");
    let planted = fs::read_to_string(&manifest)
        .unwrap()
        .replace("[dependencies]\n", "[dependencies]\nclap.workspace = true\n");
    fs::write(&manifest, planted).unwrap();
    fs::write(copy.join("crates/ternary-core/src/unmapped.rs"), "").unwrap();
    let output = xtask(&copy, &["layers"]);
    assert_eq!(output.status.code(), Some(1));
    let found = text(&output);
    for finding in [
        "ternary-core: its default features pull a command line, clap ",
        "ARCHITECTURE.md does not map module `unmapped` of `crates/ternary-core`",
    ] {
        assert!(found.contains(finding), "{finding}: {found}");
    }
    fs::remove_dir_all(&copy).unwrap();
}

#[test]
fn gradcheck_passes_on_this_tree_and_reports_every_array() {
    let report = empty_folder("gradcheck").join("report.json");
    let output = xtask(root(), &["gradcheck", "--json", report.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    assert!(json["registered"].as_u64().unwrap() > 20);
    assert_eq!(json["registered"], json["checked"]);
    let rows = json["rows"].as_array().unwrap();
    assert!(rows.len() > 200);
    for row in rows {
        assert!(row["entries"].as_u64().unwrap() > 0 && row["largest_error"].is_f64(), "{row}");
    }
}

#[test]
fn gradcheck_finds_what_is_planted_in_a_copy_of_this_tree() {
    let copy = empty_folder("gradcheck-copy");
    copy_sources(root(), &copy);
    let unchecked = "
        impl<T: Compute> crate::Layer<T> for Unchecked<T> {
            fn forward(x: T) -> T { mutant!(\"Unregistered/sign\", x, -x) }
        }";
    fs::write(copy.join("crates/nn/src/layers/unchecked.rs"), unchecked).unwrap();
    let residual = copy.join("crates/nn/src/ops/residual.rs");
    let source = fs::read_to_string(&residual).unwrap();
    fs::write(residual, source.replace("residual_backward", "sum_backward")).unwrap();
    let output = xtask(&copy, &["gradcheck", "--filter", "Identity", "--mutants"]);
    assert_eq!(output.status.code(), Some(1));
    let found = text(&output);
    for finding in [
        "crates/nn/src/layers/unchecked.rs: no case checks `Unchecked`",
        "crates/nn/src/layers/unchecked.rs: `Unchecked` has 0 mutants of at least 3",
        "the mutant `Unregistered/sign` is of no op, layer or estimator",
        "the case `residual` covers `residual`, which the source has not",
    ] {
        assert!(found.contains(finding), "{finding}: {found}");
    }
    fs::remove_dir_all(&copy).unwrap();
}

/// Copies a tree without what is built or hidden, and without the copy itself.
fn copy_sources(from: &Path, to: &Path) {
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let (source, target) = (entry.path(), to.join(&name));
        let is_built_or_hidden = name == "target" || name.to_string_lossy().starts_with('.');
        if is_built_or_hidden || to.starts_with(&source) {
            continue;
        }
        if source.is_dir() {
            fs::create_dir(&target).unwrap();
            copy_sources(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap();
        }
    }
}
