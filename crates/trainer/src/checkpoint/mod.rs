//! Checkpoints: what a run goes on from, whenever it was killed.
//!
//! ```text
//! checkpoints/
//!   step-00000020/            a folder for each, new each time: nothing is ever written over
//!   step-00000040/
//!     arrays.safetensors      weights, levels, moments: named arrays, little-endian
//!     state.json              the step, and all that is no array
//!     manifest.json           length and SHA-256 of the other two
//!   .step-00000060.new/       one that is being written, or was when the run was killed
//!   .step-00000000.old/       one that is being removed
//! ```
//!
//! | step of saving | after a power cut there is |
//! |---|---|
//! | make `.step-N.new`, write its files, sync each | the old ones |
//! | write the manifest, sync it; sync the folder | the old ones |
//! | rename it to `step-N` | the old ones, or the new one too |
//! | sync `checkpoints` | the new one too |
//! | remove what is not kept: rename, sync `checkpoints`, remove | the new one and what is kept |
//!
//! A folder counts when its manifest is true. One that does not is passed over with a line that says why, and an
//! older one is used. Whoever saves or reads holds the lock of the run ([`RunFolder`](crate::run::RunFolder)).

mod arrays;
mod folder;
mod names;
mod snapshot;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use interop::safetensors;
use nn::{Numbers, NumbersMut};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::storage::{Input, Storage, make_directories, remove_all};
pub(crate) use names::is_of_checkpoint;
use names::{final_name, is_left_over, new_name, old_name, step_of};

pub use snapshot::Snapshot;

/// The version of the files of a checkpoint.
const VERSION: u32 = 2;

/// Calls its argument with the name and the numbers of each array, in the same order whenever it is called: as
/// [`nn::visit_state`] does.
pub type VisitArrays<'a> = dyn Fn(&mut dyn FnMut(&str, Numbers<'_>)) + 'a;

/// The checkpoints of a run.
#[derive(Debug)]
pub struct Checkpoints<'a> {
    storage: &'a dyn Storage,
    run: PathBuf,
    folder: PathBuf,
    keep: usize,
}

impl<'a> Checkpoints<'a> {
    /// Those of the run in the folder `run`, which is there; the newest `keep` stay, at least one.
    pub fn new(storage: &'a dyn Storage, run: &Path, keep: usize) -> Self {
        let folder = run.join("checkpoints");
        Self { storage, run: run.to_owned(), folder, keep: keep.max(1) }
    }

    /// Saves a checkpoint, and then removes what is not to be kept: all but the newest, and those of a step
    /// after this one, which a run that went back to an older one has left.
    ///
    /// Should this fail or be killed, the checkpoints that were there can be read, or this one too; once it has
    /// returned, this one is the newest, also after a power cut. One of this step that is there already goes once
    /// the new one is whole: should the process be killed between the two renames, an older one is the newest.
    ///
    /// # Errors
    /// [`Error::File`]: no room, say.
    pub fn save(&self, snapshot: &Snapshot, arrays: &VisitArrays<'_>) -> Result<PathBuf> {
        let path = self.folder.join(final_name(snapshot.step));
        self.write(snapshot, arrays, &path)?;
        self.prune(snapshot.step)?;
        Ok(path)
    }

    fn write(&self, snapshot: &Snapshot, arrays: &VisitArrays<'_>, path: &Path) -> Result<()> {
        let make = || {
            make_directories(self.storage, &self.folder)?;
            // Also where it was there: whoever made it may have failed before this.
            self.storage.sync_directory(&self.run)
        };
        make().map_err(Error::file("make the folder", &self.folder))?;
        self.remove_left_overs()?;
        let is_there = self.list()?.contains(&snapshot.step);
        let new = self.folder.join(new_name(snapshot.step));
        let written = folder::write(self.storage, &new, snapshot, arrays);
        if written.is_err() {
            // What fills a disk half would leave no room for anything else; should it stay, the next save removes it.
            let _ = remove_all(self.storage, &new);
        }
        written?;
        if is_there {
            let old = self.folder.join(old_name(snapshot.step));
            self.storage.rename(path, &old).map_err(Error::file("remove the checkpoint", path))?;
        }
        let rename = self.storage.rename(&new, path);
        rename.map_err(Error::file("move the checkpoint in place at", path))?;
        self.sync()?;
        if is_there { self.remove_left_overs() } else { Ok(()) }
    }

