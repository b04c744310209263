//! Ops whose entries depend on their row: norm, rotation, softmax, bias, embedding.

use nn::Compute;
use nn::ops::{
    Gain, RotaryTable, bias, bias_backward, embedding, embedding_backward, rms_norm,
    rms_norm_backward, rope, rope_backward, softmax, softmax_backward,
};

use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::cases::op::{
    Bounds, Exact, Forward, Op, add_written, gradient, single, single_by_entries, sum,
};
use crate::gradcheck::values::signed;

/// Rows and their width for `f64`, and for vectors of `f32` with a partial one.
const SMALL: [usize; 2] = [3, 7];
const WIDE: [usize; 2] = [5, 83];

/// The cases of these ops.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases = Vec::new();
    for is_shifted in [false, true] {
        let form = if is_shifted { "1 + gain" } else { "gain" };
        let op = RmsNorm { is_shifted };
        let shapes = |shape: &'static [usize; 2]| [("x", &shape[..]), ("gain", &shape[1..])];
        cases.push(gradient(&format!("rms_norm, {form}"), "rms_norm", shapes(&SMALL), op));
        let [rows, width] = WIDE;
        // With r ≤ 1/√ε = 2 and a gain below 2, |y| < 4; in dx the two terms are below 2·2 and
        // 2·2·(2·2); a gain sums dy·x̂ over rows. Before each stands r, whose root halves the error
        // of a sum of `width` squares.
        let roundings = width + 16;
        let gradients = [sum(2 * roundings, 20.0), sum(rows + roundings, 2.0 * rows as f64)];
        let name = format!("rms_norm, {form}, f32");
        cases.push(single(&name, "rms_norm", shapes(&WIDE), op, sum(roundings, 4.0), gradients));
    }
    for (name, rotated) in [("full", 6), ("partial", 4)] {
        let op = Rope { heads: 3, head_width: 6, rotated, start: 2 };
        cases.push(gradient(&format!("rope, {name}"), "rope", [("x", &[5, 18])], op));
    }
    for (name, rotated) in [("full", 38), ("partial", 22)] {
        let op = Rope { heads: 3, head_width: 38, rotated, start: 2 };
        // Two products of an angle's sine or cosine, which is rounded too.
        let (name, two) = (format!("rope, {name}, f32"), sum(4, 2.0));
        cases.push(single(&name, "rope", [("x", &[5, 114])], op, two, [two]));
    }
    let softmax_op = Softmax;
    cases.push(gradient("softmax", "softmax", [("x", &SMALL)], softmax_op));
    cases.push(single_by_entries("softmax, f32", "softmax", [("x", &WIDE)], softmax_op, |exact| {
        let Exact { output, upstream, .. } = exact;
        let mut terms = Vec::new();
        for (y, dy) in output.chunks(WIDE[1]).zip(upstream.chunks(WIDE[1])) {
            let mean: f64 = y.iter().zip(dy).map(|(y, dy)| y * dy.abs()).sum();
            terms.extend(y.iter().zip(dy).map(|(y, dy)| y * (dy.abs() + mean)));
        }
        // A row's exponentials and their sum; in the gradient y twice, and the sum of y·dy.
        let roundings = WIDE[1] + 16;
        Bounds { output: (roundings, output.to_vec()), gradients: [(3 * roundings, terms)] }
    }));

    cases.push(gradient("bias", "bias", [("bias", &SMALL[1..])], Bias { rows: SMALL[0] }));
    let rows = WIDE[0];
    let column = sum(rows, rows as f64);
    let shapes = [("bias", &WIDE[1..])];
    cases.push(single("bias, f32", "bias", shapes, Bias { rows }, sum(1, 2.0), [column]));

    cases.push(gradient("embedding", "embedding", [("table", &[5, 3])], Embedding { width: 3 }));
    let op = Embedding { width: 37 };
    let column = sum(op.tokens().len(), op.tokens().len() as f64);
    let shapes = [("table", &[5, 37][..])];
    cases.push(single("embedding, f32", "embedding", shapes, op, sum(0, 1.0), [column]));
    cases
}

#[derive(Clone, Copy)]
struct RmsNorm {
    is_shifted: bool,
}

impl RmsNorm {
    /// ε that is not lost beside the mean of squares.
    const EPSILON: f64 = 0.25;

    fn gain<T: Compute>(self, gain: &[T]) -> Gain<'_, T> {
        if self.is_shifted { Gain::Shifted(gain) } else { Gain::Plain(gain) }
    }
}

