//! The sum of a layer's input and output.

use rayon::prelude::*;
use ternary_core::{Real, mutant};

use super::blocks::numbers_per_block;
use crate::error::{Result, check_size};
use ternary_core::profile::span;

const OP: &str = "residual";

/// z = x + y.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn residual<T: Real>(x: &[T], y: &[T], z: &mut [T]) -> Result<()> {
    let _span = span("residual");
    check_size(OP, "second input", x.len(), y.len())?;
    check_size(OP, "output", x.len(), z.len())?;
    let block = numbers_per_block(x.len());
    (z.par_chunks_mut(block), x.par_chunks(block), y.par_chunks(block)).into_par_iter().for_each(
        |(z, x, y)| {
            for ((z, &x), &y) in z.iter_mut().zip(x).zip(y) {
                *z = x + y;
            }
        },
    );
    Ok(())
}

/// Writes the gradients of [`residual`]: dx = dz and dy = dz.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn residual_backward<T: Real>(dz: &[T], dx: &mut [T], dy: &mut [T]) -> Result<()> {
    let _span = span("residual");
    check_size(OP, "gradient of the first input", dz.len(), dx.len())?;
    check_size(OP, "gradient of the second input", dz.len(), dy.len())?;
    let block = numbers_per_block(dz.len());
    (dx.par_chunks_mut(block), dy.par_chunks_mut(block), dz.par_chunks(block))
        .into_par_iter()
        .for_each(|(dx, dy, dz)| {
            for ((dx, dy), &dz) in dx.iter_mut().zip(dy).zip(dz) {
                *dx = mutant!("residual/branch left out", dz, T::ZERO);
                let gradient = mutant!("residual/sign", dz, -dz);
                *dy = mutant!("residual/added", gradient, *dy + gradient);
            }
        });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;

    #[test]
    fn a_sum_passes_its_gradient_to_both_sides() {
        let mut z = [0.0; 2];
        residual(&[1.0, 2.0], &[0.5, -3.0], &mut z).unwrap();
        assert_eq!(z, [1.5, -1.0]);
        let (mut dx, mut dy) = ([1.0, 1.0], [0.0, 2.0]);
        residual_backward(&[10.0, 20.0], &mut dx, &mut dy).unwrap();
        assert_eq!((dx, dy), ([10.0, 20.0], [10.0, 20.0]));
    }

    #[test]
    fn every_entry_of_both_gradients_is_the_slope_of_the_forward() {
        let (x, y, dz) = (numbers::<f64>(1, 11), numbers::<f64>(2, 11), numbers::<f64>(3, 11));
        let objective = |x: &[f64], y: &[f64]| {
            let mut z = [0.0; 11];
            residual(x, y, &mut z).unwrap();
            inner(&z, &dz)
        };
        let (mut dx, mut dy) = (numbers(4, 11), numbers(5, 11));
        residual_backward(&dz, &mut dx, &mut dy).unwrap();
        assert_slopes("x", &dx, &[0.0; 11], &slopes(&x, |x| objective(x, &y)));
        assert_slopes("y", &dy, &[0.0; 11], &slopes(&y, |y| objective(&x, y)));
    }

    #[test]
    fn a_large_sum_is_the_same_on_any_number_of_threads() {
        let (x, y) = (numbers::<f32>(1, 40_001), numbers::<f32>(2, 40_001));
        same_on_any_number_of_threads(|| {
            let (mut z, mut dx, mut dy) = (vec![0.0; x.len()], x.clone(), y.clone());
            residual(&x, &y, &mut z).unwrap();
            assert!((0..x.len()).all(|index| z[index] == x[index] + y[index]));
            residual_backward(&z, &mut dx, &mut dy).unwrap();
            [z, dx, dy].concat()
        });
    }

    #[test]
    fn sizes_that_differ_are_named() {
        let error = residual(&[0.0; 3], &[0.0; 2], &mut [0.0; 3]).unwrap_err();
        assert_eq!(error.to_string(), "residual: second input: expected 3, found 2");
        assert!(residual_backward(&[0.0; 3], &mut [0.0; 3], &mut [0.0; 2]).is_err());
        residual::<f32>(&[], &[], &mut []).unwrap();
    }
}
