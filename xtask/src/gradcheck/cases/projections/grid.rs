//! Ternary projections that train without latent weights.

use std::sync::Arc;

use nn::{
    Activations, Compute, Embedding, Gradients, GridLinear, Input, Parameters, Projection, Tape,
};
use ste::{Identity, Progress};
use ternary_core::{Granularity, Levels, Packing, Scales, TernaryMatrix};

use super::surrogate::{Latent, Surrogate};
use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::cases::op::{narrow, widen};
use crate::gradcheck::comparison::{Comparison, Pair};
use crate::gradcheck::gradient::{Array, Gradient};
use crate::gradcheck::values::{signed, uniform};

/// Rows, outputs and inputs.
const SMALL: [usize; 3] = [3, 7, 10];
/// The same for the kernels: more than a line of packed trits, and a tail.
const FAST: [usize; 3] = [5, 37, 330];

/// The cases of these projections.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = vec![table("Embedding, on the grid")];
    for (name, activations) in
        [("GridLinear", Activations::Int8), ("GridLinear, real activations", Activations::Real)]
    {
        cases.push(gradient(name, activations));
        cases.push(single(name, activations));
    }
    cases
}

fn matrix(case: &str, [outputs, inputs]: [usize; 2]) -> Outcome<TernaryMatrix> {
    let numbers = uniform(&format!("{case}/trits"), outputs * inputs, -1.5, 1.5);
    let trits: Vec<i8> = numbers.iter().map(|number| number.round() as i8).collect();
    let random = |what: &str| narrow(&uniform(&format!("{case}/{what}"), outputs, 0.2, 2.0));
    let scales = Scales::asymmetric(Granularity::Row, random("negative"), random("positive"))?;
    Ok(TernaryMatrix::from_trits(outputs, inputs, &trits, scales, Packing::TwoBit)?)
}

/// A layer and its parameters.
struct Ready {
    layer: GridLinear,
    parameters: Parameters,
}

impl Ready {
    fn new(case: &str, shape: [usize; 2], activations: Activations) -> Outcome<Self> {
        let mut parameters = Parameters::new();
        let matrix = matrix(case, shape)?;
        let layer = GridLinear::new("case", matrix, activations, &mut parameters)?;
        Ok(Self { layer, parameters })
    }

    /// Weights may leave the grid: it is crossed by the rounding of an update, not by the gradient.
    fn surrogate(&self, x: &[f64], activations: Activations) -> Outcome<Surrogate> {
        let weights = widen(&self.layer.weight().to_f32());
        let levels = vec![Levels::symmetric(0.0, 1.0); weights.len()];
        let (estimator, progress) = (Arc::new(Identity), Progress::DONE);
        let latent = Latent { values: weights.clone(), lambda: 1.0, estimator, progress, levels };
        Surrogate::new(self.layer.weight().cols(), activations, x, weights, Some(latent))
    }

    /// Forward, and backward into `dx` and `dw`.
    fn step<T: Compute>(
        &self,
        x: &[T],
        upstream: &[T],
        [dx, dw]: [&mut [T]; 2],
    ) -> Outcome<Vec<T>> {
        let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(&self.parameters));
        gradients.values_mut().copy_from_slice(dw);
        let mut input = Input::new("case", x.to_vec(), self.layer.weight().cols())?;
        let mut y = vec![T::ZERO; input.rows() * self.layer.weight().rows()];
        self.layer.forward(&mut input, &mut y, &mut tape)?;
        tape.save_input(input);
        let input = tape.restore_input("case")?;
        self.layer.backward(&input, upstream, Some(dx), &mut tape, &mut gradients)?;
        dw.copy_from_slice(gradients.values());
        Ok(y)
    }
}

fn gradient(name: &'static str, activations: Activations) -> Box<dyn Case> {
    let [rows, outputs, inputs] = SMALL;
    let shape = [outputs, inputs];
    let weights = matrix(name, shape).map(|matrix| widen(&matrix.to_f32())).unwrap_or_default();
    let x = signed(&format!("{name}/x"), rows * inputs);
    let arrays =
        [Array::new("x", &[rows, inputs], x.clone()), Array::new("weights", &shape, weights)];
    let forward = move |[moved, w]: [&[f64]; 2]| {
        let ready = Ready::new(name, shape, activations)?;
        Ok([ready.surrogate(&x, activations)?.outputs(moved, Some(w))])
    };
    let backward = move |[x, _]: [&[f64]; 2], [u]: [&[f64]; 1], gradients: [&mut [f64]; 2]| {
        Ready::new(name, shape, activations)?.step(x, u, gradients).map(drop)
    };
    Box::new(Gradient::new(name, &["GridLinear"], arrays, forward, backward))
}

fn single(name: &'static str, activations: Activations) -> Box<dyn Case> {
    Box::new(Comparison::new(format!("{name}, f32"), &["GridLinear"], move || {
        let [rows, outputs, inputs] = FAST;
        let ready = Ready::new(name, [outputs, inputs], activations)?;
        let random = |what: &str, count| narrow(&signed(&format!("{name}/{what}"), count));
        let (x, upstream) = (random("x", rows * inputs), random("upstream", rows * outputs));
        let mut fast = [random("dx", x.len()), random("dw", outputs * inputs)];
        let mut exact = fast.each_ref().map(|held| widen(held));
        let y = ready.step(&x, &upstream, fast.each_mut().map(|d| &mut d[..]))?;
        let (wide_x, wide_upstream) = (widen(&x), widen(&upstream));
        let exact_y = ready.step(&wide_x, &wide_upstream, exact.each_mut().map(|d| &mut d[..]))?;
        let surrogate = ready.surrogate(&wide_x, activations)?;
        let (terms, [dx, dw]) =
            (surrogate.output_terms(), surrogate.gradient_terms(&wide_upstream));
        let roundings = if activations == Activations::Int8 { 8 } else { inputs };
        Ok(vec![
            Pair::sums("output", &y, &exact_y, roundings, |i| terms[i]),
            Pair::sums("d x", &fast[0], &exact[0], outputs + 4, |i| dx[i] + 1.0),
            Pair::sums("d weights", &fast[1], &exact[1], rows + 4, |i| dw[i] + 1.0),
        ])
    }))
}

/// A table of rows on the grid.
fn table(name: &'static str) -> Box<dyn Case> {
    let tokens = [2, 0, 4, 2, 1, 0, 2];
    let [_, outputs, inputs] = SMALL;
    let shape = [outputs, inputs];
    let weights = matrix(name, shape).map(|matrix| widen(&matrix.to_f32())).unwrap_or_default();
    let array = Array::new("weights", &shape, weights);
    let forward = move |[w]: [&[f64]; 1]| {
        let entries = tokens.iter().flat_map(|&token| token * inputs..(token + 1) * inputs);
        Ok([entries.map(|i| w[i]).collect()])
    };
    let backward = move |_: [&[f64]; 1], [u]: [&[f64]; 1], [d]: [&mut [f64]; 1]| {
        let Ready { layer, parameters } = Ready::new(name, shape, Activations::Int8)?;
        let embedding = Embedding::<f64>::new(Box::new(layer));
        let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(&parameters));
        gradients.values_mut().copy_from_slice(d);
        embedding.forward(&tokens.map(|token| token as u32), &mut tape)?;
        embedding.backward(u.to_vec(), &mut tape, &mut gradients)?;
        d.copy_from_slice(gradients.values());
        Ok(())
    };
    Box::new(Gradient::new(name, &["Embedding", "GridLinear"], [array], forward, backward))
}
