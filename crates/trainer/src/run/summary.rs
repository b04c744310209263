//! A run in one line.

use std::fmt;
use std::path::PathBuf;

use super::loss::HeldOutLoss;
use super::vitals::Vitals;

/// What came out of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The loss on the held-out text after the last step.
    pub held_out: HeldOutLoss,
    /// Steps of the optimiser.
    pub steps: u32,
    /// Seconds from reading the text to the saved model.
    pub seconds: f64,
    /// Bytes predicted in training, in a second of training.
    pub tokens_per_second: f64,
    /// Seconds of it that mining took, if there was any.
    pub mining_seconds: Option<f64>,
    /// Seconds of it that FOGZO's probes took, if there were any.
    pub fogzo_seconds: Option<f64>,
    /// The vital signs of the ternary weights, if there were any that trained.
    pub vitals: Option<Vitals>,
    /// The saved model.
    pub model: PathBuf,
}

impl Summary {
    /// The same as a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "held_out": self.held_out.nats_per_byte,
            "perplexity": self.held_out.perplexity(),
            "predictions": self.held_out.predictions,
            "steps": self.steps,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second,
            "model": self.model,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held_out, steps, seconds, tokens_per_second, .. } = self;
        write!(f, "held-out loss {held_out} after {steps} steps in {seconds:.1} s, ")?;
        write!(f, "{tokens_per_second:.0} tokens/s")?;
        for (seconds, what) in [(self.mining_seconds, "mining"), (self.fogzo_seconds, "FOGZO")] {
            if let Some(seconds) = seconds {
                write!(f, ", {seconds:.1} s of it for {what}")?;
            }
        }
        if let Some(Vitals { sparsity, flips }) = self.vitals {
            let (zeros, flips) = (100.0 * sparsity, 100.0 * flips);
            write!(f, "; {zeros:.1}% of the trits are 0 and {flips:.3}% changed in a step")?;
        }
        write!(f, "; the model is in {}", self.model.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line_with_loss_steps_time_rate_and_place() {
        let summary = Summary {
            held_out: HeldOutLoss { nats_per_byte: 1.0, predictions: 256 },
            steps: 400,
            seconds: 83.21,
            tokens_per_second: 9876.5,
            mining_seconds: None,
            fogzo_seconds: None,
            vitals: None,
            model: "runs/tiny-0001/model".into(),
        };
        assert_eq!(
            summary.to_string(),
            "held-out loss 1.0000 nats/byte (1.4427 bits/byte, perplexity 2.718) after 400 steps in \
             83.2 s, 9876 tokens/s; the model is in runs/tiny-0001/model"
        );
        let told = Summary { fogzo_seconds: Some(20.04), ..summary.clone() }.to_string();
        assert!(told.contains("tokens/s, 20.0 s of it for FOGZO; the model"), "{told}");
        let vitals = Some(Vitals { sparsity: 0.3127, flips: 0.00125 });
        let told = Summary { vitals, ..summary }.to_string();
        let signs = "; 31.3% of the trits are 0 and 0.125% changed in a step; the model";
        assert!(told.contains(signs), "{told}");
    }
}
