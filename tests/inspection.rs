//! `inspect` and `compare`: what they tell of models and runs, also of those that are unfinished, foreign or broken.

mod ternary;

use std::fs;
use std::path::Path;

use serde_json::Value;
use ternary::{Done, Folder};

/// A run of a moment.
const SMALL: &str = "train --steps 2 --set model.width=32 --set model.feed_forward=32 --set model.layers=1 \
                     --set batch.windows=2 --set evaluation.windows=2";

/// A small model as Hugging Face's tools leave it.
const FOREIGN: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../xtask/fixtures/gdn/model/small_qwen3_5_text/base");

fn succeeds(folder: &Folder, arguments: &str) -> String {
    let done = folder.ternary(arguments);
    assert_eq!(done.code, Some(0), "{arguments}: {done:?}");
    done.stdout
}

fn json(folder: &Folder, arguments: &str) -> Value {
    let printed = succeeds(folder, &format!("{arguments} --json"));
    assert_eq!(printed.lines().count(), 1, "{printed}");
    serde_json::from_str(&printed).unwrap()
}

/// A failure that says so in its last line, and prints nothing else.
fn fails(done: &Done, said: &str) {
    assert_eq!((done.code, &*done.stdout), (Some(1), ""), "{done:?}");
    let last = done.stderr.lines().last().unwrap();
    assert!(last.starts_with("error: ") && last.contains(said), "{last}");
}

/// A run that was killed in the middle of a line.
fn cut_short(run: &Path) {
    fs::remove_file(run.join("summary.json")).unwrap();
    fs::remove_dir_all(run.join("model")).unwrap();
    let metrics = run.join("metrics.jsonl");
    let text = fs::read_to_string(&metrics).unwrap();
    let second = text.match_indices("{\"kind\":\"step\"").nth(1).unwrap().0;
    fs::write(metrics, &text[..second + 30]).unwrap();
}

#[test]
fn a_run_its_model_and_a_foreign_model_are_looked_into() {
    let folder = Folder::new("looked-into");
    succeeds(&folder, &format!("{SMALL} --out run --set ternary.granularity=row"));
    let table = succeeds(&folder, "inspect run");
    for said in ["tensor", "embed_tokens", "down_proj", "32×32", "effective bits", "times less"] {
        assert!(table.contains(said), "{said}: {table}");
    }
    assert!(table.lines().last().unwrap().contains("run"), "{table}");
    let whole = json(&folder, "inspect run");
    assert_eq!(whole, json(&folder, "inspect run/model"));
    let [ternary, real] = ["ternary", "real"].map(|kind| &whole[kind]["tensors"]);
    assert_eq!(
        ternary.as_u64().unwrap() + real.as_u64().unwrap(),
        whole["tensors"].as_array().unwrap().len() as u64
    );

    let foreign = json(&folder, &format!("inspect {FOREIGN}"));
    assert_eq!(foreign["ternary"]["tensors"], 0);
    assert!(foreign["real"]["numbers"].as_u64().unwrap() > 1000, "{foreign}");
    assert!(!succeeds(&folder, &format!("inspect {FOREIGN}")).contains("effective bits"));
}