impl Op<2> for RmsNorm {
    fn forward<T: Compute>(&self, [x, gain]: [&[T]; 2]) -> Outcome<Forward<T>> {
        let mut output = vec![T::ZERO; x.len()];
        let mut saved = vec![T::ZERO; x.len() / gain.len()];
        let epsilon = T::from_f64(Self::EPSILON);
        rms_norm(x, self.gain(gain), epsilon, &mut output, &mut saved)?;
        Ok(Forward { output, saved })
    }

    fn backward<T: Compute>(
        &self,
        [x, gain]: [&[T]; 2],
        forward: &Forward<T>,
        upstream: &[T],
        [dx, d_gain]: [&mut [T]; 2],
    ) -> Outcome {
        add_written([dx], |[dx]| {
            let gain = self.gain(gain);
            Ok(rms_norm_backward(x, gain, &forward.saved, upstream, dx, Some(d_gain))?)
        })
    }
}

#[derive(Clone, Copy)]
struct Rope {
    heads: usize,
    head_width: usize,
    rotated: usize,
    start: usize,
}

impl Rope {
    fn table<T: Compute>(self, rows: usize) -> Outcome<RotaryTable<T>> {
        Ok(RotaryTable::new(100.0, self.head_width, self.rotated, self.start + rows)?)
    }
}

impl Op<1> for Rope {
    fn forward<T: Compute>(&self, [x]: [&[T]; 1]) -> Outcome<Forward<T>> {
        let mut output = vec![T::ZERO; x.len()];
        let table = self.table(x.len() / (self.heads * self.head_width))?;
        rope(&table, self.heads, self.start, x, &mut output)?;
        Ok(Forward { output, saved: Vec::new() })
    }

    fn backward<T: Compute>(
        &self,
        [x]: [&[T]; 1],
        _: &Forward<T>,
        upstream: &[T],
        d: [&mut [T]; 1],
    ) -> Outcome {
        let table = self.table(x.len() / (self.heads * self.head_width))?;
        add_written(d, |[dx]| Ok(rope_backward(&table, self.heads, self.start, upstream, dx)?))
    }
}

#[derive(Clone, Copy)]
struct Softmax;

impl Softmax {
    /// The width of a row of either shape.
    fn width(count: usize) -> usize {
        if count == SMALL[0] * SMALL[1] { SMALL[1] } else { WIDE[1] }
    }
}

impl Op<1> for Softmax {
    fn forward<T: Compute>(&self, [x]: [&[T]; 1]) -> Outcome<Forward<T>> {
        let mut output = vec![T::ZERO; x.len()];
        softmax(x, Self::width(x.len()), &mut output)?;
        Ok(Forward { output, saved: Vec::new() })
    }

    fn backward<T: Compute>(
        &self,
        [x]: [&[T]; 1],
        forward: &Forward<T>,
        upstream: &[T],
        [dx]: [&mut [T]; 1],
    ) -> Outcome {
        Ok(softmax_backward(&forward.output, upstream, Self::width(x.len()), dx)?)
    }
}

/// The rows that the bias is added to are numbers of the case: their gradient is the upstream one.
#[derive(Clone, Copy)]
struct Bias {
    rows: usize,
}

impl Op<1> for Bias {
    fn forward<T: Compute>(&self, [values]: [&[T]; 1]) -> Outcome<Forward<T>> {
        let rows = signed("rows that get a bias", self.rows * values.len());
        let mut output: Vec<T> = rows.iter().map(|&value| T::from_f32(value as f32)).collect();
        bias(values, &mut output)?;
        Ok(Forward { output, saved: Vec::new() })
    }

    fn backward<T: Compute>(
        &self,
        _: [&[T]; 1],
        _: &Forward<T>,
        upstream: &[T],
        [d_bias]: [&mut [T]; 1],
    ) -> Outcome {
        Ok(bias_backward(upstream, d_bias)?)
    }
}

#[derive(Clone, Copy)]
struct Embedding {
    width: usize,
}

impl Embedding {
    /// Of a table of five: one occurs twice, one not at all.
    fn tokens(self) -> &'static [u32] {
        &[2, 0, 4, 2, 1, 0, 2]
    }
}

impl Op<1> for Embedding {
    fn forward<T: Compute>(&self, [table]: [&[T]; 1]) -> Outcome<Forward<T>> {
        let mut output = vec![T::ZERO; self.tokens().len() * self.width];
        embedding(table, self.width, self.tokens(), &mut output)?;
        Ok(Forward { output, saved: Vec::new() })
    }

    fn backward<T: Compute>(
        &self,
        _: [&[T]; 1],
        _: &Forward<T>,
        upstream: &[T],
        [d_table]: [&mut [T]; 1],
    ) -> Outcome {
        Ok(embedding_backward(self.width, self.tokens(), upstream, d_table)?)
    }
}
