//! Python with pinned packages, in a folder of its own.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::folder::fresh;
use super::versions::Versions;
use crate::process::run;

/// The list of packages.
pub(super) const REQUIREMENTS: &str = "requirements.txt";
const STAND_INS: &str = "stand_ins.py";
/// A file in the folder that holds what was installed, once that is done.
const DONE: &str = "installed.txt";

/// The Python of `folder`, which is made if it is not there, or has other packages than `scripts` asks for.
pub(super) fn python(folder: &Path, scripts: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let (bin, name) = if cfg!(windows) { ("Scripts", "python.exe") } else { ("bin", "python") };
    let python = folder.join(bin).join(name);
    let wanted = fs::read_to_string(scripts.join(REQUIREMENTS))?;
    let done = folder.join(DONE);
    if fs::read_to_string(&done).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    let first = if cfg!(windows) { "python" } else { "python3" };
    Versions::of(Path::new(first))?.check_python()?;
    eprintln!("a Python environment in {}, about 2 GB, from PyPI", folder.display());
    fresh(folder)?;
    run(Command::new(first).args(["-m", "venv"]).arg(folder))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"]);
    run(install.arg(scripts.join(REQUIREMENTS)))?;
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        run(Command::new(&python).arg(scripts.join(STAND_INS)))?;
    }
    fs::write(done, wanted)?;
    Ok(python)
}
