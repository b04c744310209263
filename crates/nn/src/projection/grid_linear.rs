//! [`GridLinear`]: ternary weights that train without latent ones.

use ternary_core::kernels::Store;
use ternary_core::{TernaryMatrix, mutant};

use super::dense::gaussian;
use super::ternary_product::TernaryProduct;
use super::{
    BitLinearOptions, Lookup, Projection, check_backward, check_forward, decode_row, look_up_rows,
};
use crate::compute::Compute;
use crate::error::{InLayer, Result};
use crate::gradients::Gradients;
use crate::input::Input;
use crate::module::{Memory, Module, Tensor, Values, ValuesMut};
use crate::parameters::{ParameterId, Parameters};
use crate::projection::Activations;
use crate::tape::Tape;

/// y = x̂ · Wᵀ with ternary weights on a fixed grid {−W_n, 0, W_p}, which train as they are: direct
/// quantised training (DQT, Zhao et al., ACML 2025, arXiv 2412.04787). There are no latent weights; an
/// optimiser's result is rounded back to the grid at random, without bias:
///
/// ```text
/// dW = dyᵀ · x̂                                 no quantiser lies between, so nothing stands in for it
/// W ← SR(W + ΔW)      P(level) = |W + ΔW| / level,  else 0;   E[SR(w)] = w inside the grid
/// ```
///
/// The scales are those of the weights that training starts from.
///
/// ```
/// use nn::ternary_core::noise::Noise;
/// use nn::{BitLinearOptions, GridLinear, Module, Parameters, Rounding};
///
/// let mut parameters = Parameters::new();
/// let options = BitLinearOptions::default();
/// let mut layer = GridLinear::random("up", [4, 8], 0.1, 1, &options, &mut parameters)?;
/// let before = layer.weight().to_trits();
/// // A change of nothing moves no trit.
/// Module::<f32>::visit_mut(&mut layer, &mut |_, mut values| {
///     values.update(Rounding::Stochastic(&Noise::new(1, 2, 3)), |_, _| {});
/// });
/// assert_eq!(layer.weight().to_trits(), before);
/// # Ok::<(), nn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GridLinear {
    name: String,
    weight_name: String,
    id: ParameterId,
    weight: TernaryMatrix,
    activations: Activations,
}

impl GridLinear {
    /// Takes ternary weights `[outputs, inputs]`, declared as `{name}.weight`.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for a name that is taken.
    pub fn new(
        name: &str,
        weight: TernaryMatrix,
        activations: Activations,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let weight_name = format!("{name}.weight");
        let id = parameters.declare(weight_name.clone(), &[weight.rows(), weight.cols()])?;
        Ok(Self { name: name.to_owned(), weight_name, id, weight, activations })
    }

    /// Draws weights from a Gaussian, as [`Dense::random`](crate::Dense::random) does, and quantises
    /// them by the rule of `options` once.
    ///
    /// # Errors
    /// As [`GridLinear::new`], and [`Error::Core`](crate::Error::Core) for a rule that refuses them.
    pub fn random(
        name: &str,
        [outputs, inputs]: [usize; 2],
        deviation: f64,
        seed: u64,
        options: &BitLinearOptions,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let shape = [outputs, inputs];
        let latent = gaussian::<f32>(name, shape, deviation, seed, parameters)?;
        Self::quantize(name, shape, &latent, options, parameters)
    }

    /// Quantises weights `[outputs, inputs]` by the rule of `options` once.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) when sizes do not fit or a weight is not finite,
    /// [`Error::Parameter`](crate::Error::Parameter) for a name that is taken.
    pub fn quantize(
        name: &str,
        [outputs, inputs]: [usize; 2],
        weights: &[f32],
        options: &BitLinearOptions,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let (rule, packing) = (&*options.quantizer, options.packing);
        let weight = TernaryMatrix::quantize(outputs, inputs, weights, rule, packing);
        Self::new(name, weight.in_layer(name)?, options.activations, parameters)
    }

    /// The weights.
    pub fn weight(&self) -> &TernaryMatrix {
        &self.weight
    }

    fn product(&self) -> TernaryProduct<'_> {
        let Self { name: layer, weight, activations, .. } = self;
        TernaryProduct { layer, weight, activations: *activations }
    }
}

impl<T: Compute> Module<T> for GridLinear {
    fn visit(&self, visit: &mut dyn FnMut(Tensor<'_, T>)) {
        let (matrix, activations) = (&self.weight, self.activations);
        let values = Values::Ternary { matrix, latent: None, activations, bias: None };
        visit(Tensor { name: &self.weight_name, id: Some(self.id), values });
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(ParameterId, ValuesMut<'_, T>)) {
        visit(self.id, ValuesMut::Ternary(&mut self.weight));
    }

    fn visit_identities(&mut self, visit: &mut dyn FnMut(&mut ParameterId)) {
        visit(&mut self.id);
    }

    fn memory(&self) -> Memory {
        let other = self.name.capacity() + self.weight_name.capacity();
        Memory { packed: self.weight.size_bytes(), other, ..Memory::default() }
    }
}

impl<T: Compute> Projection<T> for GridLinear {
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
        if !self.id.is_frozen() {
            self.product().keep(input);
        }
        self.product().forward(input, y, tape)
    }

    fn backward(
        &self,
        input: &Input<T>,
        dy: &[T],
        dx: Option<&mut [T]>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        check_backward(self, input, dy, dx.as_deref())?;
        if let Some(dx) = mutant!("GridLinear/dx left out", dx, None) {
            let store = mutant!("GridLinear/dx overwritten", Store::Add, Store::Set);
            self.product().input_gradient(input.rows(), dy, dx, store)?;
        }
        let Some(dw) = gradients.get_mut(self.id) else { return Ok(()) };
        mutant!("GridLinear/dW sign", { dw.iter_mut().for_each(|dw| *dw = -*dw) });
        self.product().weight_gradient(input, dy, dw, tape)
    }
}

impl<T: Compute> Lookup<T> for GridLinear {
    fn look_up(&self, tokens: &[u32], y: &mut [T]) -> Result<()> {
        look_up_rows(self, tokens, y, |row, y| decode_row(&self.weight, row, y))
    }

    fn weight_gradient<'a>(&self, gradients: &'a mut Gradients<T>) -> Option<&'a mut [T]> {
        gradients.get_mut(self.id)
    }
}