    /// The newest checkpoint that can be read, if there is one. `tell` gets a line for each that cannot.
    ///
    /// # Errors
    /// [`Error::CheckpointVersion`] where the newest is of another version; [`Error::File`] where the folder cannot
    /// be listed.
    pub fn newest(&self, tell: &mut dyn FnMut(&str)) -> Result<Option<Checkpoint>> {
        let mut steps = self.list()?;
        steps.reverse();
        for step in steps {
            let path = self.folder.join(final_name(step));
            match folder::open(self.storage, &path, step)? {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(flaw) => tell(&format!(
                    "the checkpoint {} is passed over: {flaw}; an older one is used if there is one, and without this \
                     folder this line is not told",
                    path.display()
                )),
            }
        }
        Ok(None)
    }

    /// The steps of which there is a folder, in order.
    fn list(&self) -> Result<Vec<u32>> {
        let entries = match self.storage.list(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::file("list the folder", &self.folder))?,
        };
        let folders = entries.iter().filter(|entry| entry.is_directory);
        let mut steps: Vec<u32> = folders.filter_map(|entry| step_of(entry.name()?)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    fn sync(&self) -> Result<()> {
        let sync = self.storage.sync_directory(&self.folder);
        sync.map_err(Error::file("sync the folder", &self.folder))
    }

    /// Removes what is not kept now that `newest` has been saved.
    fn prune(&self, newest: u32) -> Result<()> {
        let mut steps = self.list()?;
        let later = steps.split_off(steps.partition_point(|&step| step <= newest));
        steps.truncate(steps.len().saturating_sub(self.keep));
        steps.extend(later);
        self.remove(&steps)
    }

    /// Takes the names away before the content, so that none is ever seen half removed.
    fn remove(&self, steps: &[u32]) -> Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        for &step in steps {
            let path = self.folder.join(final_name(step));
            let rename = self.storage.rename(&path, &self.folder.join(old_name(step)));
            rename.map_err(Error::file("remove the checkpoint", &path))?;
        }
        self.sync()?;
        self.remove_left_overs()
    }

    /// Removes what a run that was killed left half-written or half-removed.
    fn remove_left_overs(&self) -> Result<()> {
        let entries = self.storage.list(&self.folder);
        for entry in entries.map_err(Error::file("list the folder", &self.folder))? {
            if entry.is_directory && entry.name().is_some_and(is_left_over) {
                let removed = remove_all(self.storage, &entry.path);
                removed.map_err(Error::file("remove the unfinished checkpoint", &entry.path))?;
            }
        }
        Ok(())
    }
}

/// A checkpoint whose files are what was written.
pub struct Checkpoint {
    /// Its folder.
    pub path: PathBuf,
    /// What is no array.
    pub snapshot: Snapshot,
    arrays: safetensors::Arrays<Box<dyn Input>>,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, snapshot, .. } = self;
        f.debug_struct("Checkpoint").field("path", path).field("snapshot", snapshot).finish()
    }
}

impl Checkpoint {
    /// Reads an array, as [`nn::restore`] asks for them.
    ///
    /// # Errors
    /// [`Error::File`] where there is none of this name, type and length: the model or the optimiser is not of the
    /// run's configuration.
    pub fn read(&mut self, name: &str, room: NumbersMut<'_>) -> Result<()> {
        let read = arrays::read(&mut self.arrays, name, room);
        read.map_err(Error::file("restore from", &self.path))
    }

    /// Checks that every array was read; what is no array.
    ///
    /// # Errors
    /// [`Error::File`] that names one that was not.
    pub fn finish(self) -> Result<Snapshot> {
        let read = self.arrays.finish();
        read.map_err(Error::file("restore from", &self.path))?;
        Ok(self.snapshot)
    }
}

/// JSON of the state.
fn to_json<T: Serialize>(part: &str, value: &T) -> Result<Vec<u8>> {
    let json = serde_json::to_vec_pretty(value);
    json.map_err(|source| Error::State { part: part.to_owned(), source })
}
