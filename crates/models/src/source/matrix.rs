//! [`Matrix`]: a matrix that stays as it is, kept as a [`Base`](super::Base) says.

use half::bf16;
use nn::ternary_core::quantize::Absmean;
use nn::ternary_core::{Granularity, Packing, Weights};
use nn::{Activations, Bf16Linear, Compute, Dense, Lookup, Parameters, Projection, TernaryLinear};

use crate::error::{Error, Result};

/// How trits are packed that are quantised: 1.6 bits each, a tenth of `bf16`.
const PACKING: Packing = Packing::FiveTrits;

/// A matrix of one of the kinds that a model which stays as it is can have, for sources of weights ([`WeightSource`]).
///
/// ```
/// use models::{Base, Matrix};
/// use models::nn::{Activations, Parameters, Projection};
/// use models::nn::ternary_core::Weights;
///
/// let (numbers, mut parameters) = ([0.5, -2.0, 0.25, 1.0], Parameters::new());
/// let matrix = Matrix::<f32>::rounded("gate", [1, 4], Weights::F32(&numbers))?;
/// assert_eq!(matrix.projection().inputs(), 4);
/// let (weights, activations) = (Weights::F32(&numbers), Activations::default());
/// let matrix = Matrix::<f32>::quantized("up", [1, 4], weights, activations)?;
/// assert_eq!(matrix.with_bias(&[1.0], &mut parameters)?.projection().outputs(), 1);
/// # Ok::<(), models::Error>(())
/// ```
///
/// [`WeightSource`]: crate::WeightSource
#[derive(Debug)]
pub enum Matrix<T> {
    /// As numbers of the decoder's type: [`Base::F32`](crate::Base::F32).
    Dense(Dense<T>),
    /// Rounded: [`Base::Bf16`](crate::Base::Bf16).
    Bf16(Bf16Linear),
    /// Quantised, or ternary from the start: [`Base::Ternary`](crate::Base::Ternary).
    Ternary(TernaryLinear),
}

impl<T: Compute> Matrix<T> {
    /// Real numbers as they are, declared as `{name}.weight`.
    ///
    /// # Errors
    /// Numbers that are no matrix of so many inputs.
    pub fn dense(
        name: &str,
        inputs: usize,
        values: Vec<T>,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        Ok(Self::Dense(Dense::from_weight(name, inputs, values, parameters)?))
    }

    /// Numbers in `bf16` as they are.
    ///
    /// # Errors
    /// As [`Matrix::dense`].
    pub fn bf16(name: &str, inputs: usize, values: Vec<bf16>) -> Result<Self> {
        Ok(Self::Bf16(Bf16Linear::new(name, inputs, values)?))
    }

    /// Numbers rounded to `bf16`, of a matrix `[outputs, inputs]`.
    ///
    /// # Errors
    /// As [`Matrix::dense`].
    pub fn rounded(name: &str, [_, inputs]: [usize; 2], weights: Weights<'_>) -> Result<Self> {
        Ok(Self::Bf16(Bf16Linear::round(name, inputs, weights)?))
    }

    /// Numbers quantised by the rule of BitNet b1.58 with one scale, of a matrix `[outputs, inputs]`.
    ///
    /// # Errors
    /// As [`Matrix::dense`], and numbers that are not finite.
    pub fn quantized(
        name: &str,
        shape: [usize; 2],
        weights: Weights<'_>,
        activations: Activations,
    ) -> Result<Self> {
        let rule = Absmean::new(Granularity::Tensor);
        let layer = TernaryLinear::quantize(name, shape, weights, &rule, PACKING)?;
        Ok(Self::Ternary(layer.with_activations(activations)))
    }

    /// The same with a number to be added to each output.
    ///
    /// # Errors
    /// Another number of them than outputs.
    pub fn with_bias(self, bias: &[T], parameters: &mut Parameters) -> Result<Self> {
        let single = || bias.iter().map(|number| number.to_f32()).collect();
        Ok(match self {
            Self::Dense(layer) => {
                let mut layer = layer.with_bias(parameters)?;
                let own = layer.bias_mut().unwrap_or_default();
                if own.len() != bias.len() {
                    return Err(Error::Config {
                        field: "bias",
                        expected: "a number for each output",
                        found: format!("{} for {}", bias.len(), own.len()),
                    });
                }
                own.copy_from_slice(bias);
                Self::Dense(layer)
            }
            Self::Bf16(layer) => Self::Bf16(layer.with_bias(single())?),
            Self::Ternary(layer) => Self::Ternary(layer.with_bias(single())?),
        })
    }

    /// To multiply by.
    pub fn projection(self) -> Box<dyn Projection<T>> {
        match self {
            Self::Dense(layer) => Box::new(layer),
            Self::Bf16(layer) => Box::new(layer),
            Self::Ternary(layer) => Box::new(layer),
        }
    }

    /// To look rows up in.
    pub fn table(self) -> Box<dyn Lookup<T>> {
        match self {
            Self::Dense(layer) => Box::new(layer),
            Self::Bf16(layer) => Box::new(layer),
            Self::Ternary(layer) => Box::new(layer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_of_another_length_is_an_error_for_every_kind() {
        let numbers = [0.5_f32, -2.0, 0.25, 1.0, 3.0, -1.0];
        let weights = || Weights::F32(&numbers);
        let mut parameters = Parameters::new();
        let dense = Matrix::dense("dense", 3, numbers.to_vec(), &mut parameters).unwrap();
        let rounded = Matrix::rounded("rounded", [2, 3], weights()).unwrap();
        let activations = Activations::default();
        let ternary = Matrix::quantized("ternary", [2, 3], weights(), activations).unwrap();
        for matrix in [dense, rounded, ternary] {
            assert!(matrix.with_bias(&[1.0, 2.0, 3.0], &mut parameters).is_err());
        }
        let values = numbers.map(bf16::from_f32).to_vec();
        let matrix = Matrix::<f32>::bf16("bf16", 3, values).unwrap();
        let matrix = matrix.with_bias(&[1.0, 2.0], &mut parameters).unwrap().projection();
        assert_eq!((matrix.outputs(), matrix.inputs()), (2, 3));
    }
}
