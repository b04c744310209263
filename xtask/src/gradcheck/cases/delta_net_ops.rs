//! What stands in front of the delta rule: the short convolution and the gates.

use lora_backward::ops::{
    ConvInputs, ConvShape, DecayParameterGradients, DecayParameters, decay_gates,
    decay_gates_backward, short_conv, short_conv_backward,
};
use nn::{Compute, Sequences};

use super::op::{Forward, Op, gradient, single, sum};
use crate::gradcheck::case::{Case, Outcome};

/// The cases: sequences longer and shorter than the taps reach, and heads with gates of their own.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases = Vec::new();
    for (name, length) in [("short_conv", 5), ("short_conv, a short piece", 1)] {
        let sequences = Sequences { count: 2, length };
        cases.extend(convolutions(name, ConvShape { sequences, channels: 5, taps: 4 }));
    }
    let shapes = [("a_log", &[3][..]), ("dt_bias", &[3]), ("a", &[7, 3]), ("b", &[7, 3])];
    cases.push(gradient("decay_gates", "decay_gates", shapes, Gates));
    // A few functions of a few units in the last place, of numbers below e·(1 + ln 2 + 2) each.
    let (number, column) = (sum(24, 10.0), sum(24 + 7, 7.0 * 10.0));
    let gradients = [column, column, number, number];
    cases.push(single("decay_gates, f32", "decay_gates", shapes, Gates, number, gradients));
    cases
}

fn convolutions(name: &str, shape: ConvShape) -> [Box<dyn Case>; 2] {
    let ConvShape { sequences, channels, taps } = shape;
    let shapes = [
        ("taps", &[channels, taps][..]),
        ("x", &[sequences.rows(), channels]),
        ("columns", &[sequences.count, channels, taps - 1]),
    ];
    let (window, column) = (sum(taps, taps as f64), sum(sequences.rows(), sequences.rows() as f64));
    let single_name = format!("{name}, f32");
    let op = Convolution(shape);
    [
        gradient(name, "short_conv", shapes, op),
        single(&single_name, "short_conv", shapes, op, window, [column, window, window]),
    ]
}

#[derive(Clone, Copy)]
struct Convolution(ConvShape);

impl Op<3> for Convolution {
    fn forward<T: Compute>(&self, [taps, x, columns]: [&[T]; 3]) -> Outcome<Forward<T>> {
        let (mut output, mut columns) = (vec![T::ONE; x.len()], columns.to_vec());
        short_conv(self.0, taps, x, &mut columns, &mut output)?;
        output.extend(columns);
        Ok(Forward { output, saved: Vec::new() })
    }

    fn backward<T: Compute>(
        &self,
        [taps, x, columns]: [&[T]; 3],
        _: &Forward<T>,
        upstream: &[T],
        [d_taps, dx, d_columns]: [&mut [T]; 3],
    ) -> Outcome {
        let (dy, d_last) = upstream.split_at(x.len());
        let mut own = d_last.to_vec();
        let inputs = ConvInputs { taps, x, columns };
        short_conv_backward(self.0, inputs, dy, &mut own, dx, Some(d_taps))?;
        d_columns.iter_mut().zip(&own).for_each(|(d, &own)| *d += own);
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Gates;

impl Op<4> for Gates {
    fn forward<T: Compute>(&self, [a_log, dt_bias, a, b]: [&[T]; 4]) -> Outcome<Forward<T>> {
        let mut output = vec![T::ZERO; 2 * a.len()];
        let (decay, write) = output.split_at_mut(a.len());
        decay_gates(DecayParameters { a_log, dt_bias }, [a, b], [decay, write])?;
        Ok(Forward { output, saved: Vec::new() })
    }

    fn backward<T: Compute>(
        &self,
        [a_log, dt_bias, a, b]: [&[T]; 4],
        _: &Forward<T>,
        upstream: &[T],
        [d_log, d_bias, da, db]: [&mut [T]; 4],
    ) -> Outcome {
        let parameters = DecayParameters { a_log, dt_bias };
        let (d_decay, d_write) = upstream.split_at(a.len());
        let d_parameters = DecayParameterGradients { a_log: d_log, dt_bias: d_bias };
        let d = [d_decay, d_write];
        Ok(decay_gates_backward(parameters, [a, b], d, [da, db], Some(d_parameters))?)
    }
}
