//! `compare-revisions` on a small repository whose `xtask` only pretends to measure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A program that takes `bench NAME --json FILE` and reports the time it was written with.
const PRETENDER: &str = r#"
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bench", "--help"] => {}
        ["bench", name, "--json", file] => {
            let row = format!("{{\"kernel\": \"{name}\", \"k\": 64, \"us\": MICROSECONDS}}");
            std::fs::write(file, format!("{{\"rows\": [{row}]}}")).unwrap();
        }
        _ => std::process::exit(2),
    }
}
"#;

/// A repository in an empty folder.
struct Repository(PathBuf);

impl Repository {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(folder.join("src")).unwrap();
        let manifest = "[package]\nname = \"xtask\"\nedition = \"2024\"\n\n[workspace]\n";
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::write(folder.join(".gitignore"), "/target\nCargo.lock\n").unwrap();
        let repository = Self(folder);
        repository.git(&["init", "--quiet"]);
        repository
    }

    /// A command in the repository, and in no other: a hook that runs these tests says by variables
    /// which repository it is called for.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for variable in ["GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "CARGO_TARGET_DIR"] {
            command.env_remove(variable);
        }
        command.current_dir(&self.0);
        command
    }

    fn git(&self, args: &[&str]) -> String {
        let identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"];
        let output = self.command("git").args(identity).args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Commits `program` as the revision `tag`.
    fn commit(&self, tag: &str, program: &str) {
        fs::write(self.0.join("src/main.rs"), program).unwrap();
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--no-gpg-sign", "--message", tag]);
        self.git(&["tag", tag]);
    }

    fn compare(&self, args: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_xtask"));
        command.arg("compare-revisions").args(args).output().unwrap()
    }

    /// Asserts that no worktree but the repository's own is left, in git's books or on disk.
    fn assert_no_worktree_is_left(&self) {
        assert_eq!(self.git(&["worktree", "list"]).lines().count(), 1);
        for label in ["a", "b"] {
            assert!(!self.0.join("target/compare-revisions").join(label).exists(), "{label}");
        }
    }
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[test]
fn two_revisions_are_compared_past_a_dirty_tree_and_nothing_is_left_behind() {
    let repository = Repository::new("compare");
    repository.commit("slow", &PRETENDER.replace("MICROSECONDS", "30.0"));
    repository.commit("fast", &PRETENDER.replace("MICROSECONDS", "12.0"));
    fs::write(repository.0.join("src/main.rs"), "this does not compile").unwrap();
    // What a killed run leaves: a worktree, and a folder that git knows nothing of.
    let left = ["worktree", "add", "--quiet", "--detach", "target/compare-revisions/a", "slow"];
    repository.git(&left);
    fs::create_dir_all(repository.0.join("target/compare-revisions/b/src")).unwrap();

    let output = repository.compare(&["slow", "fast", "--rounds", "2", "--", "products"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let printed = text(&output);
    assert!(printed.contains("products k=64          30.0         12.0   2.500"), "{printed}");
    repository.assert_no_worktree_is_left();
    let source = fs::read_to_string(repository.0.join("src/main.rs")).unwrap();
    assert_eq!(source, "this does not compile");
}

#[test]
fn a_revision_that_cannot_be_measured_is_named_and_nothing_is_left_behind() {
    let repository = Repository::new("compare-fails");
    repository.commit("good", &PRETENDER.replace("MICROSECONDS", "1.0"));
    repository.commit("benchless", "fn main() { std::process::exit(2) }");
    repository.commit("broken", "this does not compile");
    for (revision, complaint) in [
        ("missing", "revision `missing` does not exist"),
        ("--help-me", "unexpected argument"),
        ("benchless", "revision `benchless` has no `cargo xtask bench`"),
        ("broken", "revision `broken` has no xtask that builds"),
    ] {
        let output = repository.compare(&["good", revision]);
        assert!(!output.status.success(), "{revision}");
        assert!(text(&output).contains(complaint), "{revision}: {}", text(&output));
        repository.assert_no_worktree_is_left();
    }
}
