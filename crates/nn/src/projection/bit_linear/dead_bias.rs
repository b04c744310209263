//! The bias that weights of zero are (Tequila).

use rayon::prelude::*;
use ternary_core::{Real, TernaryMatrix, mutant};

use super::ShadowPrecision;
use crate::error::Result;
use crate::gradients::Gradients;
use crate::ops::{Rowwise, bias_backward};
use crate::parameters::{ParameterId, Parameters};

/// δ·Σ w_oi over the weights of an output that are zero.
#[derive(Debug, Clone)]
pub(super) struct DeadBias {
    /// Where Σ dy_o is kept from a backward to the end of an update; no optimiser sees it.
    pub(super) id: ParameterId,
    /// δ.
    factor: f32,
    values: Vec<f32>,
}

impl DeadBias {
    /// Declares `{layer}.dead_bias`, the store of its gradient, without values.
    pub(super) fn declare(
        layer: &str,
        factor: f32,
        outputs: usize,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let id = parameters.declare_noiseless(format!("{layer}.dead_bias"), &[outputs])?;
        Ok(Self { id, factor, values: Vec::new() })
    }

    /// A number for each output, once there were latent weights.
    pub(super) fn values(&self) -> Option<&[f32]> {
        (!self.values.is_empty()).then_some(&self.values)
    }

    /// Takes the sums anew. A row is summed in `f64`, in order, and rounded once.
    pub(super) fn fit<P: ShadowPrecision>(&mut self, shadow: &[P], base: &TernaryMatrix) {
        let (cols, factor) = (base.cols(), f64::from(self.factor));
        self.values.resize(base.rows(), 0.0);
        let sum = |codes: &mut Vec<f32>, (row, value): (usize, &mut f32)| {
            let codes = quantized(base, row, codes);
            let weights = codes.iter().zip(&shadow[row * cols..]);
            let dead = weights.filter(|(q, _)| **q == 0.0);
            *value = (factor * dead.map(|(_, w)| f64::from(w.to_f32())).sum::<f64>()) as f32;
        };
        self.values.par_iter_mut().enumerate().for_each_init(Vec::new, sum);
    }

    /// Adds the sums over rows.
    pub(super) fn backward<T: Rowwise>(
        &self,
        dy: &[T],
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        gradients.get_mut(self.id).map_or(Ok(()), |sums| bias_backward(dy, sums))
    }

    /// Moves the sums into the gradients of the weights that are zero: dW_oi += λ·δ·Σ dy_o.
    pub(super) fn finish<T: Real>(
        &self,
        weight: ParameterId,
        base: &TernaryMatrix,
        lambda: f32,
        gradients: &mut Gradients<T>,
    ) {
        let lambda = mutant!("BitLinear/ramp left out of the dead gradient", lambda, 1.0);
        let factor = T::from_f32(lambda) * T::from_f32(self.factor);
        let mut codes = Vec::new();
        for row in 0..base.rows() {
            let Some(sums) = gradients.get_mut(self.id) else { return };
            let own = factor * std::mem::replace(&mut sums[row], T::ZERO);
            let Some(weights) = gradients.get_mut(weight) else { return };
            let weights = &mut weights[row * base.cols()..][..base.cols()];
            for (dw, &q) in weights.iter_mut().zip(quantized(base, row, &mut codes)) {
                if mutant!("BitLinear/dead gradient for every weight", q == 0.0, true) {
                    *dw = mutant!("BitLinear/dead gradient overwrites", *dw + own, own);
                }
            }
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.values.capacity() * size_of::<f32>()
    }
}

/// A row of the ternary weights.
fn quantized<'a>(base: &TernaryMatrix, row: usize, codes: &'a mut Vec<f32>) -> &'a [f32] {
    codes.resize(base.cols(), 0.0);
    base.row_f32(row, codes).expect("a row of its own shape");
    codes
}
