//! Where the weights of a model come from.

use half::bf16;
use nn::{
    BitLinear, BitLinearOptions, Compute, Dense, GridLinear, Lookup, Parameters, Projection,
    ShadowPrecision,
};

use crate::error::{Error, Result};

/// Gives a decoder its weights while it is built: random ones ([`Initial`]), or those of a file. Every
/// tensor is asked for once, by its full name.
pub trait WeightSource<T> {
    /// What can go wrong.
    type Error: From<Error>;

    /// A projection; its weights are called `{name}.weight`.
    ///
    /// # Errors
    /// When there is none of that name and shape, as the other two.
    fn projection(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Projection<T>>, Self::Error>;

    /// A table to look rows up in, `{name}.weight`.
    ///
    /// # Errors
    /// As [`WeightSource::projection`].
    fn table(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Lookup<T>>, Self::Error>;

    /// The gain of a norm, called `name`.
    ///
    /// # Errors
    /// As [`WeightSource::projection`].
    fn gain(&mut self, name: &str, width: usize) -> Result<Vec<T>, Self::Error>;
}

/// How weights that train are kept.
#[derive(Debug, Clone)]
pub enum WeightKind {
    /// Real weights everywhere.
    Dense,
    /// Ternary projections.
    Ternary {
        /// How they quantise.
        options: BitLinearOptions,
        /// How their latent weights are kept.
        shadow: Shadow,
        /// Whether the embedding is ternary too, and with it a tied head.
        embedding: bool,
        /// Whether an untied head is ternary too.
        head: bool,
    },
}

/// The precision of latent weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Shadow {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits.
    Bf16,
    /// There are none: ternary weights train as they are ([`GridLinear`]).
    None,
}

/// Random weights to train from: Gaussian with deviation 1/√inputs, and gains of 1.
#[derive(Debug, Clone)]
pub struct Initial {
    /// Seed of the weights.
    pub seed: u64,
    /// How they are kept.
    pub kind: WeightKind,
}

/// The name of an untied head.
pub(crate) const HEAD: &str = "lm_head";

impl Initial {
    fn bit_linear<P: ShadowPrecision>(
        &self,
        name: &str,
        shape: [usize; 2],
        options: &BitLinearOptions,
        parameters: &mut Parameters,
    ) -> nn::Result<BitLinear<P>> {
        let options = options.clone();
        BitLinear::random(name, shape, deviation(shape), self.seed, options, parameters)
    }

    fn grid(
        &self,
        name: &str,
        shape: [usize; 2],
        options: &BitLinearOptions,
        parameters: &mut Parameters,
    ) -> nn::Result<GridLinear> {
        GridLinear::random(name, shape, deviation(shape), self.seed, options, parameters)
    }

    fn dense<T: Compute>(
        &self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> nn::Result<Dense<T>> {
        Dense::random(name, shape, deviation(shape), self.seed, parameters)
    }
}

/// 1/√inputs: rows of unit size stay so.
fn deviation([_, inputs]: [usize; 2]) -> f64 {
    1.0 / (inputs as f64).sqrt()
}

impl<T: Compute> WeightSource<T> for Initial {
    type Error = Error;

    fn projection(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Projection<T>>> {
        match &self.kind {
            WeightKind::Ternary { options, shadow, head, .. } if *head || name != HEAD => {
                Ok(match shadow {
                    Shadow::F32 => {
                        Box::new(self.bit_linear::<f32>(name, shape, options, parameters)?)
                    }
                    Shadow::Bf16 => {
                        Box::new(self.bit_linear::<bf16>(name, shape, options, parameters)?)
                    }
                    Shadow::None => Box::new(self.grid(name, shape, options, parameters)?),
                })
            }
            _ => Ok(Box::new(self.dense::<T>(name, shape, parameters)?)),
        }
    }

    fn table(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Lookup<T>>> {
        match &self.kind {
            WeightKind::Ternary { options, shadow, embedding: true, .. } => {
                // Rows that are looked up have no bias, so a head that is tied to them has none.
                let options = &BitLinearOptions { dead_bias: 0.0, ..options.clone() };
                Ok(match shadow {
                    Shadow::F32 => {
                        Box::new(self.bit_linear::<f32>(name, shape, options, parameters)?)
                    }
                    Shadow::Bf16 => {
                        Box::new(self.bit_linear::<bf16>(name, shape, options, parameters)?)
                    }
                    Shadow::None => Box::new(self.grid(name, shape, options, parameters)?),
                })
            }
            _ => Ok(Box::new(self.dense::<T>(name, shape, parameters)?)),
        }
    }

    fn gain(&mut self, _: &str, width: usize) -> Result<Vec<T>> {
        Ok(vec![T::ONE; width])
    }
}
