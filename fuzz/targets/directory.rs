//! A model directory in which one file is what the fuzzer says.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// Calls `read` with a directory of `files` in which the file called `name` has the bytes `data`. The directory is made once.
///
/// # Panics
/// Where no such directory can be written.
pub fn with_file(files: &[(&str, &[u8])], name: &str, data: &[u8], read: impl FnOnce(&Path)) {
    thread_local! {
        static DIRECTORY: OnceCell<TempDir> = const { OnceCell::new() };
    }
    DIRECTORY.with(|directory| {
        let directory = directory.get_or_init(|| {
            let directory = tempfile::tempdir().expect("a directory");
            for (name, bytes) in files {
                fs::write(directory.path().join(name), bytes).expect("a file");
            }
            directory
        });
        fs::write(directory.path().join(name), data).expect("a file");
        read(directory.path());
    });
}
