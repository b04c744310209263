//! The command `ternary` in a folder of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An empty folder that commands run in; it goes away with the value.
pub(crate) struct Folder(PathBuf);

/// What a command left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Folder {
    /// `name` is that of the test.
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs `ternary` with arguments separated by spaces.
    pub(crate) fn ternary(&self, arguments: &str) -> Done {
        self.ternary_on_threads(2, arguments)
    }

    pub(crate) fn ternary_on_threads(&self, threads: usize, arguments: &str) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ternary"));
        command.args(arguments.split_whitespace()).current_dir(&self.0);
        Done::from(command.env("RAYON_NUM_THREADS", threads.to_string()).output().unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of a test that failed is worth a look.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
