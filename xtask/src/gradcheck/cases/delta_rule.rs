//! The gated delta rule: outputs and last states, for inputs as a layer makes them.

use lora_backward::ops::{
    CHUNK, DeltaGradients, DeltaRows, DeltaShape, delta_rule, delta_rule_backward,
};
use nn::{Compute, Sequences};

use super::op::{Forward, Op, gradient, single, sum};
use crate::gradcheck::case::{Case, Outcome};

/// The cases: grouped heads in one chunk, and a chunk with the beginning of the next.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let grouped = DeltaShape {
        sequences: Sequences { count: 2, length: 5 },
        key_heads: 2,
        value_heads: 4,
        key_width: 3,
        value_width: 5,
    };
    let long = DeltaShape {
        sequences: Sequences { count: 1, length: CHUNK + 2 },
        key_heads: 1,
        value_heads: 2,
        ..grouped
    };
    let [a, b] = [("delta_rule, grouped heads", grouped), ("delta_rule, two chunks", long)];
    [a, b].into_iter().flat_map(|(name, shape)| cases(name, shape)).collect()
}

fn cases(name: &str, shape: DeltaShape) -> [Box<dyn Case>; 2] {
    let DeltaShape { sequences, key_heads, value_heads, key_width, value_width } = shape;
    let tokens = sequences.rows();
    let keys = [tokens, key_heads, key_width];
    let values = [tokens, value_heads, value_width];
    let (numbers, states) =
        ([tokens, value_heads], [sequences.count * value_heads, key_width * value_width]);
    let shapes = [
        ("query", &keys[..]),
        ("key", &keys),
        ("value", &values),
        ("decay", &numbers),
        ("write", &numbers),
        ("state", &states),
    ];
    // What a token adds to the state is forgotten at a rate of e^−¼ on average, so that a number is a sum over
    // some four tokens, and as many again on the way back, of products of dk, below 8 in all.
    let roundings = 4 * (sequences.length + key_width + value_width) + 16;
    let bound = sum(roundings, 8.0);
    let single_name = format!("{name}, f32");
    [
        gradient(name, "delta_rule", shapes, Rule(shape)),
        single(&single_name, "delta_rule", shapes, Rule(shape), bound, [bound; 6]),
    ]
}

#[derive(Clone, Copy)]
struct Rule(DeltaShape);

/// Arrays in (−1, 1) as inputs of a layer: keys of length below 1, −½ < g < 0 and 0 < β < 1.
struct Inputs<T> {
    key: Vec<T>,
    decay: Vec<T>,
    write: Vec<T>,
}

impl<T: Compute> Inputs<T> {
    fn new([_, key, _, decay, write, _]: [&[T]; 6]) -> Self {
        let quarter = T::HALF * T::HALF;
        let map = |array: &[T], of: &dyn Fn(T) -> T| array.iter().map(|&x| of(x)).collect();
        Self {
            key: map(key, &|x| T::HALF * x),
            decay: map(decay, &|x| quarter * (x - T::ONE)),
            write: map(write, &|x| T::HALF * (x + T::ONE)),
        }
    }

    fn rows<'a>(&'a self, [query, _, value, ..]: [&'a [T]; 6]) -> DeltaRows<'a, T> {
        let Self { key, decay, write } = self;
        DeltaRows { query, key, value, decay, write }
    }
}

impl Op<6> for Rule {
    fn forward<T: Compute>(&self, arrays: [&[T]; 6]) -> Outcome<Forward<T>> {
        let inputs = Inputs::new(arrays);
        let (mut state, mut starts) = (arrays[5].to_vec(), vec![T::ZERO; self.0.starts()]);
        let mut output = vec![T::ONE; arrays[2].len()];
        let rows = inputs.rows(arrays);
        delta_rule(self.0, rows, &mut state, Some(&mut starts), &mut output)?;
        output.extend(state);
        Ok(Forward { output, saved: starts })
    }

    fn backward<T: Compute>(
        &self,
        arrays: [&[T]; 6],
        forward: &Forward<T>,
        upstream: &[T],
        [query, key, value, decay, write, state]: [&mut [T]; 6],
    ) -> Outcome {
        let inputs = Inputs::new(arrays);
        let (dy, d_last) = upstream.split_at(value.len());
        let mut d_state = d_last.to_vec();
        // The gradients of what the arrays are mapped to, whose slopes are ½, ¼ and ½.
        let mut inner = [&*key, decay, write].map(|array| vec![T::ZERO; array.len()]);
        let [d_key, d_decay, d_write] = &mut inner;
        let gradients = DeltaGradients { query, key: d_key, value, decay: d_decay, write: d_write };
        let rows = inputs.rows(arrays);
        delta_rule_backward(self.0, rows, &forward.saved, dy, &mut d_state, gradients)?;
        let slopes = [T::HALF, T::HALF * T::HALF, T::HALF];
        for ((own, inner), slope) in [key, decay, write].into_iter().zip(&inner).zip(slopes) {
            own.iter_mut().zip(inner).for_each(|(d, &inner)| *d += slope * inner);
        }
        state.iter_mut().zip(&d_state).for_each(|(d, &own)| *d += own);
        Ok(())
    }
}
