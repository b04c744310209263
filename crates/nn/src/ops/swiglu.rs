//! The gate of a SwiGLU feed-forward layer (Shazeer, 2020).

use ternary_core::{Real, mutant};

use super::Rowwise;
use super::pairwise::Pairwise;
use crate::error::Result;
use ternary_core::profile::span;

const OP: Pairwise = Pairwise {
    op: "swiglu",
    second: "up",
    d_first: "gradient of the gate",
    d_second: "gradient of up",
};

/// y = silu(gate) · up with silu(g) = g · σ(g), σ(g) = 1 / (1 + e⁻ᵍ).
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn swiglu<T: Rowwise>(gate: &[T], up: &[T], y: &mut [T]) -> Result<()> {
    let _span = span("SwiGLU");
    OP.forward([gate, up], y, T::swiglu_numbers)
}

/// Writes the gradients of [`swiglu`]: with σ = σ(gate),
/// d gate = dy · up · σ · (1 + gate · (1 − σ)) and d up = dy · gate · σ.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the sizes differ.
pub fn swiglu_backward<T: Rowwise>(
    gate: &[T],
    up: &[T],
    dy: &[T],
    d_gate: &mut [T],
    d_up: &mut [T],
) -> Result<()> {
    let _span = span("SwiGLU");
    OP.backward([gate, up, dy], [d_gate, d_up], T::swiglu_numbers_backward)
}

/// σ(x) = 1 / (1 + e⁻ˣ).
pub(super) fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

pub(super) fn plain<T: Real>(gate: &[T], up: &[T], y: &mut [T]) {
    for ((y, &gate), &up) in y.iter_mut().zip(gate).zip(up) {
        *y = gate * sigmoid(gate) * up;
    }
}

pub(super) fn plain_backward<T: Real>(
    gate: &[T],
    up: &[T],
    dy: &[T],
    d_gate: &mut [T],
    d_up: &mut [T],
) {
    for index in 0..dy.len() {
        let (gate, up, dy) = (gate[index], up[index], dy[index]);
        let sigma = sigmoid(gate);
        let slope = mutant!(
            "swiglu/slope of the gate for that of the sigmoid",
            sigma * (T::ONE + gate * (T::ONE - sigma)),
            sigma * (T::ONE - sigma)
        );
        d_gate[index] = dy * mutant!("swiglu/up left out", up, T::ONE) * slope;
        d_up[index] = dy * gate * sigma;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;
    use crate::simd::on_every_isa;

    #[test]
    fn the_gate_scales_what_comes_up() {
        let mut y = [0.0; 3];
        // σ(ln 3) = ¾; a closed gate lets nothing through and an open one is the identity.
        swiglu(&[3.0_f64.ln(), -1e4, 1e4], &[2.0, 5.0, 0.5], &mut y).unwrap();
        assert!((y[0] - 1.5 * 3.0_f64.ln()).abs() < 1e-15);
        assert_eq!(y[1..], [0.0, 5000.0]);
    }

    #[test]
    fn every_entry_of_both_gradients_is_the_slope_of_the_forward() {
        let count = 23;
        let numbers = numbers::<f64>;
        let (gate, up, dy) = (numbers(1, count), numbers(2, count), numbers(3, count));
        let objective = |gate: &[f64], up: &[f64]| {
            let mut y = vec![0.0; count];
            swiglu(gate, up, &mut y).unwrap();
            inner(&y, &dy)
        };
        let (mut d_gate, mut d_up) = (numbers(4, count), numbers(5, count));
        swiglu_backward(&gate, &up, &dy, &mut d_gate, &mut d_up).unwrap();
        let by_gate = slopes(&gate, |gate| objective(gate, &up));
        assert_slopes("gate", &d_gate, &[0.0; 23], &by_gate);
        assert_slopes("up", &d_up, &[0.0; 23], &slopes(&up, |up| objective(&gate, up)));
    }

    /// Output, and both gradients over whatever they held, of gates up to 16.
    fn run<T: Rowwise>(count: usize) -> [Vec<T>; 3] {
        let gate: Vec<T> = scaled(1, count);
        let (up, dy) = (numbers(2, count), numbers(3, count));
        let mut out = [4, 5, 6].map(|seed| numbers(seed, count));
        let [y, d_gate, d_up] = &mut out;
        swiglu(&gate, &up, y).unwrap();
        swiglu_backward(&gate, &up, &dy, d_gate, d_up).unwrap();
        out
    }

    #[test]
    fn f32_keeps_to_the_plain_formula_at_every_length() {
        on_every_isa(|| {
            for count in 1..=70 {
                let (found, exact) = (run::<f32>(count), run::<f64>(count));
                // The exponential is within 2 ulp, and so is the sigmoid with its two roundings more;
                // three products follow. The slope is at most 1 + 16 with σ, times dy · up below 4.
                let ulp = f64::from(f32::EPSILON);
                assert_within("y", &found[0], &exact[0], |i| 8.0 * ulp * exact[0][i].abs());
                assert_within("d_gate", &found[1], &exact[1], |_| 10.0 * ulp * 17.0 * 4.0);
                assert_within("d_up", &found[2], &exact[2], |i| 8.0 * ulp * exact[2][i].abs());
            }
        });
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads_and_wherever_a_number_stands() {
        let count = 40_001;
        let all = same_on_any_number_of_threads(|| run::<f32>(count).concat());
        let (gate, up) = (scaled::<f32>(1, count), numbers::<f32>(2, count));
        let mut y = vec![0.0; 7];
        for start in (0..count - 7).step_by(501) {
            swiglu(&gate[start..start + 7], &up[start..start + 7], &mut y).unwrap();
            assert_same_bits(&y, &all[start..start + 7]);
        }
    }

    #[test]
    fn gates_out_of_range_are_open_or_closed_and_nan_stays() {
        on_every_isa(|| {
            let gate = [f32::MAX, f32::MIN, 200.0, -200.0, f32::NAN];
            let (mut y, mut d_gate, mut d_up) = ([0.0; 5], [0.0; 5], [0.0; 5]);
            swiglu(&gate, &[1.0; 5], &mut y).unwrap();
            assert_eq!(y[..4], [f32::MAX, 0.0, 200.0, 0.0]);
            swiglu_backward(&gate, &[1.0; 5], &[1.0; 5], &mut d_gate, &mut d_up).unwrap();
            assert_eq!(d_gate[..4], [1.0, 0.0, 1.0, 0.0]);
            assert!(y[4].is_nan() && d_gate[4].is_nan() && d_up[4].is_nan());
        });
    }

    #[test]
    fn sizes_that_differ_are_named() {
        let error = swiglu(&[0.0; 3], &[0.0; 2], &mut [0.0; 3]).unwrap_err();
        assert_eq!(error.to_string(), "swiglu: up: expected 3, found 2");
        let (three, mut two) = ([0.0; 3], [0.0; 2]);
        assert!(swiglu_backward(&three, &three, &three, &mut [0.0; 3], &mut two).is_err());
        swiglu::<f32>(&[], &[], &mut []).unwrap();
    }
}
