//! A loss on text that was not trained on, in the units people compare.

use std::f64::consts::LN_2;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The mean of −ln p over bytes (or tokens, where a model has others) that it predicted. No label
/// smoothing enters it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeldOutLoss {
    /// The mean, in nats.
    pub nats: f64,
    /// How many bytes or tokens were predicted.
    pub predictions: u64,
}

/// What a model predicts one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Bytes.
    #[default]
    Byte,
    /// Tokens of a tokenizer.
    Token,
}

/// The unit that losses are told for, and what it is in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Measure {
    /// What one prediction is.
    pub unit: Unit,
    /// Bytes of text for each token, where that is known and tokens are no bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_token: Option<f64>,
}

/// A loss that tells its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    nats: f64,
    measure: Measure,
}

impl HeldOutLoss {
    /// e to the loss: among how many equally likely bytes (or tokens) the model is in doubt.
    pub fn perplexity(self) -> f64 {
        self.nats.exp()
    }

    /// The loss to be told with its unit.
    pub fn measured(self, measure: Measure) -> Measured {
        Measured { nats: self.nats, measure }
    }
}

impl Unit {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Byte => "byte",
            Self::Token => "token",
        }
    }
}

impl Measure {
    /// Losses for each byte.
    pub const BYTES: Self = Self { unit: Unit::Byte, bytes_per_token: None };

    /// A loss of so many nats for each unit, in nats for each byte; none where the bytes of a token are not
    /// known.
    pub fn nats_per_byte(self, nats: f64) -> Option<f64> {
        match self.unit {
            Unit::Byte => Some(nats),
            Unit::Token => self.bytes_per_token.map(|bytes| nats / bytes),
        }
    }

    /// The same in bits for each byte: nats / (ln 2 · bytes).
    pub fn bits_per_byte(self, nats: f64) -> Option<f64> {
        self.nats_per_byte(nats).map(|nats| nats / LN_2)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nats, measure } = *self;
        write!(f, "{nats:.4} nats/{} (", measure.unit.name())?;
        if let Some(bits) = measure.bits_per_byte(nats) {
            write!(f, "{bits:.4} bits/byte, ")?;
        }
        write!(f, "perplexity {:.3})", nats.exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_drawn_from_all_equally_is_eight_bits() {
        let loss = HeldOutLoss { nats: 256_f64.ln(), predictions: 1 };
        assert!((Measure::BYTES.bits_per_byte(loss.nats).unwrap() - 8.0).abs() < 1e-12);
        assert!((loss.perplexity() - 256.0).abs() < 1e-9);
        let told = loss.measured(Measure::BYTES).to_string();
        assert_eq!(told, "5.5452 nats/byte (8.0000 bits/byte, perplexity 256.000)");
    }

    #[test]
    fn a_token_is_worth_its_bytes_where_they_are_known() {
        let loss = HeldOutLoss { nats: 2.0 * LN_2, predictions: 1 };
        let of = |bytes_per_token| Measure { unit: Unit::Token, bytes_per_token };
        let told = loss.measured(of(Some(4.0))).to_string();
        assert_eq!(told, "1.3863 nats/token (0.5000 bits/byte, perplexity 4.000)");
        let told = loss.measured(of(None)).to_string();
        assert_eq!(told, "1.3863 nats/token (perplexity 4.000)");
    }
}
