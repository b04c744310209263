//! One matrix in the place of a projection and its adapter.

use nn::ops::{LinearShape, bias, linear, linear_input_gradient};
use nn::{Compute, Error, Input, Projection, Result, Tape, Values};

use super::Lora;
use crate::AdapterError;

/// W + s·B·A, `[outputs, inputs]`, and what the base adds to its outputs.
#[derive(Debug)]
pub(super) struct Merged<T> {
    weight: Vec<T>,
    bias: Option<Vec<T>>,
}

impl<T: Compute> Merged<T> {
    pub(super) fn new(lora: &Lora<T>) -> Result<Self, AdapterError> {
        let weight = lora.merged_weight()?;
        let added = outputs_of(lora.base(), T::ZERO)?;
        let bias = added.iter().any(|&b| b != T::ZERO).then_some(added);
        Ok(Self { weight, bias })
    }

    pub(super) fn forward(&self, layer: &str, input: &Input<T>, y: &mut [T]) -> Result<()> {
        let shape = self.shape(input);
        linear(shape, input.values(layer)?, &self.weight, y)?;
        self.bias.as_ref().map_or(Ok(()), |added| bias(added, y))
    }

    /// dx += dy · (W + s·B·A).
    pub(super) fn backward(&self, input: &Input<T>, dy: &[T], dx: &mut [T]) -> Result<()> {
        linear_input_gradient(self.shape(input), &self.weight, dy, dx)
    }

    fn shape(&self, input: &Input<T>) -> LinearShape {
        let (rows, inputs) = (input.rows(), input.cols());
        LinearShape { rows, inputs, outputs: self.weight.len().checked_div(inputs).unwrap_or(0) }
    }

    pub(super) fn size_bytes(&self) -> usize {
        (self.weight.capacity() + self.bias.as_ref().map_or(0, Vec::capacity)) * size_of::<T>()
    }
}

impl<T: Compute> Lora<T> {
    /// W + s·B·A, `[outputs, inputs]`: of a ternary base W is what its codes and scales mean.
    ///
    /// # Errors
    /// [`Error::Setting`] for a base whose weights cannot be seen, or which computes with others: a layer on its way
    /// from latent to ternary weights, say.
    pub fn merged_weight(&self) -> Result<Vec<T>, AdapterError> {
        let mut weight = base_weight(self.base())?;
        self.adapter.add_to(0..self.adapter.outputs, &mut weight)?;
        Ok(weight)
    }
}

/// The weights of a projection as real numbers, held to what it computes with: each row to what it makes of ones.
fn base_weight<T: Compute>(base: &dyn Projection<T>) -> Result<Vec<T>> {
    let (name, mut weight) = (format!("{}.weight", base.name()), Vec::new());
    base.visit(&mut |tensor| match tensor.values {
        Values::Real(values) if tensor.name == name => weight = values.to_vec(),
        Values::Bf16 { values, .. } if tensor.name == name => {
            weight = values.iter().map(|value| T::from_f32(value.to_f32())).collect();
        }
        Values::Ternary { matrix, .. } if tensor.name == name => {
            weight = matrix.to_f32().into_iter().map(T::from_f32).collect();
        }
        _ => {}
    });
    let unseen = |found| {
        let (layer, what) = (base.name().to_owned(), "weights to be merged");
        let expected = "those that it computes with, real or ternary";
        Err(Error::Setting { layer, what, expected, found })
    };
    let inputs = base.inputs();
    if weight.len() != base.outputs() * inputs {
        return unseen(format!("{} numbers", weight.len()));
    }
    let [added, found] = [T::ZERO, T::ONE].map(|x| outputs_of(base, x));
    let (added, found) = (added?, found?);
    // Codes of int8 are decided in f32, whatever the type of the layer is.
    let share = (f64::from(f32::EPSILON) * 16.0).max(T::EPSILON.to_f64() * (inputs + 16) as f64);
    for (row, weight) in weight.chunks(inputs.max(1)).enumerate() {
        let terms = weight.iter().map(|w| w.abs()).sum::<T>() + added[row].abs();
        let sum = weight.iter().copied().sum::<T>() + added[row];
        if (found[row] - sum).abs().to_f64() > share * terms.to_f64() {
            return unseen(format!("others in row {row}"));
        }
    }
    Ok(weight)
}

/// What a projection makes of a row whose numbers are all `x`.
fn outputs_of<T: Compute>(base: &dyn Projection<T>, x: T) -> Result<Vec<T>> {
    let mut input = Input::new(base.name(), vec![x; base.inputs()], base.inputs())?;
    let mut y = vec![T::ZERO; base.outputs()];
    base.forward(&mut input, &mut y, &mut Tape::inference())?;
    Ok(y)
}
