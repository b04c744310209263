//! [`Matrix`]: a matrix of a file as a layer, kept as a [`Base`] says.

use half::{bf16, f16};
use models::Base;
use nn::{Activations, Bf16Linear, Compute, Dense, Lookup, Parameters, Projection, TernaryLinear};
use ternary_core::quantize::Absmean;
use ternary_core::{Granularity, Packing, Weights};

use crate::arrays::{read_bf16, read_f16, read_reals};
use crate::error::Problem;
use crate::safetensors::Dtype;

/// How trits are packed that are quantised here: 1.6 bits each, a tenth of `bf16`.
const PACKING: Packing = Packing::FiveTrits;

/// A matrix of one of the kinds that a model which stays as it is can have.
#[derive(Debug)]
pub(crate) enum Matrix<T> {
    Dense(Dense<T>),
    Bf16(Bf16Linear),
    Ternary(TernaryLinear),
}

/// The numbers of a tensor in its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers<'a> {
    /// Its name there.
    pub(crate) tensor: &'a str,
    pub(crate) dtype: Dtype,
    pub(crate) bytes: &'a [u8],
}

impl<T: Compute> Matrix<T> {
    /// Real numbers as they are, declared as `{name}.weight`.
    pub(crate) fn dense(
        name: &str,
        inputs: usize,
        values: Vec<T>,
        parameters: &mut Parameters,
    ) -> Result<Self, Problem> {
        let layer = Dense::from_weight(name, inputs, values, parameters);
        Ok(Self::Dense(layer.map_err(models::Error::from)?))
    }

    /// A matrix `[outputs, inputs]` as `base` says. Beside it no more is held than its numbers in the type of the file,
    /// until this returns.
    pub(crate) fn read(
        name: &str,
        shape: [usize; 2],
        base: Base,
        activations: Activations,
        numbers: Numbers<'_>,
        parameters: &mut Parameters,
    ) -> Result<Self, Problem> {
        let [_, inputs] = shape;
        let layer = |error: nn::Error| Problem::from(models::Error::from(error));
        Ok(match base {
            Base::F32 => {
                let Numbers { tensor, dtype, bytes } = numbers;
                return Self::dense(name, inputs, read_reals(tensor, dtype, bytes)?, parameters);
            }
            Base::Bf16 => Self::Bf16(match Stored::read(numbers)? {
                Stored::Bf16(values) => Bf16Linear::new(name, inputs, values).map_err(layer)?,
                other => Bf16Linear::round(name, inputs, other.weights()).map_err(layer)?,
            }),
            Base::Ternary => {
                let (values, rule) = (Stored::read(numbers)?, Absmean::new(Granularity::Tensor));
                let matrix = TernaryLinear::quantize(name, shape, values.weights(), &rule, PACKING);
                Self::Ternary(matrix.map_err(layer)?.with_activations(activations))
            }
        })
    }

    /// The same with a number to be added to each output.
    pub(crate) fn with_bias(
        self,
        bias: &[T],
        parameters: &mut Parameters,
    ) -> Result<Self, models::Error> {
        let single = || bias.iter().map(|number| number.to_f32()).collect();
        Ok(match self {
            Self::Dense(layer) => {
                let mut layer = layer.with_bias(parameters)?;
                if let Some(own) = layer.bias_mut() {
                    own.copy_from_slice(bias);
                }
                Self::Dense(layer)
            }
            Self::Bf16(layer) => Self::Bf16(layer.with_bias(single())?),
            Self::Ternary(layer) => Self::Ternary(layer.with_bias(single())?),
        })
    }

    pub(crate) fn projection(self) -> Box<dyn Projection<T>> {
        match self {
            Self::Dense(layer) => Box::new(layer),
            Self::Bf16(layer) => Box::new(layer),
            Self::Ternary(layer) => Box::new(layer),
        }
    }

    pub(crate) fn table(self) -> Box<dyn Lookup<T>> {
        match self {
            Self::Dense(layer) => Box::new(layer),
            Self::Bf16(layer) => Box::new(layer),
            Self::Ternary(layer) => Box::new(layer),
        }
    }
}

/// Finite numbers in the type of their file, or the nearest `f32` for those of 64 bits.
enum Stored {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    F16(Vec<f16>),
}

impl Stored {
    fn read(Numbers { tensor, dtype, bytes }: Numbers<'_>) -> Result<Self, Problem> {
        Ok(match dtype {
            Dtype::Bf16 => Self::Bf16(read_bf16(tensor, bytes)?),
            Dtype::F16 => Self::F16(read_f16(tensor, bytes)?),
            _ => Self::F32(read_reals(tensor, dtype, bytes)?),
        })
    }

    fn weights(&self) -> Weights<'_> {
        match self {
            Self::F32(values) => Weights::F32(values),
            Self::Bf16(values) => Weights::Bf16(values),
            Self::F16(values) => Weights::F16(values),
        }
    }
}
