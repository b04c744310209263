//! Ternary projections that train, and a ternary table of embeddings.

mod ready;

use std::sync::Arc;

use half::bf16;
use nn::{Activations, Embedding, Gradients, Module, ShadowPrecision, Tape};
use ste::{AnyEstimator, Clipped, Identity, Unscaled};
use ternary_core::quantize::{Absmean, Ttq, TtqParameters, Twn};
use ternary_core::{Granularity, Levels, Quantizer};

use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::cases::op::{narrow, widen};
use crate::gradcheck::comparison::{Comparison, Pair};
use crate::gradcheck::gradient::{Array, Gradient};
use crate::gradcheck::values::signed;
use ready::Ready;

const SMALL: [usize; 3] = [3, 7, 10];
/// Rows, outputs and inputs for the kernels: more than a line of packed trits, and a tail.
const FAST: [usize; 3] = [5, 37, 330];
/// A step of latent weights that changes no code and stays on one side of the bends of an estimator.
const LATENT_STEP: f64 = 1.0 / 4096.0;

/// A layer to build.
#[derive(Clone)]
struct Kind {
    activations: Activations,
    estimator: Arc<dyn AnyEstimator>,
    quantizer: fn() -> Outcome<Arc<dyn Quantizer>>,
    lambda: f32,
    has_bias: bool,
    is_frozen: bool,
    /// ρ of the levels' average and a of the boundary noise.
    unsteady: [f32; 2],
    /// δ of the bias of weights that are zero.
    dead_bias: f32,
}

impl Default for Kind {
    fn default() -> Self {
        Self {
            activations: Activations::Int8,
            estimator: Arc::new(Identity),
            quantizer: || Ok(Arc::new(Absmean::new(Granularity::Tensor))),
            lambda: 1.0,
            has_bias: false,
            is_frozen: false,
            unsteady: [0.0; 2],
            dead_bias: 0.0,
        }
    }
}

/// The cases of these projections.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases = Vec::new();
    let plain = Kind::default();
    cases.extend(both::<f32>("BitLinear", Kind { has_bias: true, ..plain.clone() }));
    let by_row = Kind {
        activations: Activations::Real,
        estimator: Arc::new(Clipped::default()),
        quantizer: || Ok(Arc::new(Twn::with_factor(Granularity::Row, 0.75)?)),
        ..plain.clone()
    };
    cases.extend(both::<bf16>("BitLinear, bf16, real activations", by_row));
    let by_group = Kind {
        estimator: Arc::new(Clipped::hard()),
        quantizer: || {
            let levels = TtqParameters { threshold: 0.3, negative: 0.6, positive: 1.4 };
            Ok(Arc::new(Ttq::new(Granularity::Tensor, vec![levels])?))
        },
        ..plain.clone()
    };
    cases.extend(both::<f32>("BitLinear, two scales", by_group));
    let ramp = Kind {
        estimator: Arc::new(Clipped::default()),
        lambda: 0.25,
        has_bias: true,
        ..plain.clone()
    };
    cases.extend(both::<f32>("BitLinear, λ = ¼", ramp.clone()));
    let ramp = Kind { activations: Activations::Real, lambda: 0.5, ..ramp };
    cases.extend(both::<bf16>("BitLinear, λ = ½, real activations", ramp));
    let unsteady =
        Kind { estimator: Arc::new(Clipped::default()), unsteady: [0.5, 0.5], ..plain.clone() };
    cases.extend(both::<f32>("BitLinear, averaged levels and noise", unsteady));
    let dead = Kind { dead_bias: 0.25, ..plain.clone() };
    cases.extend(both::<f32>("BitLinear, weights of zero as a bias", dead.clone()));
    // Both without a part of their own in the gradient: an estimator that scales, and a ramp.
    let dead = Kind {
        estimator: Arc::new(Unscaled),
        has_bias: true,
        activations: Activations::Real,
        ..dead
    };
    cases.extend(both::<bf16>("BitLinear, weights of zero as a bias, unscaled", dead.clone()));
    let ramp = Kind { lambda: 0.25, ..dead };
    cases.extend(both::<f32>("BitLinear, weights of zero as a bias, λ = ¼", ramp));
    cases.extend(both::<f32>(
        "BitLinear, frozen",
        Kind { is_frozen: true, has_bias: true, ..plain.clone() },
    ));
    cases.push(table("Embedding, ternary", Kind { has_bias: false, ..plain }));
    cases
}

fn both<P: ShadowPrecision>(name: &'static str, kind: Kind) -> [Box<dyn Case>; 2] {
    [gradient::<P>(name, kind.clone()), single::<P>(format!("{name}, f32"), kind)]
}

/// Adds a bias to rows; none where it is empty.
fn add_bias(y: &mut [f64], bias: &[f64]) {
    if !bias.is_empty() {
        y.chunks_mut(bias.len()).for_each(|row| {
            row.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
        });
    }
}

