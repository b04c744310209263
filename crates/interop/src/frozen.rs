//! [`read`]: a matrix of a file as a layer, kept as a [`Base`] says.

use half::{bf16, f16};
use models::{Base, Matrix};
use nn::{Activations, Compute, Parameters};
use ternary_core::Weights;

use crate::arrays::{read_bf16, read_f16, read_reals};
use crate::error::Problem;
use crate::safetensors::Dtype;

/// The numbers of a tensor in its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers<'a> {
    /// Its name there.
    pub(crate) tensor: &'a str,
    pub(crate) dtype: Dtype,
    pub(crate) bytes: &'a [u8],
}

/// A matrix `[outputs, inputs]` as `base` says. Beside it no more is held than its numbers in the type of the file, until
/// this returns.
pub(crate) fn read<T: Compute>(
    name: &str,
    shape: [usize; 2],
    base: Base,
    activations: Activations,
    numbers: Numbers<'_>,
    parameters: &mut Parameters,
) -> Result<Matrix<T>, Problem> {
    let [_, inputs] = shape;
    Ok(match base {
        Base::F32 => {
            let Numbers { tensor, dtype, bytes } = numbers;
            Matrix::dense(name, inputs, read_reals(tensor, dtype, bytes)?, parameters)?
        }
        Base::Bf16 => match Stored::read(numbers)? {
            Stored::Bf16(values) => Matrix::bf16(name, inputs, values)?,
            other => Matrix::rounded(name, shape, other.weights())?,
        },
        Base::Ternary => {
            let values = Stored::read(numbers)?;
            Matrix::quantized(name, shape, values.weights(), activations)?
        }
    })
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
