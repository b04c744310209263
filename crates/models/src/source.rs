//! Where the weights of a model come from.

mod base;
mod matrix;
mod start;

use half::bf16;
use nn::{
    BitLinear, BitLinearOptions, Compute, Dense, GridLinear, Lookup, Parameters, Projection,
    ScaleSync, ShadowPrecision, SharedLevels,
};

use crate::error::{Error, Result};
use crate::numbers::Numbers;

pub use self::base::Base;
pub use self::matrix::Matrix;
pub use self::start::{Given, Start};

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
        role: Role,
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

    /// Numbers that are no matrix, called `name`, for a tensor of this shape that is declared next.
    ///
    /// # Errors
    /// As [`WeightSource::projection`].
    fn numbers(
        &mut self,
        name: &str,
        shape: &[usize],
        kind: Numbers,
        parameters: &mut Parameters,
    ) -> Result<Vec<T>, Self::Error>;

    /// The levels that the projections of one expert, or of all channels of one block, have in common: of
    /// what is called `name`, asked for before them. None where they share none at this scope, as in any source of weights
    /// that do not train.
    ///
    /// # Errors
    /// For weights that cannot share levels.
    fn levels(
        &mut self,
        _scope: ScaleSync,
        _name: &str,
        _parameters: &mut Parameters,
    ) -> Result<Option<SharedLevels>, Self::Error> {
        Ok(None)
    }
}

/// What a projection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Attention and delta nets: between positions.
    Attention,
    /// What a delta net forgets and writes by, a number or two for each head: as attention, where a model trains.
    DeltaGate,
    /// Feed-forward nets and experts: within a position. Their levels may be those of an expert or of a block.
    Channels,
    /// Per-layer embeddings. Their levels may be those of a block.
    PerLayer,
    /// The router of a mixture, or a gate: real in any model.
    Router,
    /// The scores of tokens.
    Head,
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
        /// Whose levels are shared.
        sync: ScaleSync,
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

/// Random weights to train from: Gaussian with deviation 1/√inputs. Norms multiply by 1. Of delta nets, taps are uniform
/// in ±1/√taps, A in 1 to 16, and the logarithm of softplus(bias) between those of 0.001 and 0.1, as in Mamba-2
/// (arXiv 2405.21060) and in the reference implementation of the rule.
#[derive(Debug, Clone)]
pub struct Initial {
    /// Seed of the weights.
    pub seed: u64,
    /// How they are kept.
    pub kind: WeightKind,
}

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

    /// A weight that is kept as this kind says, or real without options.
    fn weight<T: Compute>(
        &self,
        name: &str,
        shape: [usize; 2],
        options: Option<(BitLinearOptions, Shadow)>,
        given: Option<Vec<f32>>,
        parameters: &mut Parameters,
    ) -> nn::Result<Weight<T>> {
        let Some((options, shadow)) = options else {
            return Ok(Weight::Dense(self.dense(name, shape, given, parameters)?));
        };
        Ok(match shadow {
            Shadow::F32 => Weight::F32(self.bit_linear(name, shape, &options, given, parameters)?),
            Shadow::Bf16 => {
                Weight::Bf16(self.bit_linear(name, shape, &options, given, parameters)?)
            }
            Shadow::None => Weight::Grid(self.grid(name, shape, &options, given, parameters)?),
        })
    }

    fn projection<T: Compute>(
        &self,
        name: &str,
        shape: [usize; 2],
        role: Role,
        given: Option<Vec<f32>>,
        parameters: &mut Parameters,
    ) -> nn::Result<Box<dyn Projection<T>>> {
        let options = match &self.kind {
            WeightKind::Ternary { options, shadow, head, sync, .. }
                if role != Role::Router && (role != Role::Head || *head) =>
            {
                let is_shared = match role {
                    Role::Channels => *sync != ScaleSync::PerMatrix,
                    Role::PerLayer => *sync == ScaleSync::PerBlock,
                    Role::Attention | Role::DeltaGate | Role::Router | Role::Head => false,
                };
                Some((BitLinearOptions { is_shared, ..options.clone() }, *shadow))
            }
            _ => None,
        };
        Ok(match self.weight::<T>(name, shape, options, given, parameters)? {
            Weight::Dense(layer) => Box::new(layer),
            Weight::F32(layer) => Box::new(layer),
            Weight::Bf16(layer) => Box::new(layer),
            Weight::Grid(layer) => Box::new(layer),
        })
    }

    fn table<T: Compute>(
        &self,
        name: &str,
        shape: [usize; 2],
        given: Option<Vec<f32>>,
        parameters: &mut Parameters,
    ) -> nn::Result<Box<dyn Lookup<T>>> {
        let options = match &self.kind {
            WeightKind::Ternary { options, shadow, embedding: true, .. } => {
                // Rows that are looked up have no bias, so a head that is tied to them has none.
                Some((BitLinearOptions { dead_bias: 0.0, ..options.clone() }, *shadow))
            }
            _ => None,
        };
        Ok(match self.weight::<T>(name, shape, options, given, parameters)? {
            Weight::Dense(layer) => Box::new(layer),
            Weight::F32(layer) => Box::new(layer),
            Weight::Bf16(layer) => Box::new(layer),
            Weight::Grid(layer) => Box::new(layer),
        })
    }

    fn levels(
        &self,
        scope: ScaleSync,
        name: &str,
        parameters: &mut Parameters,
    ) -> Result<Option<SharedLevels>> {
        match &self.kind {
            WeightKind::Ternary { options, shadow, sync, .. } if *sync == scope => {
                if *shadow == Shadow::None {
                    return Err(Error::Config {
                        field: "sync",
                        expected: "per-matrix without latent weights: their scales stay as they are",
                        found: sync.to_string(),
                    });
                }
                Ok(Some(SharedLevels::declare(name, options, parameters)?))
            }
            _ => Ok(None),
        }
    }
}

/// A weight of any kind.
enum Weight<T> {
    Dense(Dense<T>),
    F32(BitLinear<f32>),
    Bf16(BitLinear<bf16>),
    Grid(GridLinear),
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
        role: Role,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Projection<T>>> {
        Ok(Self::projection(self, name, shape, role, None, parameters)?)
    }

    fn table(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Lookup<T>>> {
        Ok(Self::table(self, name, shape, None, parameters)?)
    }

    fn numbers(
        &mut self,
        _: &str,
        shape: &[usize],
        kind: Numbers,
        parameters: &mut Parameters,
    ) -> Result<Vec<T>> {
        Ok(kind.initial(shape, self.seed, parameters))
    }

    fn levels(
        &mut self,
        scope: ScaleSync,
        name: &str,
        parameters: &mut Parameters,
    ) -> Result<Option<SharedLevels>> {
        Self::levels(self, scope, name, parameters)
    }
}
