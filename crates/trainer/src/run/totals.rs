//! What all steps of a run come to.

use serde::{Deserialize, Serialize};

use super::step::Taken;

/// Sums over the steps so far, which a run that is resumed goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Steps that were taken.
    pub(super) steps: u32,
    /// Tokens of the steps whose tokens are known; a checkpoint may not tell them.
    #[serde(default)]
    counted_tokens: u64,
    /// What those steps took, without evaluations.
    #[serde(default)]
    counted_seconds: f64,
    /// What mining took of it, if there was any.
    pub(super) mining_seconds: Option<f64>,
    /// What FOGZO's probes took of it, if there were any.
    pub(super) fogzo_seconds: Option<f64>,
}

impl Totals {
    /// Counts a step.
    pub(super) fn add(&mut self, taken: &Taken) {
        self.steps += 1;
        self.counted_tokens += taken.tokens as u64;
        self.counted_seconds += taken.time.as_secs_f64();
        if let Some(mined) = taken.mined {
            *self.mining_seconds.get_or_insert(0.0) += mined.mining_seconds;
        }
        if let Some(probed) = taken.probed {
            *self.fogzo_seconds.get_or_insert(0.0) += probed.fogzo_seconds;
        }
    }

    /// Tokens read in a second.
    pub(super) fn rate(&self) -> f64 {
        if self.counted_tokens == 0 {
            return 0.0;
        }
        self.counted_tokens as f64 / self.counted_seconds
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_is_over_the_steps_whose_tokens_are_known() {
        let told =
            r#"{"steps": 100, "seconds": 50.0, "mining_seconds": null, "fogzo_seconds": null}"#;
        let mut totals: Totals = serde_json::from_str(told).unwrap();
        assert_eq!((totals.steps, totals.rate()), (100, 0.0));
        let taken = Taken {
            loss: 1.0,
            learning_rate: 1.0,
            weight_decay: 0.0,
            gradient_norm: 1.0,
            router_loss: None,
            divergence: None,
            flips: None,
            tokens: 30,
            time: Duration::from_secs(2),
            mined: None,
            probed: None,
        };
        totals.add(&taken);
        assert_eq!((totals.steps, totals.rate()), (101, 15.0));
        let kept = serde_json::to_string(&totals).unwrap();
        assert_eq!(serde_json::from_str::<Totals>(&kept).unwrap(), totals);
    }
}
