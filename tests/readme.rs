//! The commands of the README and of the recipes, run as they stand there, with models of a moment.

mod ternary;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use ternary::{Done, Folder};

/// What the pages leave to the reader, or is another test's: by their first words.
const NOT_RUN: [&str; 2] = ["cargo test ", "cargo xtask "];

const RUN: &str = "cargo run --release -- ";

/// Steps of a run in place of those that a page asks for.
const STEPS: &str = "3";

/// Settings that a command may still change.
const SMALL: &str = "steps = 3\n\
                     [model]\nwidth = 32\nlayers = 1\nfeed_forward = 32\n\
                     [batch]\nwindows = 2\n\
                     [evaluation]\nevery = 2\nwindows = 2\n\
                     [text]\ncache = \"cache\"\n";

/// The same of adapters, whose model is what it is.
const SMALL_ADAPTERS: &str = "steps = 3\n\
                              [batch]\nwindows = 2\nlength = 64\n\
                              [evaluation]\nevery = 2\nwindows = 2\n";

/// Five words and a letter for all others.
const TOKENIZER: &str = r#"{
  "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
  "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
  "model": {"type": "WordLevel", "unk_token": "a",
            "vocab": {"a": 0, "cat": 1, "sat": 2, "on": 3, "the": 4, "mat": 5}}
}"#;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The lines of the blocks marked `sh`.
fn commands(page: &str) -> Vec<&str> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.flat_map(str::lines).filter(|line| !line.is_empty()).collect()
}

/// The words of a line as a shell has them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for letter in line.chars() {
        match quote {
            Some(open) if open == letter => quote = None,
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            None if letter == ' ' => words.push(String::new()),
            _ => words.last_mut().unwrap().push(letter),
        }
    }
    assert!(quote.is_none(), "{line}");
    words
}

/// The words of a command, with a run that takes a moment.
fn shrunk(line: &str) -> Vec<String> {
    let mut words = words(line);
    let small = match &*words[0] {
        "train" => "small.toml",
        "lora" => "small_adapters.toml",
        _ => return words,
    };
    if words.iter().any(|word| word == "--resume") {
        return words;
    }
    if let Some(steps) = words.iter().position(|word| word == "--steps") {
        words[steps + 1] = STEPS.to_owned();
    }
    if !words.iter().any(|word| word == "--config") {
        words.extend(["--config", small].map(str::to_owned));
    }
    words
}

/// What a reader of the pages is taken to have.
fn prepare(folder: &Folder) {
    let line = |number| format!("The cat sat on the mat {number} times. It was late.\n");
    let text: String = (0..400).map(line).collect();
    fs::create_dir(folder.path("texts")).unwrap();
    for file in ["book.txt", "other.txt", "texts/first.txt", "texts/second.txt"] {
        fs::write(folder.path(file), &text).unwrap();
    }
    let answer = |number: usize| {
        let answer = ["It is not.", "It is."][number % 2];
        format!("{{\"prompt\": \"Is {number} odd? \", \"completion\": \"{answer}\"}}\n")
    };
    for (file, numbers) in [("talks.jsonl", 0..30), ("others.jsonl", 30..40)] {
        fs::write(folder.path(file), numbers.map(answer).collect::<String>()).unwrap();
    }
    fs::write(folder.path("tokenizer.json"), TOKENIZER).unwrap();
    fs::write(folder.path("small.toml"), SMALL).unwrap();
    fs::write(folder.path("small_adapters.toml"), SMALL_ADAPTERS).unwrap();
}

/// Whether a command told what it is for.
fn check(folder: &Folder, words: &[String], done: &Done) {
    assert_eq!(done.code, Some(0), "{words:?}: {}", done.stderr);
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let last = done.stdout.lines().last().unwrap_or_default();
    if has("--json") {
        assert!(serde_json::from_str::<Value>(last).is_ok(), "{words:?}: {last}");
        return;
    }
    let said = match &*words[0] {
        "train" | "lora" if has("--plan") => "fit",
        "train" => "; the model is in ",
        "lora" => "; the adapters are in ",
        "merge" => "adapters into the model ",
        "eval" => " nats/",
        "inspect" => "times less than as f32",
        "compare" => "held-out loss",
        "generate" | "chat" => "",
        other => panic!("say here what {other} tells"),
    };
    assert!(!done.stdout.is_empty() && done.stdout.contains(said), "{words:?}: {done:?}");
    let left = match &*words[0] {
        "train" | "merge" => "model.safetensors",
        "lora" => "adapter_model.safetensors",
        _ => "",
    };
    if !left.is_empty() && !has("--plan") {
        let model = folder.path(last.rsplit_once(said).unwrap().1);
        assert!(model.join(left).is_file(), "{}", model.display());
        assert!(
            words[0] == "merge" || model.parent().unwrap().join("report.html").is_file(),
            "{}",
            model.display()
        );
    } else if let Some(out) = words.iter().position(|word| word == "--out") {
        assert!(folder.path(&words[out + 1]).is_file(), "{words:?}");
    }
}

/// Runs the commands of a page, one after the other in one folder; how many there were.
fn follow(page: &Path) -> usize {
    let folder = Folder::new(&format!("page-{}", page.file_stem().unwrap().display()));
    prepare(&folder);
    let page = fs::read_to_string(page).unwrap();
    let mut run = 0;
    for line in commands(&page) {
        if NOT_RUN.iter().any(|beginning| line.starts_with(beginning)) {
            continue;
        }
        let words = shrunk(line.strip_prefix(RUN).unwrap_or_else(|| panic!("{line}")));
        if let Some(resume) = words.iter().position(|word| word == "--resume") {
            // As if it had been killed after its last checkpoint.
            fs::remove_file(folder.path(&words[resume + 1]).join("summary.json")).unwrap();
        }
        let done = folder.ternary_words(&words, "The cat\n");
        check(&folder, &words, &done);
        run += 1;
    }
    run
}

#[test]
fn every_command_of_the_readme_does_what_it_promises() {
    assert!(follow(&root().join("README.md")) >= 10);
}

#[test]
fn every_command_of_a_recipe_does_what_it_promises() {
    let entries = root().join("docs/recipes").read_dir().unwrap();
    let pages: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() >= 6);
    for page in pages {
        assert!(follow(&page) > 0, "{}", page.display());
    }
}

#[test]
fn a_line_is_cut_into_words_as_a_shell_does_it() {
    assert_eq!(words("a --b 'c>d e' \"f 'g'\""), ["a", "--b", "c>d e", "f 'g'"]);
}
