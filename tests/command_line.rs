//! The command line as its users meet it: what it explains, and what it refuses and how.

mod ternary;

use std::fs;

use serde_json::Value;
use ternary::Folder;
use trainer::config::{Preset, SETTINGS};

const COMMANDS: [&str; 10] = [
    "train",
    "lora",
    "merge",
    "eval",
    "generate",
    "chat",
    "inspect",
    "compare",
    "completions",
    "man",
];

/// A run of a moment.
const SMALL: &str = "train --steps 2 --set model.width=32 --set model.feed_forward=32 --set model.layers=1 \
                     --set batch.windows=2 --set evaluation.windows=2";

fn is_empty(folder: &Folder) -> bool {
    folder.path("").read_dir().unwrap().next().is_none()
}

#[test]
fn help_explains_every_flag_and_every_key_and_shows_how_to_begin() {
    let folder = Folder::new("help");
    let help = folder.ternary("train --help");
    assert_eq!(help.code, Some(0));
    let of_lora = folder.ternary("lora --help");
    assert_eq!(of_lora.code, Some(0));
    for setting in SETTINGS {
        if ["lora", "samples"].contains(&setting.section) {
            let line = format!("  {}=", setting.key());
            let line = of_lora.stdout.lines().find(|found| found.starts_with(&line));
            assert!(line.unwrap().contains(&setting.help()), "{}", setting.key());
            assert!(!help.stdout.contains(&setting.key()), "{}", setting.key());
            continue;
        }
        let line =
            help.stdout.lines().find(|line| line.starts_with(&format!("  {}=", setting.key())));
        let line = line.unwrap_or_else(|| panic!("{}", setting.key()));
        assert!(line.contains(&setting.help()), "{line}");
        let flag = format!("--{}", setting.flag());
        assert_eq!(setting.is_flag(), help.stdout.contains(&flag), "{flag}");
    }
    assert!(help.stdout.contains("Examples:\n  ternary train"), "{}", help.stdout);
    for preset in Preset::ALL {
        let line = format!("  {:<8} {}", preset.name(), preset.about());
        assert!(help.stdout.contains(&line), "{line}");
    }
    for arguments in ["--help", "-h", "train -h", "help train"] {
        let help = folder.ternary(arguments);
        assert!(help.code == Some(0) && help.stdout.contains("Usage: ternary"), "{arguments}");
    }
}

#[test]
fn help_lists_every_command_and_every_exit_code() {
    let folder = Folder::new("commands");
    let help = folder.ternary("--help").stdout;
    for command in COMMANDS {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {command} "))), "{command}");
        let own = folder.ternary(&format!("{command} --help"));
        assert_eq!(own.code, Some(0), "{command}");
        assert!(own.stdout.contains(&format!("Usage: ternary {command}")), "{}", own.stdout);
        assert!(own.stdout.contains("Examples:\n  ternary"), "{}", own.stdout);
    }
    for code in ["0  ", "1  ", "2  ", "130"] {
        assert!(help.contains(&format!("\n  {code}  ")), "{code}: {help}");
    }
}

#[test]
fn wrong_usage_exits_with_2_says_what_was_wrong_and_leaves_nothing() {
    let folder = Folder::new("usage");
    for (arguments, said) in [
        ("", "Usage"),
        ("tain", "train"),
        ("train --stesp 3", "--steps"),
        ("train surplus", "surplus"),
        ("train --steps", "--steps"),
        ("train --steps three", "command line: steps: expected a whole number from 1 to"),
        ("train --steps 0", "found 0"),
        ("train --steps -3", "found -3"),
        ("train --steps 3 --steps 4", "--steps"),
        ("train --float=yes", "--float"),
        ("train --seed 1.5", "seed: expected a whole number"),
        (
            "train --preset huge",
            "expected a preset: tiny, small, base, moe, hybrid, found \"huge\"",
        ),
        ("train --set stpes=3", "--set: unknown key \"stpes\"; did you mean \"steps\"?"),
        ("train --set steps=3 --set steps=4", "steps is given twice: 3, then 4"),
        ("train --set model.heads=3", "model.heads, model.width: expected heads that divide"),
        ("train --ohem 0", "ohem: expected a number above 0 and up to 1, found 0"),
        ("train --ohem 0.3", "of at least the minimum, found 0.3, and a minimum of 0.5"),
        ("train --fogzo-from 0.5 --float", "fogzo_from, float: expected ternary weights"),
        ("train --set steps", "expected key=value, found \"steps\""),
        ("train --config no-such.toml", "no-such.toml"),
        ("eval", "--model"),
        ("eval --model m --data d --windows 0", "--windows"),
        ("generate --prompt a", "--model"),
        ("generate --model m", "--prompt"),
        ("generate --model m --prompt a --ids 1", "--ids"),
        ("generate --model m --ids 1,x", "--ids: expected whole numbers between spaces or commas"),
        ("generate --model m --ids 1 --temperature=-1", "temperature: expected a finite number of"),
        ("generate --model m --ids 1 --top-p 0", "top-p: expected a number above 0 and up to 1"),
        ("generate --model m --ids 1 --top-k 0", "--top-k"),
        ("generate --modle m --ids 1", "--model"),
        ("train --plna", "--plan"),
        ("train --json=yes", "--json"),
        ("chat", "--model"),
        ("chat --model m --plain --system a", "--system"),
        ("chat --model m --temperature=-1", "temperature: expected a finite number of"),
        ("chat --model m --prompt a", "--prompt"),
        ("inspect", "<RUN|MODEL>"),
        ("inspect a b", "unexpected argument 'b'"),
        ("inspect a --out b", "--out"),
        ("compare", "<RUN>"),
        ("compare a", "2 values"),
        ("compare a b --jsno", "--json"),
        ("completions", "<SHELL>"),
        ("completions tcsh", "bash"),
        ("man --force", "--out"),
    ] {
        let done = folder.ternary(arguments);
        assert_eq!(done.code, Some(2), "{arguments}: {done:?}");
        assert!(done.stderr.contains(said), "{arguments}: {}", done.stderr);
        assert_eq!(done.stdout, "", "{arguments}");
        assert!(is_empty(&folder), "{arguments}");
    }
}

