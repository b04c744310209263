//! How activations enter a ternary product.

use ternary_core::TernaryMatrix;

use crate::compute::Compute;
use crate::error::{InLayer, Result};
use crate::input::Input;
use crate::tape::Tape;

/// How activations enter a product with ternary weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Activations {
    /// Int8 codes with a scale for each row (token): exact integer sums.
    #[default]
    Int8,
    /// As they are.
    Real,
}

impl Activations {
    /// y = x̂ · Wᵀ.
    pub(super) fn product<T: Compute>(
        self,
        layer: &str,
        input: &mut Input<T>,
        weight: &TernaryMatrix,
        y: &mut [T],
        tape: &mut Tape<T>,
    ) -> Result<()> {
        match self {
            Self::Int8 => T::ternary_product_i8(input.quantized(layer, tape)?, weight, y),
            Self::Real => T::ternary_product(input.values(layer)?, input.rows(), weight, y),
        }
        .in_layer(layer)
    }
}
