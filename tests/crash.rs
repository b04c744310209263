//! A run that is killed and resumed ends as one that nothing stopped, bit for bit.

#![cfg(unix)]

mod ternary;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use ternary::{Folder, untimed, words};
use ternary_core::noise::Noise;

/// A run of milliseconds.
const SMALL: &str = "train --data text --set model.width=32 --set model.feed_forward=32 \
                     --set batch.windows=4 --set batch.unit=2 --set batch.length=32 --set evaluation.windows=2";

fn folder_with_text(name: &str) -> Folder {
    let folder = Folder::new(name);
    fs::write(folder.path("text"), words()).unwrap();
    folder
}

fn train(folder: &Folder, arguments: &str) {
    let done = folder.ternary(&format!("{SMALL} {arguments}"));
    assert_eq!(done.code, Some(0), "{arguments}: {}", done.stderr);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The steps of the checkpoints of a run, in order.
fn checkpoints(run: &Path) -> Vec<u32> {
    let Ok(entries) = run.join("checkpoints").read_dir() else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let mut steps: Vec<u32> =
        names.filter_map(|name| name.strip_prefix("step-")?.parse().ok()).collect();
    steps.sort_unstable();
    steps
}

/// The state of a checkpoint without times, and without lengths, which depend on how times are spelt.
fn state(checkpoint: &Path) -> Value {
    let json = fs::read(checkpoint.join("state.json")).unwrap();
    let mut state: Value = serde_json::from_slice(&json).unwrap();
    for key in ["seconds", "lengths"] {
        assert!(state.as_object_mut().unwrap().remove(key).is_some());
    }
    let totals = state["parts"]["totals"].as_object_mut().unwrap();
    totals.retain(|key, _| !key.ends_with("seconds"));
    state
}

/// Whether two runs left the same but for times.
fn assert_same(straight: &Path, resumed: &Path, what: &str) {
    let files = |run: &Path, folder: &str| {
        let entries = run.join(folder).read_dir().unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_owned(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    assert!(files(straight, "model") == files(resumed, "model"), "{what}: the models differ");
    let metrics = |run: &Path| untimed(&run.join("metrics.jsonl"));
    for (line, (straight, resumed)) in metrics(straight).iter().zip(metrics(resumed)).enumerate() {
        assert_eq!(straight, &resumed, "{what}: line {line}");
    }
    assert_eq!(metrics(straight).len(), metrics(resumed).len(), "{what}");
    let last = checkpoints(straight).pop().unwrap();
    assert_eq!(checkpoints(resumed).pop(), Some(last), "{what}");
    let last = format!("checkpoints/step-{last:08}");
    let arrays = |run: &Path| fs::read(run.join(&last).join("arrays.safetensors")).unwrap();
    assert!(arrays(straight) == arrays(resumed), "{what}: weights or moments differ");
    assert_eq!(state(&straight.join(&last)), state(&resumed.join(&last)), "{what}");
    // Numbers have a fixed length there.
    let events = |run: &Path| {
        let mut files = run.read_dir().unwrap().map(|entry| entry.unwrap());
        let is_events = |name: &str| name.starts_with("events.out.tfevents.");
        let file = files.find(|entry| is_events(entry.file_name().to_str().unwrap())).unwrap();
        file.metadata().unwrap().len()
    };
    assert_eq!(events(straight), events(resumed), "{what}: events");
}

/// Makes of a finished run what a kill after some steps more than `step` leaves; 0 is before the first checkpoint.
fn forget_after(run: &Path, step: u32) {
    fs::remove_file(run.join("summary.json")).unwrap();
    fs::remove_dir_all(run.join("model")).unwrap();
    for later in checkpoints(run).into_iter().filter(|&later| later > step) {
        fs::remove_dir_all(run.join(format!("checkpoints/step-{later:08}"))).unwrap();
    }
    let path = run.join("metrics.jsonl");
    let mut metrics = fs::read(&path).unwrap();
    let half_a_line = metrics.len() - 9;
    metrics.truncate(half_a_line);
    fs::write(path, metrics).unwrap();
}

#[test]
fn a_run_that_is_resumed_at_any_checkpoint_ends_as_the_straight_one() {
    let everything = "--set model.layers=1 --ohem 0.7 --fogzo-from 0.5 --set ternary.latent=bf16 --set ternary.boundary_noise=0.2 \
                      --set mixture.experts=3 --set mixture.shared=true --stop-if ppl>1e9 --set evaluation.keep_best=true";
    let hybrid = "--set delta.attention_every=2 --set model.layers=2 --set delta.key_width=8 \
                  --set delta.value_width=8 --optimiser muon --schedule wsd";
    let averages = "--set model.layers=1 --optimiser sgd --set ternary.scale_average=0.9 --ste hestia --float-steps 3";
    let learned = "--set model.layers=1 --optimiser lamb --set ternary.quantiser=ttq --set ternary.threshold_learned=true \
                   --set ternary.scale_sync=per-expert --set mixture.experts=2 --set batch.recompute=true";
    let dqt = "--set model.layers=1 --dqt --optimiser lamb --set batch.accumulation=2";
    let taught = "--set model.layers=1 --teacher teacher --ste tequila --set evaluation.patience=1 --set evaluation.least_improvement=9";
    let folder = folder_with_text("any-checkpoint");
    train(&folder, "--steps 4 --float --set model.layers=1 --out teacher");
    for (index, settings) in
        [everything, hybrid, averages, learned, dqt, taught].into_iter().enumerate()
    {
        let every = "--steps 12 --checkpoint-every 3 --keep-last 9 --set evaluation.every=4";
        train(&folder, &format!("{settings} {every} --out {index}"));
        let straight = folder.path(&index.to_string());
        for step in [0, 3, 6, 9, 12].into_iter().filter(|&step| {
            // The first begins anew, which does not depend on the settings.
            index == 0 || (step > 0 && checkpoints(&straight).contains(&step))
        }) {
            let name = format!("{index}-{step}");
            copy(&straight, &folder.path(&name));
            forget_after(&folder.path(&name), step);
            let done = folder.ternary_on_threads(1, &format!("train --resume {name}"));
            assert_eq!(done.code, Some(0), "{settings}: {}", done.stderr);
            assert!(done.stdout.contains(" steps in "), "{}", done.stdout);
            let line = format!("going on after step {step} of 12");
            assert_eq!(done.stderr.contains(&line), step > 0, "{}", done.stderr);
            assert_same(&straight, &folder.path(&name), &format!("{settings} after {step}"));
        }
    }
}

const LONG: &str = "--set model.layers=1 --steps 60 --checkpoint-every 2 --set evaluation.every=10 --set ternary.latent=bf16 \
                    --set ternary.boundary_noise=0.2 --set log.every=1000";

fn begin(folder: &Folder, arguments: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ternary"));
    command.args(arguments.split_whitespace()).current_dir(folder.path(""));
    // Nobody reads: a pipe would fill.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn fifty_kills_change_nothing() {
    const KILLS: u64 = 50;
    let folder = folder_with_text("kills");
    let begun = Instant::now();
    train(&folder, &format!("{LONG} --out straight"));
    // A life of a few steps, or of none.
    let longest = begun.elapsed() / 6;
    let straight = folder.path("straight");
    let shares = Noise::new(1, 0, 0);
    let (mut kills, mut kills_of_steps, mut run) = (0, 0, 0);
    while kills < KILLS {
        run += 1;
        let name = format!("killed-{run}");
        let path = folder.path(&name);
        loop {
            let arguments = if path.join("config.toml").exists() {
                format!("train --resume {name}")
            } else {
                format!("{SMALL} {LONG} --out {name}")
            };
            let before = checkpoints(&path);
            let mut child = begin(&folder, &arguments);
            if kills < KILLS {
                sleep(longest.mul_f32(shares.uniform(kills)));
                // One that has ended cannot be killed.
                let _ = child.kill();
            }
            let status = child.wait().unwrap();
            if status.success() {
                break;
            }
            assert_eq!(status.code(), None, "{:?}", folder.ternary(&arguments));
            kills += 1;
            kills_of_steps += u64::from(checkpoints(&path) != before);
        }
        assert_same(&straight, &path, &name);
    }
    assert!(kills_of_steps > KILLS / 10, "only {kills_of_steps} kills came after a checkpoint");
}

#[test]
fn control_c_saves_a_checkpoint_and_exits_with_130() {
    let folder = folder_with_text("control-c");
    // More steps than can be taken until it is interrupted, and no checkpoint but the one then.
    let settings = LONG.replace("--steps 60", "--steps 600");
    let settings = settings.replace("--checkpoint-every 2", "--checkpoint-every 0");
    train(&folder, &format!("{settings} --out straight"));
    let child = folder.begin(&format!("{SMALL} {settings} --out run"));
    let metrics = folder.path("run/metrics.jsonl");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !fs::read_to_string(&metrics).is_ok_and(|text| text.contains("\"kind\":\"step\"")) {
        assert!(Instant::now() < deadline, "no step within a minute");
        sleep(Duration::from_millis(1));
    }
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupted.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(output.stdout.is_empty() && !said.contains("error"), "{said}");
    let resume = "go on with: ternary train --resume run";
    assert!(said.lines().last().unwrap().ends_with(resume), "{said}");
    assert_eq!(checkpoints(&folder.path("run")).len(), 1);
    let done = folder.ternary("train --resume run");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let metrics = |run: &str| untimed(&folder.path(run).join("metrics.jsonl"));
    assert_eq!(metrics("straight"), metrics("run"));
    let model = |run: &str| fs::read(folder.path(run).join("model/model.safetensors")).unwrap();
    assert!(model("straight") == model("run"));
}

#[test]
fn a_second_control_c_ends_at_once_and_leaves_a_folder_to_go_on_with() {
    let folder = folder_with_text("control-c-twice");
    // Steps so long that what ends the run is not the end of one.
    let settings = SMALL.replace("batch.windows=4", "batch.windows=8000");
    let settings = format!("{settings} --steps 9 --checkpoint-every 0 --set log.every=1 --out run");
    let mut child = folder.begin(&settings);
    let told = |child: &mut Child| {
        BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap)
    };
    let mut lines = told(&mut child);
    assert!(lines.any(|line| line.starts_with("step 1/9")), "no step");
    let id = child.id().to_string();
    let interrupt = || Command::new("kill").args(["-INT", &id]).status().unwrap().success();
    assert!(interrupt());
    assert!(lines.any(|line| line.contains("Ctrl-C again ends at once")), "nobody heard it");
    assert!(interrupt());
    let output = child.wait_with_output().unwrap();
    let said: Vec<String> = lines.collect();
    assert_eq!(output.status.code(), Some(130), "{said:?}");
    assert!(output.stdout.is_empty() && said.is_empty(), "{said:?}");
    assert!(checkpoints(&folder.path("run")).is_empty());
    let mut again = folder.begin("train --resume run");
    let begins = told(&mut again).any(|line| line.starts_with("step 1/9"));
    again.kill().unwrap();
    again.wait().unwrap();
    assert!(begins, "it does not go on");
}
