//! [`TernaryLinear`]: a frozen projection of packed trits.

use ternary_core::kernels::Store;
use ternary_core::{Packing, Quantizer, Real, Scales, TernaryMatrix, Weights, mutant};

use super::bias::add_to_rows;
use super::ternary_product::TernaryProduct;
use super::{Lookup, Projection, check_backward, check_forward, decode_row, look_up_rows};
use crate::compute::Compute;
use crate::error::{InLayer, Result, check_size};
use crate::gradients::Gradients;
use crate::input::Input;
use crate::module::{Memory, Module, Tensor, Values};
use crate::projection::Activations;
use crate::tape::Tape;

/// y = x̂ · Wᵀ (+ b) with frozen ternary weights and a frozen bias. Gradients flow through it; it has none of its own.
///
/// ```
/// use nn::{Activations, Input, Projection, Tape, TernaryLinear};
/// use ternary_core::{Packing, Scales};
///
/// let trits = [1, 0, -1, 0, 1, 1];
/// let layer = TernaryLinear::from_trits("up", [2, 3], &trits, Scales::tensor(0.5)?, Packing::TwoBit)?
///     .with_activations(Activations::Real);
/// let mut input = Input::new("up", vec![4.0_f32, 2.0, 1.0], 3)?;
/// let mut y = [0.0; 2];
/// layer.forward(&mut input, &mut y, &mut Tape::inference())?;
/// assert_eq!(y, [1.5, 1.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TernaryLinear {
    name: String,
    weight_name: String,
    weight: TernaryMatrix,
    activations: Activations,
    bias: Option<Vec<f32>>,
}

impl TernaryLinear {
    /// Takes a matrix `[outputs, inputs]`.
    pub fn new(name: &str, weight: TernaryMatrix) -> Self {
        let weight_name = format!("{name}.weight");
        let (name, activations) = (name.to_owned(), Activations::default());
        Self { name, weight_name, weight, activations, bias: None }
    }

    /// Takes trits `[outputs, inputs]`, each −1, 0 or +1, without a way through floats.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) when sizes do not fit or a number is no trit.
    pub fn from_trits(
        name: &str,
        [outputs, inputs]: [usize; 2],
        trits: &[i8],
        scales: Scales,
        packing: Packing,
    ) -> Result<Self> {
        let weight = TernaryMatrix::from_trits(outputs, inputs, trits, scales, packing);
        Ok(Self::new(name, weight.in_layer(name)?))
    }

    /// Quantises weights `[outputs, inputs]` in `f32`, `bf16` or `f16` as they are.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) when sizes do not fit or a weight is not finite.
    pub fn quantize<'a>(
        name: &str,
        [outputs, inputs]: [usize; 2],
        weights: impl Into<Weights<'a>>,
        quantizer: &dyn Quantizer,
        packing: Packing,
    ) -> Result<Self> {
        let weight = TernaryMatrix::quantize(outputs, inputs, weights, quantizer, packing);
        Ok(Self::new(name, weight.in_layer(name)?))
    }

    /// Sets how activations enter the product.
    #[must_use]
    pub fn with_activations(mut self, activations: Activations) -> Self {
        self.activations = activations;
        self
    }

    /// Sets what is added to each output. Rows that are looked up are without it.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) unless there is one number for each output.
    pub fn with_bias(mut self, bias: Vec<f32>) -> Result<Self> {
        check_size(&self.name, "numbers of the bias", self.weight.rows(), bias.len())?;
        self.bias = Some(bias);
        Ok(self)
    }

    /// What is added to each output, if anything is.
    pub fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// The weights.
    pub fn weight(&self) -> &TernaryMatrix {
        &self.weight
    }

    /// The weights as floats, row-major.
    pub fn to_f32(&self) -> Vec<f32> {
        self.weight.to_f32()
    }

    fn product(&self) -> TernaryProduct<'_> {
        let Self { name: layer, weight, activations, .. } = self;
        TernaryProduct { layer, weight, activations: *activations }
    }
}

impl<T: Real> Module<T> for TernaryLinear {
    fn visit(&self, visit: &mut dyn FnMut(Tensor<'_, T>)) {
        let (matrix, activations) = (&self.weight, self.activations);
        let bias = self.bias.as_deref();
        let values = Values::Ternary { matrix, latent: None, activations, bias };
        visit(Tensor { name: &self.weight_name, id: None, values });
    }

    fn memory(&self) -> Memory {
        let names = self.name.capacity() + self.weight_name.capacity();
        let bias = self.bias.as_ref().map_or(0, |bias| bias.capacity() * size_of::<f32>());
        Memory { packed: self.weight.size_bytes(), other: names + bias, ..Memory::default() }
    }
}

impl<T: Compute> Projection<T> for TernaryLinear {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.weight.cols()
    }

    fn outputs(&self) -> usize {
        self.weight.rows()
    }

    fn forward(&self, input: &mut Input<T>, y: &mut [T], tape: &mut Tape<T>) -> Result<()> {
        check_forward(self, input, y)?;
        self.product().forward(input, y, tape)?;
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
        let store = mutant!("TernaryLinear/dx overwritten", Store::Add, Store::Set);
        let add = |dx: &mut [T]| self.product().input_gradient(input.rows(), dy, dx, store);
        mutant!("TernaryLinear/dx twice", { add(dx)? });
        mutant!("TernaryLinear/dx left out", add(dx), Ok(()))
    }
}

impl<T: Compute> Lookup<T> for TernaryLinear {
    fn look_up(&self, tokens: &[u32], y: &mut [T]) -> Result<()> {
        look_up_rows(self, tokens, y, |row, y| decode_row(&self.weight, row, y))
    }

    fn weight_gradient<'a>(&self, _: &'a mut Gradients<T>) -> Option<&'a mut [T]> {
        None
    }
}
