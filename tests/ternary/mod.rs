//! The command `ternary` in a folder of the test's own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

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
    #[allow(dead_code, reason = "not every test does")]
    pub(crate) fn ternary(&self, arguments: &str) -> Done {
        self.ternary_on_threads(2, arguments)
    }

    #[allow(dead_code, reason = "not every test does")]
    pub(crate) fn ternary_on_threads(&self, threads: usize, arguments: &str) -> Done {
        Done::from(self.command(threads, arguments.split_whitespace()).output().unwrap())
    }

    fn command<'a>(&self, threads: usize, words: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ternary"));
        command.args(words).current_dir(&self.0);
        command.env("RAYON_NUM_THREADS", threads.to_string());
        command
    }

    /// Begins `ternary` with pipes to all its streams.
    #[allow(dead_code, reason = "not every test talks with the command")]
    pub(crate) fn begin(&self, arguments: &str) -> Child {
        self.begin_words(arguments.split_whitespace())
    }

    #[allow(dead_code, reason = "not every test talks with the command")]
    fn begin_words<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Child {
        let mut command = self.command(2, words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Runs `ternary` with a text on standard input.
    #[allow(dead_code, reason = "not every test talks with the command")]
    pub(crate) fn ternary_on_input(&self, arguments: &str, input: &str) -> Done {
        finish(self.begin(arguments), input)
    }

    /// The same with arguments that may have spaces.
    #[allow(dead_code, reason = "not every test has such arguments")]
    pub(crate) fn ternary_words(&self, words: &[String], input: &str) -> Done {
        finish(self.begin_words(words.iter().map(|word| &**word)), input)
    }
}

#[allow(dead_code, reason = "not every test talks with the command")]
fn finish(mut child: Child, input: &str) -> Done {
    // A command that reads nothing may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Done::from(child.wait_with_output().unwrap())
}

/// A text of words that a model learns something of.
#[allow(dead_code, reason = "not every test needs a text")]
pub(crate) fn words() -> String {
    let words = ["cat", "on", "the", "mat", "dog", "ran", "far", "away", "again", "and"];
    let index = |i: u32| (i.wrapping_mul(0x9e37_79b9) >> 16) as usize;
    (0..2000).map(|i| format!("{} ", words[index(i) % words.len()])).collect()
}

/// The lines of a file of metrics without the times, which no two runs share.
#[allow(dead_code, reason = "not every test compares runs")]
pub(crate) fn untimed(metrics: &Path) -> Vec<serde_json::Value> {
    let is_time = |key: &str| key.ends_with("seconds") || key == "tokens_per_second";
    let untimed = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        line.as_object_mut().unwrap().retain(|key, _| !is_time(key) && key != "peak_memory");
        line
    };
    fs::read_to_string(metrics).unwrap().lines().map(untimed).collect()
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