#[test]
fn a_bad_key_in_a_file_is_named_with_the_file() {
    let folder = Folder::new("bad-file");
    for (text, said) in [
        ("[model]\nwidth = \"wide\"\n", "model.width: expected a whole number from 1 to 65536"),
        ("[modle]\nwidth = 64\n", "unknown key \"modle.width\"; did you mean \"model.width\"?"),
        ("steps = \n", "line 1"),
    ] {
        fs::write(folder.path("bad.toml"), text).unwrap();
        let done = folder.ternary("train --config bad.toml");
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.stderr.contains("bad.toml") && done.stderr.contains(said), "{}", done.stderr);
    }
}

#[test]
fn a_failure_exits_with_1_names_the_cause_and_leaves_nothing() {
    let folder = Folder::new("failures");
    let (elsewhere, _none) = (Folder::new("failures-text"), Folder::new("failures-none"));
    fs::write(elsewhere.path("text"), "some text").unwrap();
    for (arguments, said) in [
        ("train --data no-such.txt", "no-such.txt"),
        ("train --data ../failures-none", "../failures-none: expected at least one file in it"),
        ("eval --model no-such --data ../failures-text/text", "no-such"),
        ("eval --model no-such --data no-such.txt", "no-such.txt"),
        ("generate --model no-such --prompt a", "no-such"),
        ("chat --model no-such", "no-such"),
        ("inspect no-such", "no-such"),
        ("compare no-such .", "no-such: expected the folder of a run"),
    ] {
        let done = folder.ternary(arguments);
        assert_eq!(done.code, Some(1), "{arguments}: {done:?}");
        assert!(done.stderr.starts_with("error: ") && done.stderr.contains(said), "{done:?}");
        assert!(done.stdout.is_empty() && is_empty(&folder), "{arguments}");
    }
}

#[test]
fn a_text_that_is_too_short_is_answered_with_the_length_it_needs() {
    let folder = Folder::new("short");
    fs::write(folder.path("short.txt"), [0; 513]).unwrap();
    let done = folder.ternary("train --data short.txt --steps 1");
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("expected at least 514 tokens"), "{}", done.stderr);
    assert!(done.stderr.contains("found 513"), "{}", done.stderr);
    fs::write(folder.path("short.txt"), "").unwrap();
    assert_eq!(folder.ternary("train --data short.txt --steps 1").code, Some(1));
}

#[test]
fn a_folder_with_something_in_it_is_not_overwritten() {
    let folder = Folder::new("occupied");
    fs::create_dir(folder.path("out")).unwrap();
    fs::write(folder.path("out/thesis.txt"), "years of work").unwrap();
    let done = folder.ternary("train --steps 1 --out out");
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("not empty") && done.stderr.contains("--out"), "{}", done.stderr);
    assert_eq!(fs::read_dir(folder.path("out")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(folder.path("out/thesis.txt")).unwrap(), "years of work");
}

#[test]
fn a_run_is_replaced_when_that_is_asked_for_and_nothing_else_ever_is() {
    let folder = Folder::new("replaced");
    let train = |flags: &str| folder.ternary(&format!("{SMALL} --out out {flags}"));
    assert_eq!(train("").code, Some(0));
    let done = train("--seed 5");
    assert!(done.code == Some(1) && done.stderr.contains("--force"), "{done:?}");
    assert_eq!(train("--seed 5 --force").code, Some(0));
    let written = fs::read_to_string(folder.path("out/config.toml")).unwrap();
    assert!(written.contains("seed = 5") && !written.contains("force"), "{written}");
    // What goes wrong before the run begins leaves the old one.
    assert_eq!(train("--data no-such.txt --force").code, Some(1));
    assert!(folder.path("out/model/model.safetensors").exists());
    fs::write(folder.path("out/thesis.txt"), "years of work").unwrap();
    let done = train("--force");
    assert!(done.code == Some(1) && done.stderr.contains("thesis.txt"), "{done:?}");
    assert!(folder.path("out/model/model.safetensors").exists());
    fs::create_dir(folder.path("other")).unwrap();
    fs::write(folder.path("other/config.toml"), "[project]").unwrap();
    let done = folder.ternary(&format!("{SMALL} --out other --force"));
    assert!(done.code == Some(1) && done.stderr.contains("no metrics.jsonl"), "{done:?}");
    assert_eq!(fs::read_to_string(folder.path("other/config.toml")).unwrap(), "[project]");
}

