//! [`Dense`]: a projection with real weights.

use ternary_core::{Real, mutant};

use super::bias::Bias;
use super::{Lookup, Projection, check_backward, check_forward, check_look_up};
use crate::compute::Compute;
use crate::error::{Error, Result, check_size};
use crate::gradients::Gradients;
use crate::input::Input;
use crate::module::{Memory, Module, Tensor, Values, ValuesMut};
use crate::noise::Draw;
use crate::ops::{LinearShape, embedding, linear, linear_backward, linear_input_gradient};
use crate::parameters::{ParameterId, Parameters};
use crate::tape::Tape;

/// y = x · Wᵀ + b with real weights `[outputs, inputs]`.
///
/// ```
/// use nn::{Dense, Gradients, Input, Parameters, Projection, Tape};
///
/// let mut parameters = Parameters::new();
/// let layer = Dense::from_weight("head", 3, vec![1.0_f32, 0.0, 2.0, 0.0, 1.0, -1.0], &mut parameters)?;
/// let mut tape = Tape::recording();
/// let mut input = Input::new("head", vec![1.0, 2.0, 3.0], 3)?;
/// let mut y = [0.0; 2];
/// layer.forward(&mut input, &mut y, &mut tape)?;
/// assert_eq!(y, [7.0, -1.0]);
///
/// let mut gradients = Gradients::zeros(&parameters);
/// let mut dx = [0.0; 3];
/// layer.backward(&input, &[1.0, 1.0], Some(&mut dx), &mut tape, &mut gradients)?;
/// assert_eq!(dx, [1.0, 1.0, 1.0]);
/// # Ok::<(), nn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Dense<T> {
    name: String,
    weight_name: String,
    inputs: usize,
    outputs: usize,
    weight: Vec<T>,
    id: ParameterId,
    bias: Option<Bias<T>>,
}

impl<T: Real> Dense<T> {
    /// Takes weights `[outputs, inputs]`, declared as `{name}.weight`.
    ///
    /// # Errors
    /// [`Error::Shape`] for partial rows, [`Error::Parameter`] for a name that is taken.
    pub fn from_weight(
        name: &str,
        inputs: usize,
        weight: Vec<T>,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let outputs = weight.len().checked_div(inputs).unwrap_or(0);
        check_size(name, "numbers in rows of weights", outputs * inputs, weight.len())?;
        let weight_name = format!("{name}.weight");
        let id = parameters.declare(weight_name.clone(), &[outputs, inputs])?;
        Ok(Self { name: name.to_owned(), weight_name, inputs, outputs, weight, id, bias: None })
    }

    /// Draws weights from a Gaussian of standard deviation `deviation`, keyed by the seed and the
    /// parameter's place.
    ///
    /// # Errors
    /// As [`Dense::from_weight`], and [`Error::Parameter`] for a shape beyond the address space.
    pub fn random(
        name: &str,
        [outputs, inputs]: [usize; 2],
        deviation: f64,
        seed: u64,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let weight = gaussian(name, [outputs, inputs], deviation, seed, parameters)?;
        Self::from_weight(name, inputs, weight, parameters)
    }

    /// Adds a bias of zeros, declared as `{name}.bias`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a name that is taken.
    pub fn with_bias(mut self, parameters: &mut Parameters) -> Result<Self> {
        self.bias = Some(Bias::declare(&self.name, self.outputs, parameters)?);
        Ok(self)
    }

    /// The bias, to be changed.
    pub fn bias_mut(&mut self) -> Option<&mut [T]> {
        self.bias.as_mut().map(|bias| &mut bias.values[..])
    }

    /// The weights, row-major.
    pub fn weight(&self) -> &[T] {
        &self.weight
    }

    fn shape(&self, rows: usize) -> LinearShape {
        LinearShape { rows, inputs: self.inputs, outputs: self.outputs }
    }
}

/// Normal numbers times `deviation` for the weight of `name`, which is the parameter declared next.
pub(super) fn gaussian<T: Real>(
    name: &str,
    [outputs, inputs]: [usize; 2],
    deviation: f64,
    seed: u64,
    parameters: &Parameters,
) -> Result<Vec<T>> {
    let limit = isize::MAX as usize / size_of::<f64>();
    let Some(count) = outputs.checked_mul(inputs).filter(|&count| count <= limit) else {
        let problem = "does not fit the address space";
        return Err(Error::Parameter { name: format!("{name}.weight"), problem });
    };
    let mut normal = vec![0.0_f32; count];
    Draw::Initial.noise(seed, parameters.next(), 0).fill_normal(0, &mut normal);
    Ok(normal.into_iter().map(|z| T::from_f64(deviation * f64::from(z))).collect())
}

