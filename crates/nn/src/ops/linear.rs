//! y = x · Wᵀ.

use ternary_core::kernels::{DenseOperand, Store};
use ternary_core::mutant;
use ternary_core::profile::span;

use crate::compute::Compute;
use crate::error::{InLayer, Result, check_size};

/// The sizes of a linear map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearShape {
    /// Rows of activations.
    pub rows: usize,
    /// Numbers in a row of x.
    pub inputs: usize,
    /// Numbers in a row of y.
    pub outputs: usize,
}

/// y\[r\]\[o\] = Σ_i x\[r\]\[i\] · w\[o\]\[i\], for weights `[outputs, inputs]`.
///
/// # Errors
/// [`Error::Core`](crate::Error::Core) when a slice does not have the size of its shape.
pub fn linear<T: Compute>(shape: LinearShape, x: &[T], w: &[T], y: &mut [T]) -> Result<()> {
    let _span = span("dense forward");
    let mut product = || {
        let x = DenseOperand::new(x, shape.rows, shape.inputs)?;
        let w = DenseOperand::new(w, shape.outputs, shape.inputs)?;
        T::product(x, w, y, Store::Set)
    };
    product().in_layer("linear")
}

/// Adds the gradients of [`linear`]:
///
/// ```text
/// dx += dy · W          dW += dyᵀ · x
/// ```
///
/// # Errors
/// As [`linear`], and [`Error::Shape`](crate::Error::Shape) for x and dW.
pub fn linear_backward<T: Compute>(
    shape: LinearShape,
    x: &[T],
    w: &[T],
    dy: &[T],
    dx: Option<&mut [T]>,
    dw: &mut [T],
) -> Result<()> {
    // The product with dx writes before the one with dW looks at its operands.
    check_size("linear", "inputs", shape.rows.saturating_mul(shape.inputs), x.len())?;
    let weights = shape.outputs.saturating_mul(shape.inputs);
    check_size("linear", "gradients of weights", weights, dw.len())?;
    if let Some(dx) = dx {
        linear_input_gradient(shape, w, dy, dx)?;
    }
    linear_weight_gradient(shape, x, dy, dw)
}

/// The first half of [`linear_backward`]: dx += dy · W, for whoever has weights that stay as they are.
///
/// # Errors
/// As [`linear`].
pub fn linear_input_gradient<T: Compute>(
    shape: LinearShape,
    w: &[T],
    dy: &[T],
    dx: &mut [T],
) -> Result<()> {
    let _span = span("dense dX");
    let mut product = || {
        let dy = DenseOperand::new(dy, shape.rows, shape.outputs)?;
        let w = DenseOperand::new(w, shape.outputs, shape.inputs)?;
        T::product(dy, w.transposed(), dx, mutant!("linear/dx overwritten", Store::Add, Store::Set))
    };
    product().in_layer("linear")
}

/// The second half of [`linear_backward`]: dW += dyᵀ · x, for whoever has another way to dx.
///
/// # Errors
/// As [`linear`].
pub fn linear_weight_gradient<T: Compute>(
    shape: LinearShape,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
) -> Result<()> {
    let _span = span("dW");
    let mut product = || {
        let dy = DenseOperand::new(dy, shape.rows, shape.outputs)?;
        let x = DenseOperand::new(x, shape.rows, shape.inputs)?;
        let store = mutant!("linear/dW overwritten", Store::Add, Store::Set);
        T::product(dy.transposed(), x.transposed(), dw, store)?;
        mutant!("linear/dW twice", Ok(()), T::product(dy.transposed(), x.transposed(), dw, store))
    };
    product().in_layer("linear")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_does_not_fit_is_found_before_anything_is_written() {
        let shape = LinearShape { rows: 2, inputs: 3, outputs: 1 };
        let (x, w, dy) = ([1.0_f64; 6], [1.0; 3], [1.0; 2]);
        let mut dx = [0.5; 6];
        let error = linear_backward(shape, &x, &w, &dy, Some(&mut dx), &mut [0.0; 2]).unwrap_err();
        assert_eq!(error.to_string(), "linear: gradients of weights: expected 3, found 2");
        assert!(linear_backward(shape, &x[1..], &w, &dy, Some(&mut dx), &mut [0.0; 3]).is_err());
        assert_eq!(dx, [0.5; 6]);
    }
}
