//! Which random numbers belong to what.

use ternary_core::noise::Noise;

use crate::parameters::ParameterId;

/// What random numbers of a parameter are for. Each purpose has a stream of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// The weights that training starts from.
    Initial,
    /// Stochastic rounding of an update.
    Rounding,
    /// Noise around the borders of the quantiser.
    Boundary,
}

impl Draw {
    /// Purposes that there is room for.
    const STREAMS: u32 = 8;

    /// The random numbers of a parameter for this purpose at a step: functions of the index, the same
    /// for any number of threads.
    pub fn noise(self, seed: u64, parameter: ParameterId, step: u32) -> Noise {
        Noise::new(seed, parameter.stream() as u32 * Self::STREAMS + self as u32, step)
    }
}
