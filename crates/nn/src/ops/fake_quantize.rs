//! Int8 activations, as the numbers they stand for.

use ternary_core::kernels::QuantizedRows;
use ternary_core::mutant;

use crate::compute::{Compute, dequantize_rows};
use crate::error::{InLayer, Result, check_size};

/// x̂ = codes · scale, row by row, with the codes of `ternary_core::kernels`:
///
/// ```text
/// a = max(max|x|, 1e-5)        x̂ = round(127·x/a) · a/127
/// ```
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) for another size of `out`, [`Error::Core`](crate::Error::Core)
/// for partial rows and for numbers that are not finite.
pub fn fake_quantize<T: Compute>(x: &[T], rows: usize, out: &mut [T]) -> Result<()> {
    check_size("fake_quantize", "outputs", x.len(), out.len())?;
    let mut codes = QuantizedRows::new();
    T::quantize_rows(x, rows, &mut codes).in_layer("fake_quantize")?;
    dequantize_rows(&codes, out);
    Ok(())
}

/// Adds dx += dx̂: the straight-through estimator, the derivative of x̂ = x.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) when the sizes differ.
pub fn fake_quantize_backward<T: Compute>(dy: &[T], dx: &mut [T]) -> Result<()> {
    check_size("fake_quantize", "gradients of inputs", dy.len(), dx.len())?;
    for (dx, &dy) in dx.iter_mut().zip(dy) {
        let passed = mutant!("fake_quantize/sign", dy, -dy);
        let passed = mutant!("fake_quantize/factor 2", passed, passed + passed);
        *dx = mutant!("fake_quantize/overwritten", *dx + passed, passed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_multiples_of_their_own_step() {
        let x = [127.0, -3.4, 0.6, 1.27, 0.001, -0.5];
        let mut out = [0.0; 6];
        fake_quantize::<f64>(&x, 2, &mut out).unwrap();
        for (found, expected) in out.into_iter().zip([127.0, -3.0, 1.0, 1.27, 0.0, -0.5]) {
            assert!((found - expected).abs() < 1e-6, "{found} and {expected}");
        }
        let mut single = [0.0; 6];
        fake_quantize::<f32>(&x.map(|x| x as f32), 2, &mut single).unwrap();
        assert_eq!(single.map(f64::from), out.map(|x| f64::from(x as f32)));
    }

    #[test]
    fn a_number_that_is_not_finite_is_an_error_with_its_place() {
        let error = fake_quantize(&[1.0, f32::NAN], 1, &mut [0.0; 2]).unwrap_err().to_string();
        assert!(error.contains("NaN at index 1"), "{error}");
    }
}
