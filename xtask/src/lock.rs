//! One command at a time in a folder.

use std::error::Error;
use std::fs::{File, TryLockError};
use std::path::Path;

/// Keeps a second run of `command` out of the folder. The system lets go of it when this process ends,
/// however that comes about.
pub(crate) fn lock(folder: &Path, command: &str) -> Result<File, Box<dyn Error>> {
    let file = File::create(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!("another {command} is running here").into()),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
