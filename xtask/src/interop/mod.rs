//! `cargo xtask interop`: adapters and models against PEFT and transformers themselves.
//!
//! Python makes tiny random models of each kind, adapters for them, and what both compute (`python/peft_side.py`). What we
//! compute of the same files is held to it; then Python reads what we wrote. No number is compared in Python.
//!
//! | module | holds |
//! |---|---|
//! | `environment` | Python with pinned packages, made when there is none |
//! | `made` | what Python wrote |
//! | `adapters` | adapters one way and the other, and their training in f64 |
//! | `tuned` | a run of `ternary lora` |
//! | `check` | what passed |

mod adapters;
mod check;
mod environment;
mod made;
mod tuned;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::check::Checks;
use self::made::{Heard, Made};
use self::tuned::Tuning;
use crate::lock::lock;
use crate::process::{cargo, output, run as run_command};
use crate::workspace::Workspace;

const SCRIPT: &str = "peft_side.py";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A Python that has the packages of xtask/python/requirements.txt, instead of one that is made with them, which
    /// needs the network
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// The folder for that Python and for the models [default: interop, in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs every check and prints what came of each.
pub(crate) fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let workspace = Workspace::read()?;
    let folder = args.out.unwrap_or_else(|| workspace.target.join("interop"));
    let folder = std::path::absolute(folder)?;
    fs::create_dir_all(&folder)?;
    let _lock = lock(&folder, "interop")?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let python = match args.python {
        // A path is that of here; a name alone is looked up.
        Some(path) if path.components().count() > 1 => std::path::absolute(path)?,
        Some(name) => name,
        None => environment::python(&folder.join("environment"), &scripts)?,
    };
    // What is missing is told before anything is built.
    output(Command::new(&python).args(["-c", "import peft, safetensors, torch, transformers"]))?;
    let build = ["build", "--release", "--package", "trainer", "--bin", "ternary"];
    run_command(&mut cargo(&workspace.root, &build))?;
    let ternary = format!("ternary{}", std::env::consts::EXE_SUFFIX);
    let ternary = workspace.target.join("release").join(ternary);

    let models = folder.join("models");
    if models.exists() {
        fs::remove_dir_all(&models)?;
    }
    fs::create_dir_all(&models)?;
    let python = |command: &str| {
        let mut python = Command::new(&python);
        python.arg("-W").arg("ignore").arg(scripts.join(SCRIPT)).arg(command).arg(&models);
        python
    };
    eprintln!("models and adapters by transformers and PEFT");
    let kinds = output(&mut python("make"))?;
    let kinds: Vec<&str> = kinds.lines().collect();
    let tuning = Tuning::prepare(&models, &ternary)?;
    let mut told = Vec::new();
    let mut checks = Checks::default();
    for &kind in &kinds {
        eprintln!("{kind}");
        let place = models.join(kind);
        let made = Made::read(&place)?;
        let of_kind = |what: &str| format!("{kind}: {what}");
        adapters::read_theirs(&mut checks, of_kind, &place, &made);
        checks.add(of_kind("20 steps of AdamW in f64"), || adapters::losses(&place, &made));
        let ours = adapters::write_ours(&place, &made);
        told.push((kind, place.clone(), ours, tuning.run(&place)));
    }
    eprintln!("what PEFT makes of ours");
    run_command(&mut python("read"))?;
    for (kind, place, ours, tuned) in told {
        let of_kind = |what: &str| format!("{kind}: {what}");
        let heard = Heard::read(&place)?;
        checks.add(of_kind("PEFT loads our adapter"), || adapters::read_ours(&heard, ours));
        tuned::check(&mut checks, of_kind, &heard, tuned);
    }
    print!("{checks}");
    match checks.failed() {
        0 => Ok(()),
        failed => Err(format!("interop: {failed} check(s) failed").into()),
    }
}
