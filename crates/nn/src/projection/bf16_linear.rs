//! [`Bf16Linear`]: a frozen projection whose weights are kept in `bf16`.

use half::bf16;
use ternary_core::kernels::{DenseOperand, Store};
use ternary_core::profile::span;
use ternary_core::{Real, Weights, mutant};

use super::bias::add_to_rows;
use super::{Lookup, Projection, check_backward, check_forward, look_up_rows};
use crate::compute::Compute;
use crate::error::{Error, InLayer, Result, check_size};
use crate::gradients::Gradients;
use crate::input::Input;
use crate::module::{Memory, Module, Tensor, Values};
use crate::tape::Tape;

/// y = x · Wᵀ (+ b) with frozen weights in `bf16` and a frozen bias: a [`Dense`](crate::Dense) layer in half the memory.
/// Gradients flow through it; it has none of its own.
///
/// ```text
/// y   = x · Wᵀ + b
/// dx += dy · W
/// ```
///
/// Weights are widened panel by panel as a product needs them, and outputs and gradients have the bits of those of a
/// dense layer with the same numbers.
///
/// ```
/// use nn::{Bf16Linear, Input, Projection, Tape};
///
/// let layer = Bf16Linear::round("up", 3, &[1.0_f32, 0.0, 2.0, 0.0, 1.0, -1.0][..])?;
/// let mut input = Input::new("up", vec![1.0_f32, 2.0, 3.0], 3)?;
/// let mut y = [0.0; 2];
/// layer.forward(&mut input, &mut y, &mut Tape::inference())?;
/// assert_eq!(y, [7.0, -1.0]);
/// # Ok::<(), nn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Bf16Linear {
    name: String,
    weight_name: String,
    inputs: usize,
    outputs: usize,
    weight: Vec<bf16>,
    bias: Option<Vec<f32>>,
}

impl Bf16Linear {
    /// Takes weights `[outputs, inputs]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for partial rows.
    pub fn new(name: &str, inputs: usize, weight: Vec<bf16>) -> Result<Self> {
        let outputs = weight.len().checked_div(inputs).unwrap_or(0);
        check_size(name, "numbers in rows of weights", outputs * inputs, weight.len())?;
        let weight_name = format!("{name}.weight");
        Ok(Self { name: name.to_owned(), weight_name, inputs, outputs, weight, bias: None })
    }

    /// The same with weights that are rounded to the nearest `bf16`, a part of them at a time.
    ///
    /// # Errors
    /// [`Error::Shape`] for partial rows, [`Error::NonFinite`] for a weight that is not finite, or not once it is rounded.
    pub fn round<'a>(name: &str, inputs: usize, weights: impl Into<Weights<'a>>) -> Result<Self> {
        let weights = weights.into();
        let mut rounded = Vec::with_capacity(weights.len());
        weights.for_each_chunk(|chunk| {
            rounded.extend(chunk.iter().map(|&weight| bf16::from_f32(weight)));
        });
        if let Some(index) = rounded.iter().position(|weight: &bf16| !weight.is_finite()) {
            let (layer, what) = (name.to_owned(), "weights in bf16");
            let value = f64::from(rounded[index].to_f32());
            return Err(Error::NonFinite { layer, what, index, value });
        }
        Self::new(name, inputs, rounded)
    }

    /// Sets what is added to each output. Rows that are looked up are without it.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there is one number for each output.
    pub fn with_bias(mut self, bias: Vec<f32>) -> Result<Self> {
        check_size(&self.name, "numbers of the bias", self.outputs, bias.len())?;
        self.bias = Some(bias);
        Ok(self)
    }

    /// What is added to each output, if anything is.
    pub fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// The weights, row-major.
    pub fn weight(&self) -> &[bf16] {
        &self.weight
    }

    fn operand(&self) -> Result<DenseOperand<'_, bf16>> {
        DenseOperand::new(&self.weight, self.outputs, self.inputs).in_layer(&self.name)
    }

    /// y = x · Wᵀ.
    fn outputs_of<T: Compute>(&self, input: &Input<T>, y: &mut [T]) -> Result<()> {
        let _span = span("bf16 forward");
        let x = DenseOperand::new(input.values(&self.name)?, input.rows(), self.inputs);
        let x = x.in_layer(&self.name)?;
        T::product_bf16(x, self.operand()?, y, Store::Set).in_layer(&self.name)
    }

    /// dx += dy · W.
    fn input_gradient<T: Compute>(
        &self,
        rows: usize,
        dy: &[T],
        dx: &mut [T],
        store: Store,
    ) -> Result<()> {
        let _span = span("bf16 dX");
        let dy = DenseOperand::new(dy, rows, self.outputs).in_layer(&self.name)?;
        T::product_bf16(dy, self.operand()?.transposed(), dx, store).in_layer(&self.name)
    }
}

impl<T: Real> Module<T> for Bf16Linear {
    fn visit(&self, visit: &mut dyn FnMut(Tensor<'_, T>)) {
        let (values, shape) = (&self.weight[..], [self.outputs, self.inputs]);
        let values = Values::Bf16 { values, shape, bias: self.bias.as_deref() };
        visit(Tensor { name: &self.weight_name, id: None, values });
    }

    fn memory(&self) -> Memory {
        let names = self.name.capacity() + self.weight_name.capacity();
        let bias = self.bias.as_ref().map_or(0, |bias| bias.capacity() * size_of::<f32>());
        let other = self.weight.capacity() * size_of::<bf16>() + names + bias;
        Memory { other, ..Memory::default() }
    }
}

impl<T: Compute> Projection<T> for Bf16Linear {
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
        self.outputs_of(input, y)?;
        self.bias.as_ref().map_or(Ok(()), |bias| add_to_rows(bias, y, tape))
    }

    fn backward(
        &self,
        input: &Input<T>,
        dy: &[T],
        dx: Option<&mut [T]>,
        _: &mut Tape<T>,
        _: &mut Gradients<T>,
    ) -> Result<()> {
        check_backward(self, input, dy, dx.as_deref())?;
        let Some(dx) = dx else { return Ok(()) };
        let store = mutant!("Bf16Linear/dx overwritten", Store::Add, Store::Set);
        let add = |dx: &mut [T]| self.input_gradient(input.rows(), dy, dx, store);
        mutant!("Bf16Linear/dx twice", { add(dx)? });
        mutant!("Bf16Linear/dx left out", add(dx), Ok(()))
    }
}

impl<T: Compute> Lookup<T> for Bf16Linear {
    fn look_up(&self, tokens: &[u32], y: &mut [T]) -> Result<()> {
        look_up_rows(self, tokens, y, |row, y| {
            let weights = &self.weight[row * self.inputs..][..self.inputs];
            for (y, weight) in y.iter_mut().zip(weights) {
                *y = T::from_f32(weight.to_f32());
            }
            Ok(())
        })
    }

    fn weight_gradient<'a>(&self, _: &'a mut Gradients<T>) -> Option<&'a mut [T]> {
        None
    }
}

#[cfg(test)]
mod tests;
