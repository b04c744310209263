//! `cargo xtask interop`: adapters and models against PEFT and transformers themselves.
//!
//! Python makes tiny random models of each kind, adapters for them, and what both compute (`python/peft_side.py`). What we
//! compute of the same files is held to it; then Python reads what we wrote. No number is compared in Python.
//!
//! | module | holds |
//! |---|---|
//! | `environment`, `versions` | Python with pinned packages, made when there is none, and what one has |
//! | `folder` | folders that are made anew |
//! | `made` | what Python wrote |
//! | `adapters` | adapters one way and the other, and their training in f64 |
//! | `tuned` | a run of `ternary lora` |
//! | `check` | what passed |

mod adapters;
mod check;
mod environment;
mod folder;
mod made;
mod tuned;
mod versions;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::check::Checks;
use self::folder::fresh;
use self::made::{Heard, Made};
use self::tuned::Tuning;
use self::versions::Versions;
use crate::lock::lock;
use crate::process::{cargo, output, run as run_command};
use crate::workspace::Workspace;

const SCRIPT: &str = "peft_side.py";
/// The models that Python has to make, by their `model_type`: all that are read here.
const KINDS: [&str; 6] = ["llama", "qwen2", "qwen3", "qwen3_5_text", "qwen3_5", "qwen3_next"];

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
    let versions = Versions::of(&python)?;
    versions.check_python()?;
    versions.check(&fs::read_to_string(scripts.join(environment::REQUIREMENTS))?)?;
    output(Command::new(&python).args(["-c", "import peft, safetensors, torch, transformers"]))?;
    let build = ["build", "--release", "--package", "trainer", "--bin", "ternary"];
    run_command(&mut cargo(&workspace.root, &build))?;
    let ternary = format!("ternary{}", std::env::consts::EXE_SUFFIX);
    let ternary = workspace.target.join("release").join(ternary);

    let models = folder.join("models");
    fresh(&models)?;
    let python = |command: &str| {
        let mut python = Command::new(&python);
        python.arg("-W").arg("ignore").arg(scripts.join(SCRIPT)).arg(command).arg(&models);
        python
    };
    eprintln!("models and adapters by transformers and PEFT");
    all_kinds(&output(&mut python("make"))?)?;
    let tuning = Tuning::prepare(&models, &ternary)?;
    let mut told = Vec::new();
    let mut checks = Checks::default();
    for kind in KINDS {
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
    println!("{versions}");
    print!("{checks}");
    match checks.failed() {
        0 => Ok(()),
        failed => Err(format!("interop: {failed} check(s) failed").into()),
    }
}

/// Checks that Python says it has made every kind of model, so that none can be left out in silence.
fn all_kinds(told: &str) -> Result<(), String> {
    let told: Vec<&str> = told.lines().collect();
    if told == KINDS {
        return Ok(());
    }
    let (expected, found) = (KINDS.join(", "), told.join(", "));
    Err(format!("models that {SCRIPT} makes: expected {expected}, found {found:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_has_to_make_every_kind_of_model() {
        let told = KINDS.join("\n");
        all_kinds(&told).unwrap();
        for told in ["", &told.replace("qwen2\n", ""), &format!("{told}\nqwen4"), "a warning"] {
            assert!(all_kinds(told).unwrap_err().contains("expected llama, qwen2"), "{told}");
        }
    }
}