#[test]
fn what_cannot_be_looked_into_is_named_with_what_is_missing() {
    let folder = Folder::new("not-looked-into");
    fs::create_dir(folder.path("empty")).unwrap();
    fs::write(folder.path("file"), "text").unwrap();
    fails(&folder.ternary("inspect empty"), "empty/config.json");
    fails(&folder.ternary("inspect no-such"), "no-such/config.json");
    fails(&folder.ternary("inspect file"), "file/config.json");
    succeeds(&folder, &format!("{SMALL} --out run"));
    let weights = folder.path("run/model/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    fails(&folder.ternary("inspect run"), "model.safetensors: ");
    cut_short(&folder.path("run"));
    fails(&folder.ternary("inspect run"), "run has no model/ yet, which is written when it ends");
}

#[test]
fn runs_are_set_beside_each_other_with_what_differs() {
    let folder = Folder::new("beside");
    let line = |number| format!("Once there were {number} cats on the mat.\n");
    fs::write(folder.path("text"), (0..400).map(line).collect::<String>()).unwrap();
    succeeds(&folder, &format!("{SMALL} --out stories"));
    succeeds(&folder, &format!("{SMALL} --out float --float"));
    succeeds(&folder, &format!("{SMALL} --out text-run --data text --seed 3"));
    succeeds(&folder, &format!("{SMALL} --out killed"));
    cut_short(&folder.path("killed"));

    let runs = "compare stories float text-run killed";
    let done = folder.ternary(&format!("{runs} --out page.html"));
    assert_eq!(done.code, Some(0), "{done:?}");
    let row = |name: &str| {
        let line = done.stdout.lines().find(|line| line.starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("{name}: {}", done.stdout));
        line[name.len()..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    // Each number of words is the number of runs, but for the status.
    assert_eq!(row("steps"), ["2", "2", "2", "1"]);
    assert_eq!(row("status")[..4], ["finished", "finished", "finished", "unfinished:"]);
    assert_eq!(row("seed"), ["0", "0", "3", "0"]);
    assert_eq!(row("float"), ["false", "true", "false", "false"]);
    assert_eq!(row("data")[0], "absent");
    // There is no floor of a text, no zeros of float weights, no evaluation of what was cut short.
    assert_eq!(row("above the floor").iter().filter(|cell| *cell == "–").count(), 2);
    assert_eq!(row("zeros")[1], "–");
    assert!(!done.stdout.lines().any(|line| line.starts_with("model.width")), "{}", done.stdout);
    let page = fs::read_to_string(folder.path("page.html")).unwrap();
    for name in ["stories", "float", "text-run", "killed", "Settings that differ", "</html>"] {
        assert!(page.contains(name), "{name}");
    }
    assert!(done.stderr.contains("page.html"), "{}", done.stderr);

    let told = json(&folder, runs);
    assert_eq!(told.as_array().unwrap().len(), 4);
    assert_eq!(
        (&told[2]["settings"]["seed"], &told[3]["is_finished"]),
        (&"3".into(), &false.into())
    );
    assert!(told[3]["figures"]["held_out_loss"].is_null(), "{told}");
}

#[test]
fn the_same_run_twice_is_no_better_than_itself_and_has_no_settings_that_differ() {
    let folder = Folder::new("twice");
    succeeds(&folder, &format!("{SMALL} --out run"));
    let told = json(&folder, "compare run ./run --out page.html");
    fails(&folder.ternary("compare run run --out page.html"), "page.html is there already");
    succeeds(&folder, "compare run run --out page.html --force");
    assert_eq!(told[0]["figures"], told[1]["figures"]);
    assert_eq!(told[0]["settings"], serde_json::json!({}));
    let page = fs::read_to_string(folder.path("page.html")).unwrap();
    assert!(!page.contains("class=\"best\"") && !page.contains("Settings that differ"));
}

#[test]
fn what_cannot_be_compared_is_named_and_no_page_is_written() {
    let folder = Folder::new("not-compared");
    fs::create_dir(folder.path("empty")).unwrap();
    succeeds(&folder, &format!("{SMALL} --out run"));
    for (runs, said) in [
        ("run empty", "empty: expected the folder of a run"),
        ("no-such run", "found no folder without config.toml and metrics.jsonl"),
        ("run run/model", "expected the folder of a run"),
        ("run run/config.toml", "found no folder"),
    ] {
        fails(&folder.ternary(&format!("compare {runs} --out page.html")), said);
        assert!(!folder.path("page.html").exists());
    }
    fails(&folder.ternary("compare run run --out no-such/page.html"), "page.html");
    let copy = |name: &str, text: &str| {
        fs::create_dir_all(folder.path("other")).unwrap();
        fs::copy(folder.path("run/config.toml"), folder.path("other/config.toml")).unwrap();
        fs::copy(folder.path("run/metrics.jsonl"), folder.path("other/metrics.jsonl")).unwrap();
        fs::write(folder.path("other").join(name), text).unwrap();
        folder.ternary("compare run other")
    };
    fails(&copy("metrics.jsonl", "{\"kind\":\"step\"}\n{\"kind\":\"start\"}\n"), "metrics.jsonl");
    fails(&copy("config.toml", "steps = \n"), "config.toml");
    fails(&copy("summary.json", "{}"), "summary.json: expected the summary of a run");
}
