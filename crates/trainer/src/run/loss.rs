//! A loss on text that was not trained on, in the units people compare.

use std::f64::consts::LN_2;
use std::fmt;

use serde::Serialize;

/// The mean of −ln p(byte) over bytes (or tokens, where a model has others) that it predicted. No label smoothing enters it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeldOutLoss {
    /// The mean, in nats.
    pub nats_per_byte: f64,
    /// How many bytes were predicted.
    pub predictions: u64,
}

impl HeldOutLoss {
    /// The same in bits: nats / ln 2.
    pub fn bits_per_byte(self) -> f64 {
        self.nats_per_byte / LN_2
    }

    /// e to the loss: among how many equally likely bytes the model is in doubt.
    pub fn perplexity(self) -> f64 {
        self.nats_per_byte.exp()
    }
}

impl fmt::Display for HeldOutLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nats_per_byte, .. } = *self;
        let (bits, perplexity) = (self.bits_per_byte(), self.perplexity());
        write!(f, "{nats_per_byte:.4} nats/byte ({bits:.4} bits/byte, perplexity {perplexity:.3})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_drawn_from_all_equally_is_eight_bits() {
        let loss = HeldOutLoss { nats_per_byte: 256_f64.ln(), predictions: 1 };
        assert!((loss.bits_per_byte() - 8.0).abs() < 1e-12);
        assert!((loss.perplexity() - 256.0).abs() < 1e-9);
        assert_eq!(loss.to_string(), "5.5452 nats/byte (8.0000 bits/byte, perplexity 256.000)");
    }
}
