//! One seed for each use of randomness, all from the seed of the run.

use ternary_core::noise::Noise;

/// What random numbers are for. Two uses never share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The weights: what they start from, and what is random in their updates.
    Weights = 1,
    /// The text of the generator.
    Text = 2,
    /// Which windows a step sees.
    Order = 3,
    /// Directions in which the loss is probed.
    Probes = 6,
    /// Noise of experts that start as copies.
    Copies = 7,
    /// Tokens that are drawn.
    Sampling = 8,
    /// The stories that are held out.
    HeldOut = 9,
    /// What adapters start from.
    Adapters = 10,
    /// Inputs that adapters drop.
    Dropout = 11,
}

impl Purpose {
    /// The seed of this use in a run with the seed `seed`.
    pub(crate) fn seed(self, seed: u64) -> u64 {
        Noise::new(seed, self as u32, 0).wide_bits(0)
    }
}
