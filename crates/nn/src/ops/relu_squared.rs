//! Squared ReLU (So et al., 2021), alone and as the gate of a feed-forward layer.
//!
//! Two or three products a number: memory is the limit, so that one plain loop serves both types.

use rayon::prelude::*;
use ternary_core::{Real, mutant};

use super::blocks::numbers_per_block;
use super::pairwise::Pairwise;
use crate::error::{Result, check_size};

const OP: &str = "relu_squared";
const GATE: Pairwise = Pairwise {
    op: "relu_squared_gate",
    second: "up",
    d_first: "gradient of the gate",
    d_second: "gradient of up",
};

/// y = relu(x)².
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn relu_squared<T: Real>(x: &[T], y: &mut [T]) -> Result<()> {
    check_size(OP, "output", x.len(), y.len())?;
    let block = numbers_per_block(x.len());
    y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| {
        for (y, &x) in y.iter_mut().zip(x) {
            let positive = relu(x);
            *y = positive * positive;
        }
    });
    Ok(())
}

/// Writes the gradient of [`relu_squared`]: dx = 2 · relu(x) · dy.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn relu_squared_backward<T: Real>(x: &[T], dy: &[T], dx: &mut [T]) -> Result<()> {
    check_size(OP, "gradient of the output", x.len(), dy.len())?;
    check_size(OP, "gradient of the input", x.len(), dx.len())?;
    let block = numbers_per_block(x.len());
    (dx.par_chunks_mut(block), x.par_chunks(block), dy.par_chunks(block)).into_par_iter().for_each(
        |(dx, x, dy)| {
            for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                let positive = mutant!("relu_squared/square without the ReLU", relu(x), x);
                let gradient = mutant!("relu_squared/half", twice(positive), positive) * dy;
                *dx = mutant!("relu_squared/added", gradient, *dx + gradient);
            }
        },
    );
    Ok(())
}

/// y = relu(gate)² · up.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn relu_squared_gate<T: Real>(gate: &[T], up: &[T], y: &mut [T]) -> Result<()> {
    GATE.forward([gate, up], y, |gate, up, y| {
        for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
            let positive = relu(gate);
            *y = positive * positive * up;
        }
    })
}

/// Writes the gradients of [`relu_squared_gate`]: d gate = 2 · relu(gate) · up · dy and
/// d up = relu(gate)² · dy.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn relu_squared_gate_backward<T: Real>(
    gate: &[T],
    up: &[T],
    dy: &[T],
    d_gate: &mut [T],
    d_up: &mut [T],
) -> Result<()> {
    GATE.backward([gate, up, dy], [d_gate, d_up], |gate, up, dy, d_gate, d_up| {
        let inputs = gate.iter().zip(up).zip(dy);
        for ((d_gate, d_up), ((&gate, &up), &dy)) in d_gate.iter_mut().zip(d_up).zip(inputs) {
            let positive = relu(gate);
            let up = mutant!("relu_squared_gate/up left out", up, T::ONE);
            *d_gate = mutant!("relu_squared_gate/half", twice(positive), positive) * (up * dy);
            *d_up = mutant!("relu_squared_gate/not squared", positive * positive, positive) * dy;
        }
    })
}

/// max(x, 0); NaN stays NaN.
fn relu<T: Real>(x: T) -> T {
    if x < T::ZERO { T::ZERO } else { x }
}

fn twice<T: Real>(x: T) -> T {
    x + x
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;

    #[test]
    fn only_what_is_positive_is_squared() {
        let mut y = [0.0; 4];
        relu_squared(&[-3.0, 0.0, 3.0, f64::NAN], &mut y).unwrap();
        assert_eq!(y[..3], [0.0, 0.0, 9.0]);
        assert!(y[3].is_nan());
        relu_squared_gate(&[-3.0, 0.0, 3.0, 1.0], &[5.0, 5.0, 5.0, -5.0], &mut y).unwrap();
        assert_eq!(y, [0.0, 0.0, 45.0, -5.0]);
    }

    #[test]
    fn every_entry_of_each_gradient_is_the_slope_of_the_forward() {
        let (x, up, dy) = (numbers::<f64>(1, 23), numbers::<f64>(2, 23), numbers::<f64>(3, 23));
        assert!(x.iter().all(|x| x.abs() > 1e-3), "away from the kink");
        let mut y = [0.0; 23];
        let (mut dx, mut d_gate, mut d_up) = (numbers(4, 23), numbers(5, 23), numbers(6, 23));
        relu_squared_backward(&x, &dy, &mut dx).unwrap();
        relu_squared_gate_backward(&x, &up, &dy, &mut d_gate, &mut d_up).unwrap();
        let by_x = slopes(&x, |x| {
            relu_squared(x, &mut y).unwrap();
            inner(&y, &dy)
        });
        assert_slopes("x", &dx, &[0.0; 23], &by_x);
        let mut objective = |gate: &[f64], up: &[f64]| {
            relu_squared_gate(gate, up, &mut y).unwrap();
            inner(&y, &dy)
        };
        let by_gate = slopes(&x, |gate| objective(gate, &up));
        assert_slopes("gate", &d_gate, &[0.0; 23], &by_gate);
        assert_slopes("up", &d_up, &[0.0; 23], &slopes(&up, |up| objective(&x, up)));
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads_and_wherever_a_number_stands() {
        let count = 40_001;
        let (x, up) = (numbers::<f32>(1, count), numbers::<f32>(2, count));
        let all = same_on_any_number_of_threads(|| {
            let mut y = [(); 5].map(|()| vec![0.0; count]);
            let [squared, gated, dx, d_gate, d_up] = &mut y;
            relu_squared(&x, squared).unwrap();
            relu_squared_gate(&x, &up, gated).unwrap();
            relu_squared_backward(&x, &up, dx).unwrap();
            relu_squared_gate_backward(&x, &up, squared, d_gate, d_up).unwrap();
            y.concat()
        });
        let mut y = vec![0.0; 7];
        for start in (0..count - 7).step_by(501) {
            let range = start..start + 7;
            relu_squared_gate(&x[range.clone()], &up[range.clone()], &mut y).unwrap();
            assert_same_bits(&y, &all[count..][range]);
        }
    }

    #[test]
    fn sizes_that_differ_are_named() {
        let (mut two, mut three) = ([0.0; 2], [0.0; 3]);
        let error = relu_squared(&[0.0; 3], &mut two).unwrap_err();
        assert_eq!(error.to_string(), "relu_squared: output: expected 3, found 2");
        let error = relu_squared_gate(&[0.0; 3], &[0.0; 2], &mut three).unwrap_err();
        assert_eq!(error.to_string(), "relu_squared_gate: up: expected 3, found 2");
        assert!(relu_squared_backward(&[0.0; 3], &[0.0; 3], &mut two).is_err());
        let x = [0.0; 3];
        assert!(relu_squared_gate_backward(&x, &x, &x, &mut three, &mut two).is_err());
        relu_squared::<f32>(&[], &mut []).unwrap();
    }
}
