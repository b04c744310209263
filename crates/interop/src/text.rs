//! Reading files of text.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::{Problem, Result, io_error};

/// The longest text that is read, as with the header of a container.
const MAX_BYTES: u64 = 100_000_000;

/// The bytes of a file of text: a regular file of a length that such a thing has.
pub(crate) fn read_text(path: &Path) -> Result<Vec<u8>> {
    let refused = || io_error(path, "read the file");
    let metadata = fs::metadata(path).map_err(refused())?;
    if !metadata.is_file() {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
        return Err(refused()(error));
    }
    if metadata.len() > MAX_BYTES {
        let expected = format!("at most {MAX_BYTES}");
        return Err(Problem::mismatch("bytes", expected, metadata.len()).in_file(path));
    }
    fs::read(path).map_err(refused())
}
