//! What a checkpoint keeps of a model that trains. Buffers, schedules and random numbers are functions of the
//! configuration and the step, and so is the place in the data.

use nn::{Numbers, NumbersMut};

use super::Training;
use crate::checkpoint::{Checkpoint, Snapshot};
use crate::error::{Error, Result};
use crate::optimiser::StateArray;
use crate::run::WatchState;

/// What the names of the optimiser's arrays begin with.
const OPTIMISER: &str = "optimiser/";

/// The counters of the vital signs.
const WATCH: &str = "watch";

impl Training<'_> {
    /// Every array: those of the model, then those of the optimiser.
    pub(in crate::run) fn visit_arrays(&self, visit: &mut dyn FnMut(&str, Numbers<'_>)) {
        nn::visit_state(&self.model, visit);
        for StateArray { name, values } in self.updating.optimiser.state().arrays() {
            visit(&format!("{OPTIMISER}{name}"), Numbers::F32(values));
        }
    }

    /// What is no array.
    ///
    /// # Errors
    /// [`Error::State`].
    pub(in crate::run) fn keep(&self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.optimiser_times = self.updating.optimiser.state().times();
        snapshot.insert(WATCH, &self.watch.state())
    }

    /// Takes the place of [`step`](Self::step) 0's beginning: afterwards this is, bit for bit, what was kept.
    ///
    /// # Errors
    /// A checkpoint of another model or another optimiser, and files that cannot be read; this is not to be used
    /// then.
    pub(in crate::run) fn restore(&mut self, checkpoint: &mut Checkpoint) -> Result<()> {
        let update = self.moment(checkpoint.snapshot.step);
        let parameters = self.model.parameters().clone();
        nn::restore(&mut self.model, &parameters, update, &mut |name, room| {
            checkpoint.read(name, room)
        })?;
        let times = checkpoint.snapshot.optimiser_times.clone();
        self.updating.optimiser.state_mut().restore(&times, &mut |name, room| {
            checkpoint.read(&format!("{OPTIMISER}{name}"), NumbersMut::F32(room))
        })?;
        let state: WatchState = checkpoint.snapshot.part(WATCH)?;
        if self.watch.resume(&self.model, &state) {
            return Ok(());
        }
        let expected = "the vital signs of as many matrices as the model has".to_owned();
        let path = checkpoint.path.clone();
        Err(Error::RunFile { path, expected, found: "those of another model".to_owned() })
    }
}
