//! What a [`BitLinear`](crate::BitLinear) can be asked for.

use std::sync::Arc;

use ste::{AnyEstimator, Identity};
use ternary_core::quantize::Absmean;
use ternary_core::{Granularity, Packing, Quantizer};

use crate::error::{Error, Result};
use crate::projection::{Activations, LearnedLevels};

/// How a [`BitLinear`](crate::BitLinear) quantises and what passes back.
#[derive(Debug, Clone)]
pub struct BitLinearOptions {
    /// The rule that makes latent weights ternary.
    pub quantizer: Arc<dyn Quantizer>,
    /// What stands in for the derivative of that rule.
    pub estimator: Arc<dyn AnyEstimator>,
    /// Levels that each layer learns, with their own estimator, in place of those two.
    pub learned: Option<LearnedLevels>,
    /// Whether those levels are not its own but those of a group, which
    /// [`SharedLevels`](crate::SharedLevels) fits or learns; they are per tensor then.
    pub is_shared: bool,
    /// How activations enter the product.
    pub activations: Activations,
    /// How trits are packed.
    pub packing: Packing,
    /// ρ of the running average of the levels, l ← ρ·l + (1 − ρ)·fit, from the first fit on; 0 takes
    /// each fit as it is.
    pub scale_average: f32,
    /// a of the noise that codes are decided under: trits of w + a·Δ·u with u uniform on (−1, 1),
    /// drawn anew at every update. Its mean is 0, and 0 turns it off.
    pub boundary_noise: f32,
    /// λ of Tequila, which makes weights that are quantised to zero a bias of their output; 0 turns it off.
    pub dead_bias: f32,
}

impl Default for BitLinearOptions {
    /// BitNet b1.58: absmean per tensor, straight through, int8 activations.
    fn default() -> Self {
        Self {
            quantizer: Arc::new(Absmean::new(Granularity::Tensor)),
            estimator: Arc::new(Identity),
            learned: None,
            is_shared: false,
            activations: Activations::Int8,
            packing: Packing::TwoBit,
            scale_average: 0.0,
            boundary_noise: 0.0,
            dead_bias: 0.0,
        }
    }
}

impl BitLinearOptions {
    /// What stands in for the derivative of the rule, fitted or learned.
    pub(super) fn estimator(&self) -> &dyn AnyEstimator {
        match self.learned {
            Some(learned) => learned.rule.estimator(),
            None => &*self.estimator,
        }
    }

    /// How many weights share a scale.
    fn granularity(&self) -> Granularity {
        self.learned.map_or(self.quantizer.granularity(), |learned| learned.granularity)
    }

    /// Checks what does not go together.
    pub(in crate::projection) fn check(&self, layer: &str) -> Result<()> {
        let wrong = |what, expected, found| {
            Err(Error::Setting { layer: layer.to_owned(), what, expected, found })
        };
        let setting = |what, expected, found: f32| wrong(what, expected, found.to_string());
        if self.is_shared && self.granularity() != Granularity::Tensor {
            let found = format!("{:?}", self.granularity());
            return wrong("granularity of shared levels", "tensor: there is one scale", found);
        }
        if !(0.0..1.0).contains(&self.scale_average) {
            return setting("running average of the scale", "0 up to below 1", self.scale_average);
        }
        if self.learned.is_some() && self.scale_average != 0.0 {
            let what = "running average of a learned scale";
            return setting(what, "0: what an optimiser changes is no average", self.scale_average);
        }
        if !(self.boundary_noise >= 0.0 && self.boundary_noise.is_finite()) {
            return setting("boundary noise", "a finite number of at least 0", self.boundary_noise);
        }
        if !(self.dead_bias >= 0.0 && self.dead_bias.is_finite()) {
            let what = "bias of weights that are zero";
            return setting(what, "a finite number of at least 0", self.dead_bias);
        }
        Ok(())
    }
}
