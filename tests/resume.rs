//! What `--resume` answers to a run that has ended, that another process is in, or that is not as it was.

mod ternary;

use std::fs;

use ternary::{Done, Folder, words};

const SMALL: &str = "train --data text --steps 8 --checkpoint-every 2 --keep-last 9 --out run \
                     --set model.width=32 --set model.feed_forward=32 --set model.layers=1 --set batch.windows=2 \
                     --set batch.length=32 --set evaluation.windows=2 --set evaluation.every=4";

/// A run that was killed after its fourth checkpoint.
fn killed_run(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::write(folder.path("text"), words()).unwrap();
    let done = folder.ternary(SMALL);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    fs::remove_file(folder.path("run/summary.json")).unwrap();
    folder
}

fn resume(folder: &Folder) -> Done {
    folder.ternary("train --resume run")
}

fn edit(folder: &Folder, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(folder.path(name)).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(folder.path(name), text.replacen(from, to, 1)).unwrap();
}

fn assert_refused(folder: &Folder, said: &[&str]) {
    let before = fs::read(folder.path("run/metrics.jsonl"));
    let done = resume(folder);
    assert_eq!((done.code, &*done.stdout), (Some(1), ""), "{}", done.stderr);
    for said in said {
        assert!(done.stderr.contains(said), "{said}: {}", done.stderr);
    }
    assert_eq!(fs::read(folder.path("run/metrics.jsonl")).ok(), before.ok());
    assert!(!folder.path("run/summary.json").exists());
}

#[test]
fn a_run_that_has_ended_says_so_with_its_summary() {
    let folder = Folder::new("ended");
    fs::write(folder.path("text"), words()).unwrap();
    let straight = folder.ternary(SMALL);
    let again = resume(&folder);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(again.stdout, straight.stdout);
    assert!(again.stderr.contains("run has ended already"), "{}", again.stderr);
    let json = folder.ternary("train --resume run --json").stdout;
    assert!(json.starts_with('{') && json.contains("\"held_out\""), "{json}");
}

#[test]
fn a_run_has_its_own_settings_and_takes_no_others() {
    let folder = Folder::new("no-others");
    for settings in
        ["--steps 9", "--set steps=9", "--float", "--config c.toml", "--plan", "--force"]
    {
        let done = folder.ternary(&format!("train --resume run {settings}"));
        assert_eq!(done.code, Some(2), "{settings}");
        assert!(done.stderr.contains("'--resume <RUN>' cannot be used with"), "{}", done.stderr);
    }
}

#[test]
fn what_is_no_run_cannot_be_resumed() {
    let folder = Folder::new("no-run");
    for path in ["run", "text"] {
        fs::write(folder.path("text"), words()).unwrap();
        let done = folder.ternary(&format!("train --resume {path}"));
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert!(done.stderr.contains("config.toml") || path == "text", "{}", done.stderr);
    }
    assert!(!folder.path("run").exists());
}

#[test]
fn settings_that_were_edited_are_named_unless_no_number_depends_on_them() {
    let folder = killed_run("edited");
    edit(&folder, "run/config.toml", "steps = 8", "steps = 9");
    let said =
        ["steps: expected 8, as at the last checkpoint, found 9 in config.toml", "resume run"];
    assert_refused(&folder, &said);
    edit(&folder, "run/config.toml", "steps = 9", "steps = 8");
    edit(&folder, "run/config.toml", "beta1 = 0.9", "beta1 = 0.8");
    assert_refused(&folder, &["optimiser.beta1: expected 0.9"]);
    edit(&folder, "run/config.toml", "beta1 = 0.8", "beta1 = \"x\"");
    let done = resume(&folder);
    assert!(done.code == Some(2) && done.stderr.contains("optimiser.beta1"), "{}", done.stderr);
    edit(&folder, "run/config.toml", "beta1 = \"x\"", "beta1 = 0.9");
    edit(&folder, "run/config.toml", "keep_last = 9", "keep_last = 3");
    edit(&folder, "run/config.toml", "recompute = false", "recompute = true");
    assert_eq!(resume(&folder).code, Some(0));
}

#[cfg(unix)]
#[test]
fn another_text_is_refused_and_the_same_one_elsewhere_is_not() {
    let folder = killed_run("another-text");
    fs::write(folder.path("text"), words().replace("cat", "cow")).unwrap();
    assert_refused(&folder, &["the text: expected that which the run began with, found another"]);
    fs::remove_file(folder.path("text")).unwrap();
    assert_refused(&folder, &["text: No such file"]);
    fs::write(folder.path("moved"), words()).unwrap();
    edit(&folder, "run/config.toml", "/text\"", "/moved\"");
    let done = resume(&folder);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn damaged_checkpoints_are_passed_over_and_a_run_with_no_other_is_left_as_it_is() {
    let folder = killed_run("damaged");
    let arrays =
        |step: u32| folder.path(&format!("run/checkpoints/step-{step:08}/arrays.safetensors"));
    fs::write(arrays(8), "half").unwrap();
    fs::remove_file(arrays(6)).unwrap();
    let copies = [2, 4].map(|step| fs::read(arrays(step)).unwrap());
    for step in [2, 4] {
        fs::write(arrays(step), "").unwrap();
    }
    assert_refused(&folder, &["step-00000006 is passed over", "4 that cannot"]);
    for (step, copy) in [2, 4].into_iter().zip(copies) {
        fs::write(arrays(step), copy).unwrap();
    }
    let done = resume(&folder);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("step-00000008 is passed over"), "{}", done.stderr);
    assert!(done.stderr.contains("going on after step 4 of 8"), "{}", done.stderr);
}

#[test]
fn a_half_deleted_run_and_one_of_another_version_are_left_as_they_are() {
    let folder = killed_run("half-deleted");
    let manifest = "run/checkpoints/step-00000008/manifest.json";
    edit(&folder, manifest, "\"version\": 2", "\"version\": 1");
    assert_refused(&folder, &["version of the checkpoint: expected 2, found 1"]);
    edit(&folder, manifest, "\"version\": 1", "\"version\": 2");
    let metrics = fs::read(folder.path("run/metrics.jsonl")).unwrap();
    fs::write(folder.path("run/metrics.jsonl"), &metrics[..100]).unwrap();
    assert_refused(&folder, &["metrics.jsonl: expected at least", "found 100"]);
    fs::remove_file(folder.path("run/metrics.jsonl")).unwrap();
    assert_refused(&folder, &["metrics.jsonl"]);
    fs::write(folder.path("run/metrics.jsonl"), metrics).unwrap();
    let entries = folder.path("run").read_dir().unwrap().map(|entry| entry.unwrap().path());
    let events = entries.filter(|path| path.to_str().unwrap().contains("tfevents"));
    events.for_each(|path| fs::remove_file(path).unwrap());
    assert_refused(&folder, &["events: expected the event file of the run, found 0"]);
}

#[test]
fn a_run_that_trains_is_not_resumed_beside_it() {
    let folder = killed_run("in-use");
    // Whoever holds the lock trains.
    let lock = fs::File::options().write(true).open(folder.path("run/.lock")).unwrap();
    lock.lock().unwrap();
    assert_refused(&folder, &["the run run is in use"]);
    let done = folder.ternary(&format!("{SMALL} --force"));
    assert!(done.code == Some(1) && done.stderr.contains("in use"), "{}", done.stderr);
    drop(lock);
    assert_eq!(resume(&folder).code, Some(0));
}
