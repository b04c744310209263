//! The command line as its users meet it: what it explains, and what it refuses and how.

mod ternary;

use std::fs;

use ternary::Folder;
use trainer::config::SETTINGS;

fn is_empty(folder: &Folder) -> bool {
    folder.path("").read_dir().unwrap().next().is_none()
}

#[test]
fn help_explains_every_flag_and_every_key_and_shows_how_to_begin() {
    let folder = Folder::new("help");
    let help = folder.ternary("train --help");
    assert_eq!(help.code, Some(0));
    for setting in SETTINGS {
        let line =
            help.stdout.lines().find(|line| line.starts_with(&format!("  {}=", setting.key())));
        let line = line.unwrap_or_else(|| panic!("{}", setting.key()));
        assert!(line.contains(&setting.help()), "{line}");
        let flag = format!("--{}", setting.flag());
        assert_eq!(setting.is_flag(), help.stdout.contains(&flag), "{flag}");
    }
    assert!(help.stdout.contains("Examples:\n  ternary train"), "{}", help.stdout);
    for arguments in ["--help", "-h", "eval --help", "generate --help", "train -h", "help train"] {
        let help = folder.ternary(arguments);
        assert!(help.code == Some(0) && help.stdout.contains("Usage: ternary"), "{arguments}");
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
        ("train --preset huge", "expected a preset: tiny, moe, hybrid, found \"huge\""),
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
    let elsewhere = Folder::new("failures-text");
    fs::write(elsewhere.path("text"), "some text").unwrap();
    for (arguments, said) in [
        ("train --data no-such.txt", "no-such.txt"),
        ("train --data .", "cannot read the text ."),
        ("eval --model no-such --data ../failures-text/text", "no-such"),
        ("eval --model no-such --data no-such.txt", "no-such.txt"),
        ("generate --model no-such --prompt a", "no-such"),
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
    assert!(done.stderr.contains("expected at least 514 bytes"), "{}", done.stderr);
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
