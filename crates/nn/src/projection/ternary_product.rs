//! [`TernaryProduct`]: the product that every projection with packed trits computes.

use std::borrow::Cow;

use ternary_core::TernaryMatrix;
use ternary_core::kernels::Store;

use super::Activations;
use crate::compute::{Compute, dequantize_rows};
use crate::error::{InLayer, Result};
use crate::input::Input;
use crate::ops::{LinearShape, linear_weight_gradient};
use crate::tape::Tape;

/// y = x̂ · Wᵀ for ternary weights `[outputs, inputs]`, and its gradients:
///
/// ```text
/// x̂ = the int8 rows of x, dequantised (or x itself)
/// dx += dy · W          the rounding of x is passed straight through
/// dW += dyᵀ · x̂
/// ```
#[derive(Debug, Clone, Copy)]
pub(super) struct TernaryProduct<'a> {
    /// The layer that errors name.
    pub(super) layer: &'a str,
    /// W.
    pub(super) weight: &'a TernaryMatrix,
    /// What x̂ is.
    pub(super) activations: Activations,
}

impl TernaryProduct<'_> {
    /// Its sizes for this many rows of x.
    pub(super) fn shape(self, rows: usize) -> LinearShape {
        LinearShape { rows, inputs: self.weight.cols(), outputs: self.weight.rows() }
    }

    /// y = x̂ · Wᵀ: exact integer sums for int8 rows.
    pub(super) fn forward<T: Compute>(
        self,
        input: &mut Input<T>,
        y: &mut [T],
        tape: &mut Tape<T>,
    ) -> Result<()> {
        match self.activations {
            Activations::Int8 => {
                T::ternary_product_i8(input.quantized(self.layer, tape)?, self.weight, y)
            }
            Activations::Real => {
                T::ternary_product(input.values(self.layer)?, input.rows(), self.weight, y)
            }
        }
        .in_layer(self.layer)
    }

    /// Marks the form of x that the gradient of the weights needs.
    pub(super) fn keep<T: Compute>(self, input: &mut Input<T>) {
        match self.activations {
            Activations::Int8 => input.keep_codes(),
            Activations::Real => input.keep_values(),
        }
    }

    /// Calls `then` with x̂, whose codes exist already.
    pub(super) fn see<T: Compute>(
        self,
        input: &Input<T>,
        tape: &mut Tape<T>,
        then: impl FnOnce(&[T]) -> Result<()>,
    ) -> Result<()> {
        let seen = match self.activations {
            Activations::Int8 => {
                let codes = input.codes(self.layer)?;
                let mut seen = tape.take(input.rows() * input.cols());
                dequantize_rows(codes, &mut seen);
                Cow::Owned(seen)
            }
            Activations::Real => Cow::Borrowed(input.values(self.layer)?),
        };
        let result = then(&seen);
        if let Cow::Owned(seen) = seen {
            tape.give(seen);
        }
        result
    }

    /// dx += dy · W; with [`Store::Set`] dx is overwritten.
    pub(super) fn input_gradient<T: Compute>(
        self,
        rows: usize,
        dy: &[T],
        dx: &mut [T],
        store: Store,
    ) -> Result<()> {
        T::ternary_product_transposed(dy, rows, self.weight, dx, store).in_layer(self.layer)
    }

    /// dW += dyᵀ · x̂.
    pub(super) fn weight_gradient<T: Compute>(
        self,
        input: &Input<T>,
        dy: &[T],
        dw: &mut [T],
        tape: &mut Tape<T>,
    ) -> Result<()> {
        let shape = self.shape(input.rows());
        self.see(input, tape, |seen| linear_weight_gradient(shape, seen, dy, dw))
    }
}
