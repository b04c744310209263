//! Event files, which TensorBoard reads: the curves of a run as it goes.
//!
//! A file is a row of framed records, each an `Event` of TensorFlow's protocol:
//!
//! ```text
//! length  u64, little-endian
//! masked CRC-32C of the length
//! data    an Event
//! masked CRC-32C of the data
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `protobuf` | fields of a message, as bytes |
//! | `message` | events, their scalars, histograms and texts |
//! | `framing` | records with their checksums |
//! | `curves` | which records of the metrics become which curves |

mod curves;
mod framing;
mod message;
mod protobuf;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::run::{Record, cut, length_of, sync};

use curves::Curves;
use message::Event;

/// What names of event files begin with.
const PREFIX: &str = "events.out.tfevents.";

/// The event file of a run. What is written is in the file at once.
#[derive(Debug)]
pub struct Events {
    file: File,
    path: PathBuf,
    curves: Curves,
    buffer: Vec<u8>,
}

impl Events {
    /// What a checkpoint calls the file, whose name depends on the time.
    pub const KIND: &str = "events";

    /// Begins an event file in the folder of a run.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn create(folder: &Path) -> Result<Self> {
        let path = folder.join(format!("{PREFIX}{:010}.ternary", now() as u64));
        let file = File::create_new(&path).map_err(Error::file("create", &path))?;
        let mut events = Self { file, path, curves: Curves::default(), buffer: Vec::new() };
        events.write(&[Event::version(now())])?;
        Ok(events)
    }

    /// Goes on with the event file of a run, cut to its first `length` bytes. `records` are the metrics up to
    /// there, which may name levels that later events tell again.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::RunFile`] where there is no such file, or a shorter one.
    pub fn resume(folder: &Path, length: u64, records: &[Record]) -> Result<Self> {
        let path = find(folder)?;
        let file = cut(&path, length)?;
        let mut curves = Curves::default();
        records.iter().for_each(|record| drop(curves.events(record, 0.0)));
        Ok(Self { file, path, curves, buffer: Vec::new() })
    }

    /// Adds what a record of the metrics tells.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn record(&mut self, record: &Record) -> Result<()> {
        let events = self.curves.events(record, now());
        self.write(&events)
    }

    /// Bytes so far: what [`Events::resume`] cuts the file to.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn length(&self) -> Result<u64> {
        length_of(&self.file, &self.path)
    }

    /// Has all events so far survive a loss of power.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn sync(&self) -> Result<()> {
        sync(&self.file, &self.path)
    }

    /// The event files in a folder.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
        let list = || -> std::io::Result<Vec<PathBuf>> {
            let is_ours = |path: &PathBuf| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
            };
            let paths = folder.read_dir()?.map(|entry| entry.map(|entry| entry.path()));
            Ok(paths.collect::<std::io::Result<Vec<_>>>()?.into_iter().filter(is_ours).collect())
        };
        list().map_err(Error::file("list the folder", folder))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, events: &[Event]) -> Result<()> {
        self.buffer.clear();
        events.iter().for_each(|event| framing::frame(&mut self.buffer, &event.to_bytes()));
        self.file.write_all(&self.buffer).map_err(Error::file("write", &self.path))
    }
}

/// The event file of a run.
fn find(folder: &Path) -> Result<PathBuf> {
    match <[PathBuf; 1]>::try_from(Events::files(folder)?) {
        Ok([path]) => Ok(path),
        Err(found) => Err(Error::RunFile {
            path: folder.to_owned(),
            expected: format!("one file whose name begins with {PREFIX}"),
            found: format!("{} of them", found.len()),
        }),
    }
}

/// Seconds since 1970, as far as the clock tells.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests;
