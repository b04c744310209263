//! A revision in a worktree of its own, and its `xtask` built from it.

use std::env::consts::EXE_SUFFIX;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{cargo, git, output, run};

/// The commit that `name` stands for.
pub(crate) fn resolve(root: &Path, name: &str) -> Result<String, Box<dyn Error>> {
    // Asked apart, so that a folder which is no repository is not taken for a wrong name.
    output(&mut git(root, &["rev-parse", "--git-dir"]))?;
    let commit = format!("{name}^{{commit}}");
    let parse = ["rev-parse", "--verify", "--quiet", "--end-of-options", &commit];
    match output(&mut git(root, &parse)) {
        Ok(hash) => Ok(hash.trim().to_owned()),
        Err(_) => Err(format!("revision `{name}` does not exist").into()),
    }
}

/// A worktree that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Checkout {
    root: PathBuf,
    worktree: PathBuf,
    revision: String,
}

impl Checkout {
    /// Checks `commit` out into `worktree`, over whatever a killed run may have left there.
    pub(crate) fn new(
        root: &Path,
        worktree: PathBuf,
        revision: &str,
        commit: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let checkout = Self { root: root.to_owned(), worktree, revision: revision.to_owned() };
        checkout.remove()?;
        // Twice forced: git may still know a worktree whose folder is gone.
        let mut add = git(root, &["worktree", "add", "--quiet", "--force", "--force", "--detach"]);
        output(add.arg(&checkout.worktree).arg(commit))?;
        Ok(checkout)
    }

    fn remove(&self) -> std::io::Result<()> {
        let mut remove = git(&self.root, &["worktree", "remove", "--force", "--force"]);
        // It fails where there is none; a folder that git does not know is removed below.
        let _ = output(remove.arg(&self.worktree));
        if self.worktree.exists() { fs::remove_dir_all(&self.worktree) } else { Ok(()) }
    }

    /// Builds the revision's `xtask`, inside the worktree: to cargo, two worktrees that share a build
    /// folder are one package, and the second may be served the first one's program.
    pub(crate) fn build(&self) -> Result<Bench<'_>, Box<dyn Error>> {
        println!("building {}", self.revision);
        let target = self.worktree.join("target");
        let mut build = cargo(&self.worktree, &["build", "--release", "--package", "xtask"]);
        // Each revision names its own toolchain.
        build.env_remove("RUSTUP_TOOLCHAIN").env("CARGO_TARGET_DIR", &target);
        run(&mut build).map_err(|error| {
            format!("revision `{}` has no xtask that builds: {error}", self.revision)
        })?;
        let program = target.join(format!("release/xtask{EXE_SUFFIX}"));
        let bench = Bench { checkout: self, program };
        output(bench.command().arg("--help")).map_err(|error| {
            format!("revision `{}` has no `cargo xtask bench`: {error}", self.revision)
        })?;
        Ok(bench)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("warning: {} stays behind: {error}", self.worktree.display());
        }
    }
}

/// The bench command of a revision.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    checkout: &'a Checkout,
    program: PathBuf,
}

impl Bench<'_> {
    /// The revision, as the user named it.
    pub(crate) fn revision(&self) -> &str {
        &self.checkout.revision
    }

    /// Runs the bench once and returns the report that it wrote to `report`.
    pub(crate) fn run(&self, args: &[String], report: &Path) -> Result<String, Box<dyn Error>> {
        // The report of an earlier run must not pass for this one's.
        if report.exists() {
            fs::remove_file(report)?;
        }
        output(self.command().args(args).arg("--json").arg(report))?;
        let read = fs::read_to_string(report);
        Ok(read.map_err(|error| format!("{} wrote no report: {error}", self.revision()))?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.checkout.worktree).arg("bench");
        command
    }
}
