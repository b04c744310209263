//! What passes through a model, under the names of a reference.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use nn::ternary_core::Real;
use nn::{Passing, Tape};

use crate::parity::{Outcome, wide};

/// What was told.
type Told = BTreeMap<String, Vec<f64>>;

/// Listens to a tape.
#[derive(Debug, Default)]
pub(super) struct Passed(Arc<Mutex<Told>>);

impl Passed {
    pub(super) fn watch<T: Real>(tape: &mut Tape<T>) -> Self {
        let passed = Self::default();
        let told = Arc::clone(&passed.0);
        tape.watch(move |name, passing, values| {
            let way = if passing == Passing::Forward { "" } else { "grad." };
            let mut told = told.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            told.insert(format!("{way}{name}"), wide(values));
        });
        passed
    }

    /// Outputs of blocks and mixers with their gradients, and the scores of routers.
    pub(super) fn take(self, layers: usize) -> Outcome<Told> {
        let mut told =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let mut found = Told::new();
        for layer in 0..layers {
            let block = format!("model.layers.{layer}");
            for (there, here) in [
                (block.clone(), format!("block.{layer}")),
                (format!("{block}.mixer"), format!("mixer.{layer}")),
            ] {
                for way in ["", "grad."] {
                    let there = format!("{way}{there}");
                    let values = told.remove(&there).ok_or(format!("nothing told of {there}"))?;
                    found.insert(format!("{way}{here}"), values);
                }
            }
            if let Some(scores) = told.remove(&format!("{block}.mlp.gate")) {
                found.insert(format!("router.{layer}"), scores);
            }
        }
        Ok(found)
    }
}
