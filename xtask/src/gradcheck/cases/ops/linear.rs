//! The linear map, and what int8 codes mean.

use nn::Compute;
use nn::ops::{LinearShape, fake_quantize, fake_quantize_backward, linear, linear_backward};

use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::cases::op::{Forward, Op, gradient, narrow, single, sum, widen};
use crate::gradcheck::comparison::{Comparison, Pair};
use crate::gradcheck::gradient::{Array, Gradient};
use crate::gradcheck::values::signed;

/// The cases of these ops.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let small = Linear(LinearShape { rows: 3, inputs: 5, outputs: 7 });
    let wide = Linear(LinearShape { rows: 19, inputs: 83, outputs: 37 });
    let terms = |k: usize| sum(k, k as f64);
    vec![
        gradient("linear", "linear", [("x", &[3, 5]), ("w", &[7, 5])], small),
        single(
            "linear, f32",
            "linear",
            [("x", &[19, 83]), ("w", &[37, 83])],
            wide,
            terms(83),
            [terms(37), terms(19)],
        ),
        straight_through(),
        half_a_step(),
        codes_of_both(),
    ]
}

#[derive(Clone, Copy)]
struct Linear(LinearShape);

impl Op<2> for Linear {
    fn forward<T: Compute>(&self, [x, w]: [&[T]; 2]) -> Outcome<Forward<T>> {
        let mut output = vec![T::ZERO; self.0.rows * self.0.outputs];
        linear(self.0, x, w, &mut output)?;
        Ok(Forward { output, saved: Vec::new() })
    }

    fn backward<T: Compute>(
        &self,
        [x, w]: [&[T]; 2],
        _: &Forward<T>,
        upstream: &[T],
        [dx, dw]: [&mut [T]; 2],
    ) -> Outcome {
        Ok(linear_backward(self.0, x, w, upstream, Some(dx), dw)?)
    }
}

/// The backward of int8 activations differentiates x̂ = x: the codes are frozen, and what they are off
/// by is a constant.
fn straight_through() -> Box<dyn Case> {
    let name = "fake_quantize";
    let shape = [3, 7];
    let x = signed("fake_quantize/x", 21);
    let mut codes = vec![0.0; x.len()];
    let seen = fake_quantize(&x, shape[0], &mut codes).map(|()| codes);
    let array = Array::new("x", &shape, x.clone());
    let forward = move |[moved]: [&[f64]; 1]| {
        let seen = seen.clone()?;
        Ok([(0..moved.len()).map(|i| moved[i] + (seen[i] - x[i])).collect()])
    };
    let backward = |_: [&[f64]; 1], [u]: [&[f64]; 1], [dx]: [&mut [f64]; 1]| {
        Ok(fake_quantize_backward(u, dx)?)
    };
    Box::new(Gradient::new(name, &["fake_quantize"], [array], forward, backward))
}

/// x̂ is within half a step a/127 of x.
fn half_a_step() -> Box<dyn Case> {
    Box::new(Comparison::new("fake_quantize, half a step", &["fake_quantize"], || {
        let (rows, width) = (5, 83);
        let x = signed("fake_quantize, half a step", rows * width);
        let mut found = vec![0.0; x.len()];
        fake_quantize(&x, rows, &mut found)?;
        let step = |row: &[f64]| row.iter().fold(0.0, |a: f64, x| a.max(x.abs())) / 127.0;
        // The step and the codes are decided in f32.
        let rounding = 1.0 + 256.0 * f64::from(f32::EPSILON);
        let bound = |row| vec![0.5 * step(row) * rounding; width];
        let allowed = x.chunks(width).flat_map(bound).collect();
        Ok(vec![Pair { array: "x̂".into(), found, expected: x, allowed }])
    }))
}

/// `f32` and `f64` see the same codes, times a scale that is rounded once more in `f32`.
fn codes_of_both() -> Box<dyn Case> {
    Box::new(Comparison::new("fake_quantize, f32", &["fake_quantize"], || {
        let (rows, width) = (5, 83);
        let x = narrow(&signed("fake_quantize, f32", rows * width));
        let (mut fast, mut exact) = (vec![0.0_f32; x.len()], vec![0.0_f64; x.len()]);
        fake_quantize(&x, rows, &mut fast)?;
        fake_quantize(&widen(&x), rows, &mut exact)?;
        let held = narrow(&signed("fake_quantize, f32, held", x.len()));
        let (mut fast_dx, mut exact_dx) = (held.clone(), widen(&held));
        fake_quantize_backward(&x, &mut fast_dx)?;
        fake_quantize_backward(&widen(&x), &mut exact_dx)?;
        let magnitudes = exact.clone();
        Ok(vec![
            Pair::sums("output", &fast, &exact, 0, |i| magnitudes[i].abs()),
            Pair::sums("d x", &fast_dx, &exact_dx, 0, |_| 2.0),
        ])
    }))
}