impl<T: Real> Module<T> for Dense<T> {
    fn visit(&self, visit: &mut dyn FnMut(Tensor<'_, T>)) {
        visit(Tensor {
            name: &self.weight_name,
            id: Some(self.id),
            values: Values::Real(&self.weight),
        });
        if let Some(bias) = &self.bias {
            visit(Tensor {
                name: &bias.name,
                id: Some(bias.id),
                values: Values::Real(&bias.values),
            });
        }
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(ParameterId, ValuesMut<'_, T>)) {
        visit(self.id, ValuesMut::Real(&mut self.weight));
        if let Some(bias) = &mut self.bias {
            visit(bias.id, ValuesMut::Real(&mut bias.values));
        }
    }

    fn visit_identities(&mut self, visit: &mut dyn FnMut(&mut ParameterId)) {
        visit(&mut self.id);
        self.bias.iter_mut().for_each(|bias| visit(&mut bias.id));
    }

    fn memory(&self) -> Memory {
        let bias = self.bias.as_ref().map_or(0, Bias::size_bytes);
        let names = self.name.capacity() + self.weight_name.capacity();
        let other = self.weight.capacity() * size_of::<T>() + names + bias;
        Memory { other, ..Memory::default() }
    }
}

impl<T: Compute> Projection<T> for Dense<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn forward(&self, input: &mut Input<T>, y: &mut [T], tape: &mut Tape<T>) -> Result<()> {
        check_forward(self, input, y)?;
        linear(self.shape(input.rows()), input.values(&self.name)?, &self.weight, y)?;
        if !self.id.is_frozen() {
            input.keep_values();
        }
        self.bias.as_ref().map_or(Ok(()), |bias| bias.add(y, tape))
    }

    fn backward(
        &self,
        input: &Input<T>,
        dy: &[T],
        dx: Option<&mut [T]>,
        _: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        check_backward(self, input, dy, dx.as_deref())?;
        let dx = mutant!("Dense/dx left out", dx, None);
        let shape = self.shape(input.rows());
        if let Some(dw) = gradients.get_mut(self.id) {
            let x = input.values(&self.name)?;
            linear_backward(shape, x, &self.weight, dy, dx, dw)?;
            mutant!("Dense/dW twice", { linear_backward(shape, x, &self.weight, dy, None, dw)? });
        } else if let Some(dx) = dx {
            linear_input_gradient(shape, &self.weight, dy, dx)?;
        }
        match mutant!("Dense/bias gradient left out", &self.bias, &None) {
            Some(bias) => bias.backward(dy, gradients),
            None => Ok(()),
        }
    }
}

impl<T: Compute> Lookup<T> for Dense<T> {
    fn look_up(&self, tokens: &[u32], y: &mut [T]) -> Result<()> {
        check_look_up(self, tokens, y)?;
        embedding(&self.weight, self.inputs, tokens, y)
    }

    fn weight_gradient<'a>(&self, gradients: &'a mut Gradients<T>) -> Option<&'a mut [T]> {
        gradients.get_mut(self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projection::{BitLinear, BitLinearOptions};

    #[test]
    fn a_token_that_the_table_does_not_have_is_named_with_the_table() {
        let table =
            Dense::from_weight("embed", 2, vec![0.5_f32; 6], &mut Parameters::new()).unwrap();
        let error = table.look_up(&[2, 0, 3], &mut [0.0; 6]).unwrap_err();
        let expected = "embed: token at position 2: expected one of 3, found 3";
        assert_eq!(error.to_string(), expected);
        let error = table.look_up(&[2], &mut [0.0; 3]).unwrap_err();
        assert_eq!(error.to_string(), "embed: rows of tokens: expected 2, found 3");
    }

    #[test]
    fn random_weights_beyond_the_address_space_are_refused() {
        for shape in [[usize::MAX, 3], [1 << 31, 1 << 31]] {
            let mut parameters = Parameters::new();
            let dense = Dense::<f32>::random("w", shape, 1.0, 1, &mut parameters).map(|_| ());
            assert!(matches!(dense, Err(Error::Parameter { .. })));
            let options = BitLinearOptions::default();
            let ternary = BitLinear::<f32>::random("w", shape, 1.0, 1, options, &mut parameters);
            assert!(matches!(ternary.map(|_| ()), Err(Error::Parameter { .. })));
        }
    }
}
