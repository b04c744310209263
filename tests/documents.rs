//! The documents: their links lead somewhere, and the commands they promise are those that are run.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every Markdown file at the root and under `docs`.
fn documents() -> Vec<PathBuf> {
    let mut documents = Vec::new();
    let mut folders = vec![root().join("docs")];
    let is_markdown = |path: &PathBuf| path.extension().is_some_and(|e| e == "md");
    let list = |folder: &Path| folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    documents.extend(list(root()).filter(is_markdown));
    while let Some(folder) = folders.pop() {
        folders.extend(list(&folder).filter(|path| path.is_dir()));
        documents.extend(list(&folder).filter(is_markdown));
    }
    assert!(documents.len() > 5, "{documents:?}");
    documents
}

/// The targets of inline links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

#[test]
fn every_link_inside_the_repository_leads_to_a_file() {
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text).filter(|link| !link.contains("://")) {
            let file = link.split('#').next().unwrap();
            let target = document.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link}", document.display());
            checked += 1;
        }
    }
    assert!(checked > 5);
}

#[test]
fn every_document_of_the_book_stands_in_its_index() {
    let index = fs::read_to_string(root().join("docs/README.md")).unwrap();
    let listed: Vec<PathBuf> = links(&index).map(|link| root().join("docs").join(link)).collect();
    for document in documents() {
        let is_page = document.starts_with(root().join("docs")) && !document.ends_with("README.md");
        assert!(!is_page || listed.contains(&document), "{}", document.display());
    }
}

#[test]
fn the_test_command_of_the_readme_is_what_a_change_must_pass() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let gate = fs::read_to_string(root().join(".ci/run")).unwrap();
    let has_line = |text: &str, command: &str| text.lines().any(|line| line == command);
    assert!(has_line(&readme, "cargo test --workspace"));
    assert!(has_line(&gate, "cargo test --workspace"));
    assert!(has_line(&gate, "cargo xtask ci"));
}

/// The commands in fenced blocks marked `sh`, without the variables set before them.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).filter(|line| !line.is_empty());
    lines
        .map(|line| line.split_whitespace().skip_while(|word| word.contains('=')).collect())
        .collect()
}

/// Whether a command in a document is one that exists.
fn exists(command: &[&str]) -> bool {
    let at = |path: String| root().join(path).exists();
    match *command {
        ["cargo", "test", "--workspace"] => true,
        ["cargo", "test", "-p", name] => at(format!("crates/{name}/Cargo.toml")),
        ["cargo", "run", "--release", "-p", name, "--example", example] => {
            at(format!("crates/{name}/examples/{example}.rs"))
        }
        ["cargo", "run", "--release", "--", name, ..] => {
            at(format!("crates/trainer/src/command/{name}.rs"))
        }
        ["cargo", "xtask", name, ..] => {
            let name = name.replace('-', "_");
            at(format!("xtask/src/{name}.rs")) || at(format!("xtask/src/{name}/mod.rs"))
        }
        _ => false,
    }
}

#[test]
fn every_command_in_a_document_exists() {
    let mut checked = 0;
    for document in documents() {
        for command in commands(&fs::read_to_string(&document).unwrap()) {
            assert!(exists(&command), "{}: {}", document.display(), command.join(" "));
            checked += 1;
        }
    }
    assert!(checked >= 5, "{checked}");
}

#[test]
fn a_command_that_does_not_exist_is_noticed() {
    let text = "```sh\nA=1 cargo xtask no-such\n\ncargo run --release -p ternary-core --example no\n\
         cargo run --release -- no-such\n```";
    let commands = commands(text);
    assert_eq!(commands.len(), 3);
    assert!(commands.iter().all(|command| !exists(command)));
}
