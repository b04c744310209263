//! What all steps of a run come to.

use serde::{Deserialize, Serialize};

use super::step::Taken;

/// Sums over the steps so far, which a run that is resumed goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Steps that were taken.
    pub(super) steps: u32,
    /// Tokens of them.
    #[serde(default)]
    pub(super) tokens: u64,
    /// What they took, without evaluations.
    pub(super) seconds: f64,
    /// What mining took of it, if there was any.
    pub(super) mining_seconds: Option<f64>,
    /// What FOGZO's probes took of it, if there were any.
    pub(super) fogzo_seconds: Option<f64>,
}

impl Totals {
    /// Counts a step.
    pub(super) fn add(&mut self, taken: &Taken) {
        self.steps += 1;
        self.tokens += taken.tokens as u64;
        self.seconds += taken.time.as_secs_f64();
        if let Some(mined) = taken.mined {
            *self.mining_seconds.get_or_insert(0.0) += mined.mining_seconds;
        }
        if let Some(probed) = taken.probed {
            *self.fogzo_seconds.get_or_insert(0.0) += probed.fogzo_seconds;
        }
    }

    /// Tokens predicted in a second.
    pub(super) fn rate(&self) -> f64 {
        if self.steps == 0 { 0.0 } else { self.tokens as f64 / self.seconds }
    }
}
