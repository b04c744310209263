//! Frozen ternary projections.

use nn::{Activations, Compute, Gradients, Input, Parameters, Projection, Tape, TernaryLinear};
use ternary_core::{Granularity, Packing, Scales};

use super::surrogate::Surrogate;
use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::cases::op::{narrow, widen};
use crate::gradcheck::comparison::{Comparison, Pair};
use crate::gradcheck::gradient::{Array, Gradient};
use crate::gradcheck::values::{signed, uniform};

const ROWS: usize = 3;
const OUTPUTS: usize = 7;
const INPUTS: usize = 10;
/// The same for the kernels: more than a line of packed trits, and a tail.
const FAST: [usize; 3] = [5, 37, 330];

/// The cases of these projections.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for (name, activations, is_asymmetric, packing) in [
        ("TernaryLinear", Activations::Int8, false, Packing::TwoBit),
        ("TernaryLinear, real activations", Activations::Real, false, Packing::TwoBit),
        ("TernaryLinear, two scales a group", Activations::Int8, true, Packing::FiveTrits),
    ] {
        let kind = Kind { activations, is_asymmetric, packing };
        cases.push(gradient(name, kind));
        cases.push(single(&format!("{name}, f32"), kind));
    }
    cases
}

#[derive(Clone, Copy)]
struct Kind {
    activations: Activations,
    is_asymmetric: bool,
    packing: Packing,
}

impl Kind {
    fn layer(self, name: &str, outputs: usize, inputs: usize) -> Outcome<TernaryLinear> {
        let numbers = uniform(&format!("{name}/trits"), outputs * inputs, -1.5, 1.5);
        let trits: Vec<i8> = numbers.iter().map(|number| number.round() as i8).collect();
        let scales = if self.is_asymmetric {
            let granularity = Granularity::group(inputs / 2)?;
            let count = granularity.count(outputs, inputs)?;
            let random = |what: &str| narrow(&uniform(&format!("{name}/{what}"), count, 0.2, 2.0));
            Scales::asymmetric(granularity, random("negative"), random("positive"))?
        } else {
            Scales::tensor(0.7)?
        };
        let layer =
            TernaryLinear::from_trits(name, [outputs, inputs], &trits, scales, self.packing)?;
        Ok(layer.with_activations(self.activations))
    }

    fn surrogate(self, layer: &TernaryLinear, x: &[f64]) -> Outcome<Surrogate> {
        let inputs = layer.weight().cols();
        Surrogate::new(inputs, self.activations, x, widen(&layer.to_f32()), None)
    }
}

/// Forward, and backward into `dx`.
fn step<T: Compute>(
    layer: &TernaryLinear,
    x: &[T],
    upstream: &[T],
    dx: &mut [T],
) -> Outcome<Vec<T>> {
    let mut tape = Tape::recording();
    let mut input = Input::new("case", x.to_vec(), layer.weight().cols())?;
    let mut y = vec![T::ZERO; input.rows() * layer.weight().rows()];
    layer.forward(&mut input, &mut y, &mut tape)?;
    tape.save_input(input);
    let input = tape.restore_input("case")?;
    let mut none = Gradients::zeros(&Parameters::new());
    layer.backward(&input, upstream, Some(dx), &mut tape, &mut none)?;
    Ok(y)
}

fn gradient(name: &'static str, kind: Kind) -> Box<dyn Case> {
    let x = signed(&format!("{name}/x"), ROWS * INPUTS);
    let array = Array::new("x", &[ROWS, INPUTS], x.clone());
    let forward = move |[moved]: [&[f64]; 1]| {
        let surrogate = kind.surrogate(&kind.layer(name, OUTPUTS, INPUTS)?, &x)?;
        Ok([surrogate.outputs(moved, None)])
    };
    let backward = move |[x]: [&[f64]; 1], [u]: [&[f64]; 1], [dx]: [&mut [f64]; 1]| {
        step(&kind.layer(name, OUTPUTS, INPUTS)?, x, u, dx).map(drop)
    };
    Box::new(Gradient::new(name, &["TernaryLinear"], [array], forward, backward))
}

fn single(name: &str, kind: Kind) -> Box<dyn Case> {
    let case = name.to_owned();
    Box::new(Comparison::new(name, &["TernaryLinear"], move || {
        let [rows, outputs, inputs] = FAST;
        let layer = kind.layer(&case, outputs, inputs)?;
        let random = |what: &str, count| narrow(&signed(&format!("{case}/{what}"), count));
        let (x, upstream) = (random("x", rows * inputs), random("upstream", rows * outputs));
        let mut dx = random("held", x.len());
        let mut exact_dx = widen(&dx);
        let y = step(&layer, &x, &upstream, &mut dx)?;
        let exact_y = step(&layer, &widen(&x), &widen(&upstream), &mut exact_dx)?;
        let surrogate = kind.surrogate(&layer, &widen(&x))?;
        let (terms, [dx_terms, _]) =
            (surrogate.output_terms(), surrogate.gradient_terms(&widen(&upstream)));
        // The integer sums of int8 rows are exact: only scales round, and sums of a few groups.
        let roundings = if kind.activations == Activations::Int8 { 8 } else { inputs };
        let meant = surrogate.outputs(&widen(&x), None);
        let allowed =
            terms.iter().map(|terms| (inputs + 4) as f64 * f64::EPSILON * terms).collect();
        Ok(vec![
            Pair::sums("output", &y, &exact_y, roundings, |i| terms[i]),
            Pair { array: "output of f64".into(), found: exact_y, expected: meant, allowed },
            Pair::sums("d x", &dx, &exact_dx, outputs + 4, |i| dx_terms[i] + 1.0),
        ])
    }))
}
