//! Projections: dense ones as they are; ternary ones against what their straight-through gradients
//! differentiate.
//!
//! Codes and levels are decided once, in `f32`, and frozen. With x̂ what the product sees of x, and φ
//! the function that the estimator of the latent weights w names, a layer differentiates
//!
//! ```text
//! y = (x + (x̂₀ − x₀)) · (Q₀ + (1 − λ)·(w − w₀) + λ·(φ(w) − φ(w₀)))ᵀ + b
//! ```
//!
//! around x₀ and w₀: there it is what the layer computes, with the weights Q₀ of its forward.

mod bit_linear;
mod grid;
mod surrogate;
mod ternary;

use nn::{Bf16Linear, Compute, Dense, Parameters};

use super::op::narrow;
use super::part::{Built, OfProjection, Part, both, zeros};
use crate::gradcheck::case::Case;
use crate::gradcheck::values::signed;

/// The cases of all projections.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases = Vec::new();
    for (name, has_bias) in [("Dense", false), ("Dense with a bias", true)] {
        cases.extend(both(name, "Dense", DensePart { has_bias }));
    }
    for (name, has_bias) in [("Bf16Linear", false), ("Bf16Linear with a bias", true)] {
        cases.extend(both(name, "Bf16Linear", Bf16Part { has_bias }));
    }
    cases.extend(ternary::all());
    cases.extend(bit_linear::all());
    cases.extend(grid::all());
    cases
}

#[derive(Clone)]
struct DensePart {
    has_bias: bool,
}

impl Part for DensePart {
    fn input(&self) -> Option<[usize; 2]> {
        Some([3, 5])
    }

    fn sums(&self) -> Vec<usize> {
        vec![5, 7]
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        let dense = Dense::from_weight("dense", 5, zeros(35), parameters)?;
        let dense = if self.has_bias { dense.with_bias(parameters)? } else { dense };
        Ok(Box::new(OfProjection(Box::new(dense))))
    }
}

/// Frozen, so that its input alone is an array.
#[derive(Clone)]
struct Bf16Part {
    has_bias: bool,
}

impl Part for Bf16Part {
    fn input(&self) -> Option<[usize; 2]> {
        Some([3, 11])
    }

    fn sums(&self) -> Vec<usize> {
        vec![11, 7]
    }

    fn build<T: Compute>(&self, _: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        let layer = Bf16Linear::round("half", 11, &narrow(&signed("Bf16Linear/weight", 77))[..])?;
        Ok(Box::new(OfProjection(Box::new(if self.has_bias {
            layer.with_bias(narrow(&signed("Bf16Linear/bias", 7)))?
        } else {
            layer
        }))))
    }
}
