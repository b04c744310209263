//! `cargo xtask fuzz`: every reader of outside bytes against bytes that libFuzzer makes up.
//!
//! The targets are in `fuzz/`, a workspace of its own: they need a nightly toolchain, for the coverage that
//! the fuzzer is led by, and a C++ compiler, for libFuzzer itself. It starts from the files in `fuzz/seeds`; what it
//! found on the way stays under `target/fuzz`, and an input that made a target panic is named by it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{output, run as run_command};
use crate::workspace::Workspace;

/// What `cargo fuzz` compiles with as well: counters for each block and each comparison.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds that each target runs
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u32,
    /// The targets [default: all of them]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

impl Args {
    /// A run that is long enough to find a target that is broken.
    pub(crate) fn smoke() -> Self {
        Self { seconds: 3, targets: Vec::new() }
    }
}

/// Builds the targets and runs one after the other.
pub(crate) fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let root = Workspace::read()?.root;
    let host = nightly_host()
        .ok_or("there is no nightly toolchain: `rustup toolchain install nightly`")?;
    let targets = if args.targets.is_empty() { all_targets(&root)? } else { args.targets };
    let built = build(&root, &host, &targets)?;
    let mut failed = Vec::new();
    for target in targets {
        if let Err(error) = run_target(&root, &built, &target, args.seconds) {
            failed.push(format!("{target}: {error}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
}

/// Whether the targets can be built here: there is a nightly toolchain and a C++ compiler.
pub(crate) fn can_build() -> bool {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    nightly_host().is_some() && output(Command::new(compiler).arg("--version")).is_ok()
}

/// The platform that a nightly toolchain compiles for; none without one.
fn nightly_host() -> Option<String> {
    let version = output(Command::new("rustup").args(["run", "nightly", "rustc", "-vV"])).ok()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "))?;
    Some(host.to_owned())
}

/// A target for each folder of seeds.
fn all_targets(root: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(root.join("fuzz/seeds"))? {
        targets.push(entry?.file_name().to_string_lossy().into_owned());
    }
    targets.sort();
    Ok(targets)
}

/// Builds targets, and returns the folder that they are in.
fn build(root: &Path, host: &str, targets: &[String]) -> Result<PathBuf, Box<dyn Error>> {
    let folder = root.join("target/fuzz");
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "build", "--release", "--locked", "--target", host]);
    command.arg("--manifest-path").arg(root.join("fuzz/Cargo.toml"));
    command.arg("--target-dir").arg(&folder);
    for target in targets {
        command.args(["--bin", target]);
    }
    // With a platform named, scripts and macros that run here are built without these.
    command.env("RUSTFLAGS", COVERAGE).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    run_command(&mut command)?;
    Ok(folder.join(host).join("release"))
}

fn run_target(root: &Path, built: &Path, target: &str, seconds: u32) -> Result<(), Box<dyn Error>> {
    let corpus = root.join("target/fuzz/corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let mut command = Command::new(built.join(target));
    command.arg(format!("-max_total_time={seconds}"));
    // Seconds for an input, and mebibytes: no reader takes more than a small multiple of its file.
    command.args(["-timeout=10", "-rss_limit_mb=1024", "-max_len=16384", "-verbosity=0"]);
    command.arg(format!("-artifact_prefix={}/", corpus.display()));
    command.arg(&corpus).arg(root.join("fuzz/seeds").join(target));
    // Most targets write a file for each input, which is many times as fast where it never leaves memory.
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        command.env("TMPDIR", memory);
    }
    println!("── {target}: {seconds} s");
    // It says much, of which nothing matters but how it failed.
    output(&mut command)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_and_is_declared() {
        let root = Workspace::read().unwrap().root;
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        let targets = all_targets(&root).unwrap();
        assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
        for target in targets {
            assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "{target}");
            assert!(fs::read_dir(root.join("fuzz/seeds").join(&target)).unwrap().count() > 0);
        }
    }
}