fn gradient<P: ShadowPrecision>(name: &'static str, kind: Kind) -> Box<dyn Case> {
    let [rows, outputs, inputs] = SMALL;
    let shape = [outputs, inputs];
    let ready = match kind.build::<P>(name, shape) {
        Ok(ready) => ready,
        Err(error) => {
            let error = error.to_string();
            return Box::new(Comparison::new(name, &["BitLinear"], move || {
                Err(error.clone().into())
            }));
        }
    };
    let x = signed(&format!("{name}/x"), rows * inputs);
    let latent = Array::new("latent", &shape, ready.latent.values.clone()).step(LATENT_STEP);
    let latent = if kind.is_frozen { latent.zero() } else { latent };
    let bias = signed("a bias that is not there", outputs);
    let bias =
        Array::new("bias", &[outputs], if kind.has_bias { ready.bias.clone() } else { bias });
    let bias = if kind.has_bias { bias } else { bias.zero() };
    let arrays = [Array::new("x", &[rows, inputs], x.clone()), latent, bias];

    let has_bias = kind.has_bias;
    let levels = ready.latent.levels.clone();
    let surrogate = ready.surrogate(&x).map_err(|error| error.to_string());
    let ready = Arc::new(ready);
    let own = ready.clone();
    let forward = move |[x, w, bias]: [&[f64]; 3]| {
        let mut y = surrogate.clone()?.outputs(x, Some(w));
        add_bias(&mut y, &own.added(w, if has_bias { bias } else { &[] }));
        Ok([y])
    };
    let backward = move |[x, _, _]: [&[f64]; 3], [u]: [&[f64]; 1], gradients: [&mut [f64]; 3]| {
        ready.step(x, u, gradients).map(drop)
    };
    let codes = move |[_, w, _]: [&[f64]; 3]| {
        let code = |(&w, levels): (&f64, &Levels)| i64::from(levels.trit(w as f32));
        Ok(w.iter().zip(&levels).map(code).collect())
    };
    let case = Gradient::new(name, &["BitLinear"], arrays, forward, backward);
    Box::new(case.selecting(codes))
}

fn single<P: ShadowPrecision>(name: String, kind: Kind) -> Box<dyn Case> {
    let case = name.clone();
    Box::new(Comparison::new(name, &["BitLinear"], move || {
        let [rows, outputs, inputs] = FAST;
        let ready = kind.build::<P>(&case, [outputs, inputs])?;
        let random = |what: &str, count| narrow(&signed(&format!("{case}/{what}"), count));
        let (x, upstream) = (random("x", rows * inputs), random("upstream", rows * outputs));
        let mut fast =
            [("dx", x.len()), ("dw", outputs * inputs), ("db", outputs)].map(|(d, n)| random(d, n));
        let mut exact = fast.each_ref().map(|held| widen(held));
        let y = ready.step(&x, &upstream, fast.each_mut().map(|d| &mut d[..]))?;
        let (wide_x, wide_upstream) = (widen(&x), widen(&upstream));
        let exact_y = ready.step(&wide_x, &wide_upstream, exact.each_mut().map(|d| &mut d[..]))?;

        let surrogate = ready.surrogate(&wide_x)?;
        let (terms, [dx, dw]) =
            (surrogate.output_terms(), surrogate.gradient_terms(&wide_upstream));
        // The integer sums of int8 rows are exact: only scales round.
        let is_integer = kind.activations == Activations::Int8 && kind.lambda == 1.0;
        let roundings = if is_integer { 8 } else { inputs };
        let mut meant = surrogate.outputs(&wide_x, None);
        add_bias(&mut meant, &ready.added(&ready.latent.values, &ready.bias));
        let allowed = terms.iter().map(|terms| (inputs + 4) as f64 * f64::EPSILON * (terms + 1.0));
        Ok(vec![
            // A bias is below 1, and so is what the buffers held.
            Pair::sums("output", &y, &exact_y, roundings, |i| terms[i] + 1.0),
            Pair {
                allowed: allowed.collect(),
                array: "output of f64".into(),
                found: exact_y,
                expected: meant,
            },
            Pair::sums("d x", &fast[0], &exact[0], outputs + 4, |i| dx[i] + 1.0),
            // What was held is added, taken out and added again; the ramp and a slope round too.
            Pair::sums("d latent", &fast[1], &exact[1], rows + 12, |i| dw[i] + 1.0),
            Pair::sums("d bias", &fast[2], &exact[2], rows, |_| rows as f64 + 1.0),
        ])
    }))
}

/// A table of ternary rows, whose latent weights train.
fn table(name: &'static str, kind: Kind) -> Box<dyn Case> {
    let tokens = [2, 0, 4, 2, 1, 0, 2];
    let [_, outputs, inputs] = SMALL;
    let values = match kind.build::<f32>(name, [outputs, inputs]) {
        Ok(ready) => ready.latent.values,
        Err(_) => vec![0.0; outputs * inputs],
    };
    let latent = Array::new("latent", &[outputs, inputs], values);
    let forward_kind = kind.clone();
    let forward = move |[w]: [&[f64]; 1]| {
        let ready = forward_kind.build::<f32>(name, [outputs, inputs])?;
        let weights = ready.weights();
        let entries = tokens.iter().flat_map(|&token| token * inputs..(token + 1) * inputs);
        Ok([entries.map(|i| weights[i] + ready.latent.change(i, w[i])).collect()])
    };
    let backward = move |_: [&[f64]; 1], [u]: [&[f64]; 1], [d]: [&mut [f64]; 1]| {
        let Ready { layer, parameters, .. } = kind.build::<f32>(name, [outputs, inputs])?;
        let embedding = Embedding::<f64>::new(Box::new(layer));
        let (mut tape, mut gradients) = (Tape::recording(), Gradients::zeros(&parameters));
        gradients.values_mut().copy_from_slice(d);
        embedding.forward(&tokens.map(|token| token as u32), &mut tape)?;
        embedding.backward(u.to_vec(), &mut tape, &mut gradients)?;
        // The estimator is the identity: what was held passes the end of an update unchanged.
        embedding.finish_gradients(&mut gradients)?;
        d.copy_from_slice(gradients.values());
        Ok(())
    };
    Box::new(Gradient::new(name, &["Embedding", "BitLinear"], [latent], forward, backward))
}
