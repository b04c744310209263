//! Folders that each run makes anew.

use std::error::Error;
use std::fs;
use std::path::Path;

/// The file that says whose a folder is.
const MARKER: &str = "made-by-xtask-interop.txt";
const TEXT: &str = "`cargo xtask interop` made this folder, and empties it when it needs to.\n";

/// Makes a folder, or empties the one that an earlier run has made.
///
/// # Errors
/// A folder of somebody else that holds anything: nothing is removed there.
pub(super) fn fresh(folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let (marker, at) = (folder.join(MARKER), folder.display());
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    if !(entries.is_empty() || marker.is_file()) {
        let text = format!("{at} holds files and no {MARKER}: expected a folder that this command");
        return Err(format!("{text} has made; remove it, or choose another --out").into());
    }
    // Before anything else is there, and as long as it is.
    fs::write(&marker, TEXT)?;
    for entry in entries.into_iter().filter(|entry| entry.file_name() != MARKER) {
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_has_made_is_removed_and_what_somebody_else_has_is_not() {
        let place = tempfile::tempdir().unwrap();
        let models = place.path().join("deeper").join("models");
        for _ in 0..2 {
            fresh(&models).unwrap();
            let left: Vec<_> = fs::read_dir(&models).unwrap().collect();
            assert_eq!(left.len(), 1);
            fs::create_dir_all(models.join("llama").join("base")).unwrap();
            fs::write(models.join("text.txt"), "a text").unwrap();
        }
        let precious = place.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("weights"), "years of work").unwrap();
        let error = fresh(&precious).unwrap_err().to_string();
        assert!(error.contains("precious holds files") && error.contains("remove it"), "{error}");
        assert_eq!(fs::read_to_string(precious.join("weights")).unwrap(), "years of work");
        assert_eq!(fs::read_dir(&precious).unwrap().count(), 1);
    }
}
