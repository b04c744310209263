//! The output of attention behind a sigmoid gate.

use ternary_core::{Real, mutant};

use super::Rowwise;
use super::pairwise::Pairwise;
use super::swiglu::sigmoid;
use crate::error::Result;

const OP: Pairwise = Pairwise {
    op: "gated_attention",
    second: "gate",
    d_first: "gradient of the input",
    d_second: "gradient of the gate",
};

/// y = x · σ(gate) with σ(g) = 1 / (1 + e⁻ᵍ), x being what attention gave.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn gated_attention<T: Rowwise>(x: &[T], gate: &[T], y: &mut [T]) -> Result<()> {
    OP.forward([x, gate], y, T::gated_attention_numbers)
}

/// Writes the gradients of [`gated_attention`]: with σ = σ(gate),
/// dx = dy · σ and d gate = dy · x · σ · (1 − σ).
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn gated_attention_backward<T: Rowwise>(
    x: &[T],
    gate: &[T],
    dy: &[T],
    dx: &mut [T],
    d_gate: &mut [T],
) -> Result<()> {
    OP.backward([x, gate, dy], [dx, d_gate], T::gated_attention_numbers_backward)
}

pub(super) fn plain<T: Real>(x: &[T], gate: &[T], y: &mut [T]) {
    for ((y, &x), &gate) in y.iter_mut().zip(x).zip(gate) {
        *y = x * sigmoid(gate);
    }
}

pub(super) fn plain_backward<T: Real>(
    x: &[T],
    gate: &[T],
    dy: &[T],
    dx: &mut [T],
    d_gate: &mut [T],
) {
    for index in 0..dy.len() {
        let (x, dy, sigma) = (x[index], dy[index], sigmoid(gate[index]));
        dx[index] = dy * mutant!("gated_attention/gate left out", sigma, T::ONE);
        let slope = mutant!(
            "gated_attention/slope of the sigmoid",
            sigma * (T::ONE - sigma),
            sigma * (T::ONE + sigma)
        );
        d_gate[index] = dy * x * slope;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;
    use crate::simd::on_every_isa;

    #[test]
    fn a_gate_of_zero_halves() {
        let mut y = [0.0; 3];
        gated_attention(&[4.0, 3.0, 7.0], &[0.0, 1e4, -1e4], &mut y).unwrap();
        assert_eq!(y, [2.0, 3.0, 0.0]);
    }

    #[test]
    fn every_entry_of_both_gradients_is_the_slope_of_the_forward() {
        let count = 23;
        let numbers = numbers::<f64>;
        let (x, gate, dy) = (numbers(1, count), numbers(2, count), numbers(3, count));
        let objective = |x: &[f64], gate: &[f64]| {
            let mut y = vec![0.0; count];
            gated_attention(x, gate, &mut y).unwrap();
            inner(&y, &dy)
        };
        let (mut dx, mut d_gate) = (numbers(4, count), numbers(5, count));
        gated_attention_backward(&x, &gate, &dy, &mut dx, &mut d_gate).unwrap();
        assert_slopes("x", &dx, &[0.0; 23], &slopes(&x, |x| objective(x, &gate)));
        let by_gate = slopes(&gate, |gate| objective(&x, gate));
        assert_slopes("gate", &d_gate, &[0.0; 23], &by_gate);
    }

    /// Output, and both gradients over whatever they held.
    fn run<T: Rowwise>(count: usize) -> [Vec<T>; 3] {
        let gate: Vec<T> = scaled(1, count);
        let (x, dy) = (numbers(2, count), numbers(3, count));
        let mut out = [4, 5, 6].map(|seed| numbers(seed, count));
        let [y, dx, d_gate] = &mut out;
        gated_attention(&x, &gate, y).unwrap();
        gated_attention_backward(&x, &gate, &dy, dx, d_gate).unwrap();
        out
    }

    #[test]
    fn f32_keeps_to_the_plain_formula_at_every_length() {
        on_every_isa(|| {
            for count in 1..=70 {
                let (found, exact) = (run::<f32>(count), run::<f64>(count));
                // The sigmoid is within 4 ulp (see SwiGLU), 1 − σ within that of 1, and dy · x below 4.
                let ulp = f64::from(f32::EPSILON);
                assert_within("y", &found[0], &exact[0], |i| 6.0 * ulp * exact[0][i].abs());
                assert_within("dx", &found[1], &exact[1], |_| 8.0 * ulp * 4.0);
                assert_within("d_gate", &found[2], &exact[2], |_| 12.0 * ulp * 4.0);
            }
        });
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads_and_wherever_a_number_stands() {
        let count = 40_001;
        let all = same_on_any_number_of_threads(|| run::<f32>(count).concat());
        let (gate, x) = (scaled::<f32>(1, count), numbers::<f32>(2, count));
        let mut y = vec![0.0; 7];
        for start in (0..count - 7).step_by(501) {
            gated_attention(&x[start..start + 7], &gate[start..start + 7], &mut y).unwrap();
            assert_same_bits(&y, &all[start..start + 7]);
        }
    }

    #[test]
    fn a_gate_that_is_no_number_shows() {
        on_every_isa(|| {
            let mut y = [0.0; 3];
            let gate = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            gated_attention(&[2.0; 3], &gate, &mut y).unwrap();
            assert!(y[0].is_nan());
            assert_eq!(y[1..], [2.0, 0.0]);
        });
    }

    #[test]
    fn sizes_that_differ_are_named() {
        let error = gated_attention(&[0.0; 3], &[0.0; 2], &mut [0.0; 3]).unwrap_err();
        assert_eq!(error.to_string(), "gated_attention: gate: expected 3, found 2");
        let (three, mut two) = ([0.0; 3], [0.0; 2]);
        assert!(gated_attention_backward(&three, &three, &three, &mut [0.0; 3], &mut two).is_err());
        gated_attention::<f32>(&[], &[], &mut []).unwrap();
    }
}
