//! Ops that work number by number: gates, non-linear functions, the residual sum.

use nn::Compute;
use nn::ops::{
    gated_attention, gated_attention_backward, gelu, gelu_backward, relu_squared,
    relu_squared_backward, relu_squared_gate, relu_squared_gate_backward, residual,
    residual_backward, silu, silu_backward, swiglu, swiglu_backward,
};

use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::cases::op::{Forward, Op, Sum, add_written, gradient, single, sum};

/// A forward of one array and a backward, by their names.
macro_rules! of_one {
    ($type:ident, $forward:ident, $backward:ident) => {
        #[derive(Clone)]
        struct $type;

        impl Op<1> for $type {
            fn forward<T: Compute>(&self, [x]: [&[T]; 1]) -> Outcome<Forward<T>> {
                let mut output = vec![T::ZERO; x.len()];
                $forward(x, &mut output)?;
                Ok(Forward { output, saved: Vec::new() })
            }

            fn backward<T: Compute>(
                &self,
                [x]: [&[T]; 1],
                _: &Forward<T>,
                upstream: &[T],
                d: [&mut [T]; 1],
            ) -> Outcome {
                add_written(d, |[dx]| Ok($backward(x, upstream, dx)?))
            }
        }
    };
}

/// The same of two arrays.
macro_rules! of_two {
    ($type:ident, $forward:ident, $backward:ident) => {
        #[derive(Clone)]
        struct $type;

        impl Op<2> for $type {
            fn forward<T: Compute>(&self, [a, b]: [&[T]; 2]) -> Outcome<Forward<T>> {
                let mut output = vec![T::ZERO; a.len()];
                $forward(a, b, &mut output)?;
                Ok(Forward { output, saved: Vec::new() })
            }

            fn backward<T: Compute>(
                &self,
                [a, b]: [&[T]; 2],
                _: &Forward<T>,
                upstream: &[T],
                d: [&mut [T]; 2],
            ) -> Outcome {
                add_written(d, |[da, db]| Ok($backward(a, b, upstream, da, db)?))
            }
        }
    };
}

of_one!(Gelu, gelu, gelu_backward);
of_one!(ReluSquared, relu_squared, relu_squared_backward);
of_one!(Silu, silu, silu_backward);
of_two!(GatedAttention, gated_attention, gated_attention_backward);
of_two!(ReluSquaredGate, relu_squared_gate, relu_squared_gate_backward);
of_two!(SwiGlu, swiglu, swiglu_backward);
of_two!(Residual, residual, sum_backward);

/// The backward of a sum needs neither of its terms.
fn sum_backward<T: Compute>(
    _: &[T],
    _: &[T],
    dz: &[T],
    dx: &mut [T],
    dy: &mut [T],
) -> nn::Result<()> {
    residual_backward(dz, dx, dy)
}

const SMALL: [usize; 2] = [3, 7];
const WIDE: [usize; 2] = [5, 83];

/// The cases of these ops.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases = Vec::new();
    cases.extend(both_of_one("gelu", Gelu));
    cases.extend(both_of_one("relu_squared", ReluSquared));
    cases.extend(both_of_one("silu", Silu));
    cases.extend(both_of_two("gated_attention", ["x", "gate"], GatedAttention));
    cases.extend(both_of_two("relu_squared_gate", ["gate", "up"], ReluSquaredGate));
    cases.extend(both_of_two("residual", ["x", "y"], Residual));
    cases.extend(both_of_two("swiglu", ["gate", "up"], SwiGlu));
    cases
}

/// More roundings than lie between a number and its result or its slope, an exponential of a few
/// units in the last place among them; no term of any of these functions is above 4.
const NUMBER: Sum = sum(24, 4.0);

fn both_of_one(item: &'static str, op: impl Op<1>) -> [Box<dyn Case>; 2] {
    let exact = gradient(item, item, [("x", &SMALL)], op.clone());
    let single = single(&format!("{item}, f32"), item, [("x", &WIDE)], op, NUMBER, [NUMBER]);
    [exact, single]
}

fn both_of_two(item: &'static str, names: [&str; 2], op: impl Op<2>) -> [Box<dyn Case>; 2] {
    let small = names.map(|name| (name, &SMALL[..]));
    let wide = names.map(|name| (name, &WIDE[..]));
    let exact = gradient(item, item, small, op.clone());
    let single = single(&format!("{item}, f32"), item, wide, op, NUMBER, [NUMBER; 2]);
    [exact, single]
}
