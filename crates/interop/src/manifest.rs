//! [`Manifest`]: the length and the SHA-256 of each file of a directory.
//!
//! ```json
//! {
//!   "version": 1,
//!   "files": {
//!     "config.json": { "bytes": 553, "sha256": "66687aad…" },
//!     "model.safetensors": { "bytes": 1208, "sha256": "9f86d081…" }
//!   }
//! }
//! ```
//!
//! Whoever keeps files of its own kind in a directory has a version of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::Problem;
use crate::pairs::Pairs;

/// The name of the manifest's own file.
pub const MANIFEST: &str = "manifest.json";
/// What the name of a file ends in until it takes its place.
pub const NEW: &str = ".new";

/// What the bytes of a file are known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    bytes: u64,
    sha256: String,
}

impl Digest {
    /// That of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_pieces([bytes])
    }

    /// That of bytes that come in pieces.
    pub(crate) fn of_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digester = Digester::new(io::sink());
        for piece in pieces {
            digester.write_all(piece).expect("a sink takes everything");
        }
        digester.finish().0
    }

    /// Checks that these are the bytes.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), Problem> {
        self.check_digest(&Self::of(bytes))
    }

    /// Checks that the bytes with this digest are the ones.
    ///
    /// # Errors
    /// [`Problem::Mismatch`] of their number, or else of their hash.
    pub fn check_digest(&self, found: &Self) -> Result<(), Problem> {
        if found.bytes != self.bytes {
            return Err(Problem::mismatch("bytes by the manifest", self.bytes, found.bytes));
        }
        if found.sha256 != self.sha256 {
            return Err(Problem::mismatch("SHA-256 by the manifest", &self.sha256, &found.sha256));
        }
        Ok(())
    }
}

/// A writer that knows the digest of what went through it.
#[derive(Debug)]
pub struct Digester<W> {
    out: W,
    bytes: u64,
    sha256: Sha256,
}

impl<W: Write> Digester<W> {
    /// Passes everything on to `out`.
    pub fn new(out: W) -> Self {
        Self { out, bytes: 0, sha256: Sha256::new() }
    }

    /// The digest, and what it was passed on to.
    pub fn finish(self) -> (Digest, W) {
        let hash = self.sha256.finalize();
        let sha256 = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        (Digest { bytes: self.bytes, sha256 }, self.out)
    }
}

impl<W: Write> Write for Digester<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What the files of a directory hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Each by its name, which is one of the directory itself.
    pub files: BTreeMap<String, Digest>,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    files: &'a BTreeMap<String, Digest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    version: u32,
    files: Pairs<Digest>,
}

impl Manifest {
    /// The text of the manifest, for a kind of directory of this version.
    pub fn to_json(&self, version: u32) -> Vec<u8> {
        let written = Written { version, files: &self.files };
        let mut json = serde_json::to_vec_pretty(&written).expect("names and numbers are JSON");
        json.push(b'\n');
        json
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Problem::Version`] for another version, and the first thing else that is wrong.
    pub fn from_json(json: &[u8], version: u32) -> Result<Self, Problem> {
        let read: Read = serde_json::from_slice(json)
            .map_err(|source| Problem::Json { what: "manifest", source })?;
        if read.version != version {
            return Err(Problem::Version { expected: version, found: read.version });
        }
        let files = read.files.unique("file")?;
        match files.keys().find(|name| !is_plain(name)) {
            None => Ok(Self { files }),
            Some(name) => Err(Problem::mismatch("file", "a name in this directory", name)),
        }
    }
}

/// Whether a name means a file of the directory itself, and no file of this protocol.
fn is_plain(name: &str) -> bool {
    is_in_directory(name) && name != MANIFEST && !name.ends_with(NEW)
}

/// Whether a name leads to nothing but a file of the directory itself.
pub(crate) fn is_in_directory(name: &str) -> bool {
    Path::new(name).file_name() == Some(OsStr::new(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc"), Digest { bytes: 3, sha256: sha256.into() });
        let digest = Digest::of(b"abc");
        digest.check(b"abc").unwrap();
        let error = digest.check(b"abcd").unwrap_err().to_string();
        assert_eq!(error, "bytes by the manifest: expected 3, found 4");
        let error = digest.check(b"abd").unwrap_err().to_string();
        assert!(error.starts_with("SHA-256 by the manifest: expected ba78"), "{error}");
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let files = ["a", "b.json"].map(|name| (name.to_owned(), Digest::of(name.as_bytes())));
        let manifest = Manifest { files: files.into() };
        assert_eq!(Manifest::from_json(&manifest.to_json(1), 1).unwrap(), manifest);
    }

    #[test]
    fn names_outside_the_directory_other_versions_and_duplicates_are_refused() {
        let digest = r#"{"bytes": 0, "sha256": ""}"#;
        for name in ["../a", "a/b", "/a", "", ".", "..", "a/", "manifest.json", "a.new"] {
            let json = format!(r#"{{"version": 1, "files": {{"{name}": {digest}}}}}"#);
            let error = Manifest::from_json(json.as_bytes(), 1).unwrap_err().to_string();
            assert_eq!(error, format!("file: expected a name in this directory, found {name}"));
        }
        let error = Manifest::from_json(br#"{"version": 2, "files": {}}"#, 1).unwrap_err();
        assert_eq!(error.to_string(), "version of the manifest: expected 1, found 2");
        let json = format!(r#"{{"version": 1, "files": {{"a": {digest}, "a": {digest}}}}}"#);
        let error = Manifest::from_json(json.as_bytes(), 1).unwrap_err();
        assert_eq!(error.to_string(), "file \"a\" is there twice");
    }
}