#[test]
fn a_run_stands_for_its_model_and_one_without_says_what_it_has() {
    let folder = Folder::new("resolved");
    fs::write(folder.path("text"), "Some text to be predicted.").unwrap();
    let done = folder.ternary(&format!("{SMALL} --out run --json"));
    let summary: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&summary["steps"], done.stdout.lines().count()), (&Value::from(2), 1), "{done:?}");
    let eval = |model: &str| folder.ternary(&format!("eval --model {model} --data text --json"));
    let loss = |model: &str| {
        let found: Value = serde_json::from_str(&eval(model).stdout).unwrap();
        found["nats_per_byte"].as_f64().unwrap()
    };
    assert_eq!(loss("run"), loss("run/model"));
    fs::remove_dir_all(folder.path("run/model")).unwrap();
    for arguments in ["eval --data text", "generate --prompt a", "chat"] {
        let done = folder.ternary(&format!("{arguments} --model run"));
        assert_eq!(done.code, Some(1), "{done:?}");
        let said =
            "the run run has no model/ yet, which is written when it ends: found config.toml";
        assert!(done.stderr.contains(said), "{}", done.stderr);
    }
}

#[test]
fn completions_and_manual_pages_are_made_from_the_commands() {
    let folder = Folder::new("manual");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = folder.ternary(&format!("completions {shell}"));
        assert_eq!(done.code, Some(0));
        assert!(done.stdout.contains("fogzo-from") && done.stdout.contains("chat"), "{shell}");
    }
    let printed = folder.ternary("man").stdout;
    let done = folder.ternary("man --out pages");
    assert_eq!(done.code, Some(0), "{done:?}");
    for command in COMMANDS {
        let page = fs::read_to_string(folder.path(&format!("pages/ternary-{command}.1"))).unwrap();
        assert!(printed.contains(&page), "{command}");
    }
    fs::write(folder.path("pages/ternary-eval.1"), "mine").unwrap();
    let done = folder.ternary("man --out pages");
    assert!(done.code == Some(1) && done.stderr.contains("--force"), "{done:?}");
    assert_eq!(fs::read_to_string(folder.path("pages/ternary-eval.1")).unwrap(), "mine");
    assert_eq!(folder.ternary("man --out pages --force").code, Some(0));
    assert_ne!(fs::read_to_string(folder.path("pages/ternary-eval.1")).unwrap(), "mine");
}

#[test]
fn a_plan_tells_memory_time_and_disk_and_leaves_nothing() {
    let folder = Folder::new("plan");
    let done = folder.ternary(&format!("{SMALL} --plan"));
    assert_eq!(done.code, Some(0), "{done:?}");
    for said in ["parameters", "activations", "disk: ", "of each checkpoint"] {
        assert!(done.stdout.contains(said), "{}", done.stdout);
    }
    let last = done.stdout.lines().last().unwrap();
    assert!(last.contains("fit") && last.contains("for 2 steps of"), "{last}");
    let done = folder.ternary(&format!("{SMALL} --plan --json"));
    let plan: Value = serde_json::from_str(&done.stdout).unwrap();
    assert!(plan["step_seconds"].as_f64().unwrap() > 0.0, "{plan}");
    assert!(is_empty(&folder));
    let done = folder.ternary("train --plan --data no-such.txt");
    assert!(done.code == Some(1) && done.stderr.contains("no-such.txt"), "{done:?}");
}

#[test]
fn a_run_that_no_machine_holds_is_refused_and_not_tried() {
    let folder = Folder::new("too-large");
    let huge =
        "train --set model.width=65536 --set model.feed_forward=1048576 --set model.layers=1024";
    for flags in ["", "--plan"] {
        let done = folder.ternary(&format!("{huge} {flags}"));
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.stderr.contains("would need about") && done.stderr.contains("iB of memory"));
        assert_eq!(done.stdout.is_empty(), flags.is_empty());
    }
    assert!(is_empty(&folder));
}

/// A run of a few steps has been everywhere that a longer one goes.
#[cfg(target_os = "linux")]
#[test]
fn planned_memory_is_within_a_fifth_of_what_the_run_reaches() {
    let folder = Folder::new("planned-memory");
    for preset in ["tiny", "moe", "hybrid"] {
        let run = format!("train --preset {preset} --steps 2");
        let done = folder.ternary(&format!("{run} --plan --json"));
        let plan: Value = serde_json::from_str(&done.stdout).unwrap();
        let planned = plan["memory_total"].as_f64().unwrap();
        let mut child = folder.begin(&run);
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0.0_f64;
        while child.try_wait().unwrap().is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            peak = kibibytes.map_or(peak, |kibibytes: f64| 1024.0 * kibibytes);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!((0.8..1.2).contains(&(planned / peak)), "{preset}: {planned} {peak}");
    }
}
