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

    /// A projection whose weights are real in any model: the router of a mixture, or a gate.
    ///
    /// # Errors
    /// As [`WeightSource::projection`].
    fn dense(
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

/// Weights to train from that are given by the names of their tensors, and random ones where none are.
pub struct Start<'a, E> {
    /// Where there are none, and how all are kept.
    pub initial: Initial,
    /// The values of a tensor by its name and shape, or nothing.
    pub values: &'a mut dyn FnMut(&str, &[usize]) -> Result<Option<Vec<f32>>, E>,
}

/// The name of an untied head.
pub(crate) const HEAD: &str = "lm_head";

impl Initial {
    fn bit_linear<P: ShadowPrecision>(
        &self,
        name: &str,
        shape: [usize; 2],
        options: &BitLinearOptions,
        given: Option<Vec<f32>>,
        parameters: &mut Parameters,
    ) -> nn::Result<BitLinear<P>> {
        let options = options.clone();
        match given {
            Some(values) => {
                let values = values.into_iter().map(P::from_f32).collect();
                BitLinear::from_weight(name, shape[1], values, options, parameters)
            }
            None => {
                let deviation = deviation(shape);
                BitLinear::random(name, shape, deviation, self.seed, options, parameters)
            }
        }
    }

    fn grid(
        &self,
        name: &str,
        shape: [usize; 2],
        options: &BitLinearOptions,
        given: Option<Vec<f32>>,
        parameters: &mut Parameters,
    ) -> nn::Result<GridLinear> {
        match given {
            Some(values) => GridLinear::quantize(name, shape, &values, options, parameters),
            None => {
                GridLinear::random(name, shape, deviation(shape), self.seed, options, parameters)
            }
        }
    }

    fn dense<T: Compute>(
        &self,
        name: &str,
        shape: [usize; 2],
        given: Option<Vec<f32>>,
        parameters: &mut Parameters,
    ) -> nn::Result<Dense<T>> {
        match given {
            Some(values) => {
                let values = values.into_iter().map(T::from_f32).collect();
                Dense::from_weight(name, shape[1], values, parameters)
            }
            None => Dense::random(name, shape, deviation(shape), self.seed, parameters),
        }
    }

    fn projection<T: Compute>(
        &self,
        name: &str,
        shape: [usize; 2],
        given: Option<Vec<f32>>,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Projection<T>>> {
        Ok(match &self.kind {
            WeightKind::Ternary { options, shadow, head, .. } if *head || name != HEAD => {
                match shadow {
                    Shadow::F32 => {
                        Box::new(self.bit_linear::<f32>(name, shape, options, given, parameters)?)
                    }
                    Shadow::Bf16 => {
                        Box::new(self.bit_linear::<bf16>(name, shape, options, given, parameters)?)
                    }
                    Shadow::None => Box::new(self.grid(name, shape, options, given, parameters)?),
                }
            }
            _ => Box::new(self.dense::<T>(name, shape, given, parameters)?),
        })
    }

    fn table<T: Compute>(
        &self,
        name: &str,
        shape: [usize; 2],
        given: Option<Vec<f32>>,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Lookup<T>>> {
        Ok(match &self.kind {
            WeightKind::Ternary { options, shadow, embedding: true, .. } => {
                // Rows that are looked up have no bias, so a head that is tied to them has none.
                let options = &BitLinearOptions { dead_bias: 0.0, ..options.clone() };
                match shadow {
                    Shadow::F32 => {
                        Box::new(self.bit_linear::<f32>(name, shape, options, given, parameters)?)
                    }
                    Shadow::Bf16 => {
                        Box::new(self.bit_linear::<bf16>(name, shape, options, given, parameters)?)
                    }
                    Shadow::None => Box::new(self.grid(name, shape, options, given, parameters)?),
                }
            }
            _ => Box::new(self.dense::<T>(name, shape, given, parameters)?),
        })
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
        Self::projection(self, name, shape, None, parameters)
    }

    fn dense(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Projection<T>>> {
        Ok(Box::new(Self::dense::<T>(self, name, shape, None, parameters)?))
    }

    fn table(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Lookup<T>>> {
        Self::table(self, name, shape, None, parameters)
    }

    fn gain(&mut self, _: &str, width: usize) -> Result<Vec<T>> {
        Ok(vec![T::ONE; width])
    }
}

impl<E> Start<'_, E> {
    fn weight(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<Vec<f32>>, E> {
        (self.values)(&format!("{name}.weight"), &shape)
    }
}

impl<T: Compute, E: From<Error>> WeightSource<T> for Start<'_, E> {
    type Error = E;

    fn projection(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Projection<T>>, E> {
        let given = self.weight(name, shape)?;
        Ok(self.initial.projection(name, shape, given, parameters)?)
    }

    fn dense(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Projection<T>>, E> {
        let given = self.weight(name, shape)?;
        let layer = self.initial.dense::<T>(name, shape, given, parameters);
        Ok(Box::new(layer.map_err(Error::from)?))
    }

    fn table(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Lookup<T>>, E> {
        let given = self.weight(name, shape)?;
        Ok(self.initial.table(name, shape, given, parameters)?)
    }

    fn gain(&mut self, name: &str, width: usize) -> Result<Vec<T>, E> {
        let given = (self.values)(name, &[width])?;
        Ok(given.map_or_else(
            || vec![T::ONE; width],
            |values| values.into_iter().map(T::from_f32).collect(),
        ))
    }
}

impl<E> std::fmt::Debug for Start<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").field("initial", &self.initial).finish_non_exhaustive()
    }
}
