//! Numbers of a model that are no matrix, and what they are before training.

use nn::ternary_core::Real;
use nn::{Draw, Parameters};

/// What numbers are for that are no matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Numbers {
    /// A gain g of a norm that multiplies by g.
    Gain,
    /// A gain g of a norm that multiplies by 1 + g.
    ShiftedGain,
    /// Taps of a convolution, a row for each channel.
    Taps,
    /// ln A of a delta net, whose decay is e^(−A·softplus(a + bias)).
    LogDecay,
    /// The bias in that.
    DecayBias,
}

impl Numbers {
    /// The numbers that training starts from, for the parameter that is declared next.
    ///
    /// Gains make norms multiply by 1. Taps are uniform in ±1/√taps, A in 1 to 16, and ln softplus(bias) in ln 0.001
    /// to ln 0.1, as in Mamba-2 (arXiv 2405.21060).
    pub(crate) fn initial<T: Real>(
        self,
        shape: &[usize],
        seed: u64,
        parameters: &Parameters,
    ) -> Vec<T> {
        let mut uniform = vec![0.0_f64; shape.iter().product()];
        // Several such tensors of a layer are drawn before the first of them is declared: each kind has its own numbers.
        let noise = Draw::Initial.noise(seed, parameters.next(), self as u32);
        noise.fill_uniform_f64(0, &mut uniform);
        let between = |[low, high]: [f64; 2], share: f64| low + (high - low) * share;
        let number = |share: f64| match self {
            Self::Gain => 1.0,
            Self::ShiftedGain => 0.0,
            Self::Taps => {
                let limit = 1.0 / (shape.last().map_or(1.0, |&taps| taps as f64)).sqrt();
                between([-limit, limit], share)
            }
            Self::LogDecay => between([1.0, 16.0], share).ln(),
            Self::DecayBias => {
                let step = between([1e-3_f64.ln(), 0.1_f64.ln()], share).exp();
                // softplus(ln(e^s − 1)) = s.
                step.exp_m1().ln()
            }
        };
        uniform.into_iter().map(|share| T::from_f64(number(share))).collect()
    }
}
