//! Quantisers with learned levels: latent weights against the function that the estimator names, and
//! the learned parameters against the function that their gradients name, alone and through a layer.

use std::sync::Arc;

use nn::{
    Activations, BitLinear, BitLinearOptions, Dense, Gradients, Input, LearnedLevels, LearnedRule,
    Module, Parameters, Projection, Tape, Update, ValuesMut,
};
use ste::{AnyEstimator, Estimator, Group, Lsq, ParameterGradient, Point, Progress, Seq, Ttq};
use ternary_core::{Granularity, Levels};

use super::op::{narrow, widen};
use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::comparison::{Comparison, Pair};
use crate::gradcheck::gradient::{Array, Gradient};
use crate::gradcheck::values::signed;

/// Latent weights on every side of the bends of all three.
const LATENT: [f64; 8] = [0.2, -0.6, 0.85, -1.2, 1.4, -1.6, 2.1, -2.5];
const LARGEST: f32 = 2.5;
/// Less than the distance from each of them to a bend.
const STEP: f64 = 1.0 / 32.0;
const ROUNDINGS: usize = 16;
/// Rows, outputs and inputs of a layer.
const SHAPE: [usize; 3] = [3, 7, 10];
/// A step of a threshold within which no weight enters or leaves the reach of the kernel.
const THRESHOLD_STEP: f64 = 1.0 / 65536.0;

/// Gradients of learned parameters, for both floating types.
trait AnyParameterGradient: ParameterGradient<f32> + ParameterGradient<f64> {}

impl<G: ParameterGradient<f32> + ParameterGradient<f64>> AnyParameterGradient for G {}

#[derive(Clone)]
struct Rule {
    item: &'static str,
    estimator: Arc<dyn AnyEstimator>,
    gradient: Arc<dyn AnyParameterGradient>,
    levels: Levels,
    names: &'static [&'static str],
    /// The parameters that the levels come from.
    parameters: &'static [f64],
    /// Whether the gradients are multiplied by 1/√N.
    is_scaled: bool,
    learned: LearnedRule,
}

fn rules() -> [Rule; 3] {
    [
        Rule {
            item: "Seq",
            estimator: Arc::new(Seq),
            gradient: Arc::new(Seq),
            levels: Levels::symmetric(0.5, 1.0),
            names: &["scale"],
            parameters: &[1.5],
            is_scaled: true,
            learned: LearnedRule::Seq,
        },
        Rule {
            item: "Lsq",
            estimator: Arc::new(Lsq),
            gradient: Arc::new(Lsq),
            levels: Levels::symmetric(0.5, 1.0),
            names: &["scale"],
            parameters: &[1.0],
            is_scaled: true,
            learned: LearnedRule::Lsq,
        },
        Rule {
            item: "Ttq",
            estimator: Arc::new(Ttq),
            gradient: Arc::new(Ttq),
            levels: Levels { threshold: 0.5, negative: 0.75, positive: 1.25 },
            names: &["positive_scale", "negative_scale", "threshold"],
            parameters: &[1.25, 0.75, 0.2],
            is_scaled: false,
            learned: LearnedRule::Ttq { threshold: 0.2, is_threshold_learned: true },
        },
    ]
}

/// The cases of all three.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for rule in rules() {
        cases.push(latent(&rule));
        cases.push(parameters(&rule));
        cases.push(single(&rule));
        for setting in [
            Setting { lambda: 1.0, noise: 0.0, granularity: Granularity::Row },
            Setting { lambda: 0.5, noise: 0.0, granularity: Granularity::Tensor },
            Setting { lambda: 1.0, noise: 0.5, granularity: Granularity::Row },
        ] {
            cases.push(layer(&rule, setting));
        }
    }
    cases.push(magnitudes());
    cases.push(smoothed_layer());
    cases
}

impl Rule {
    fn factor(&self, numbers: usize) -> f64 {
        if self.is_scaled { 1.0 / (numbers as f64).sqrt() } else { 1.0 }
    }

    fn trits(&self) -> [i8; LATENT.len()] {
        LATENT.map(|w| self.levels.trit(w as f32))
    }
}

/// dL/dw against the derivative of φ.
fn latent(rule: &Rule) -> Box<dyn Case> {
    let levels = rule.levels;
    let (names, passes) = (rule.estimator.clone(), rule.estimator.clone());
    let array = Array::new("latent", &[LATENT.len()], LATENT.to_vec()).step(STEP);
    let forward = move |[latent]: [&[f64]; 1]| {
        let names: &dyn Estimator<f64> = &*names;
        let phi = |&w: &f64| names.surrogate(w, levels, Progress::DONE).ok_or("no surrogate");
        Ok([latent.iter().map(phi).collect::<Result<_, _>>()?])
    };
    let backward = move |[latent]: [&[f64]; 1], [u]: [&[f64]; 1], [d]: [&mut [f64]; 1]| {
        let mut gradient = u.to_vec();
        passes.pass(latent, levels, Progress::DONE, &mut gradient);
        d.iter_mut().zip(gradient).for_each(|(d, gradient)| *d += gradient);
        Ok(())
    };
    let name = format!("{}, latent weights", rule.item);
    Box::new(Gradient::new(name, &[rule.item], [array], forward, backward))
}

/// Gradients of the parameters of one group against ψ: for TTQ the real forward in W_p and W_n, and the
/// smoothed one in the threshold.
fn parameters(rule: &Rule) -> Box<dyn Case> {
    let array = |(name, value): (&&str, &f64)| Array::new(name, &[1], vec![*value]).step(STEP);
    let arrays = rule.names.iter().zip(rule.parameters).map(array).collect();
    let (forward_rule, backward_rule) = (rule.clone(), rule.clone());
    let forward = move |parameters: &[Vec<f64>]| {
        let rule = &forward_rule;
        let parameters = parameters.concat();
        let psi = |(&latent, trit): (&f64, i8)| {
            let point = Point { latent, trit, levels: rule.levels, largest: LARGEST };
            let gradient: &dyn ParameterGradient<f64> = &*rule.gradient;
            rule.factor(LATENT.len()) * gradient.surrogate(point, &parameters)
        };
        Ok(vec![LATENT.iter().zip(rule.trits()).map(psi).collect()])
    };
    let backward = move |_: &[Vec<f64>], upstream: &[Vec<f64>], gradients: &mut [Vec<f64>]| {
        let sums = sums(&backward_rule, &LATENT, &upstream[0]);
        gradients.iter_mut().zip(sums).for_each(|(d, sum)| d[0] += sum);
        Ok(())
    };
    let name = format!("{}, learned parameters", rule.item);
    Box::new(Gradient::of_arrays(name, &[rule.item], arrays, forward, backward))
}

/// Gradients of the parameters of the group of [`LATENT`].
fn sums(rule: &Rule, latent: &[f64], upstream: &[f64]) -> [f64; 3] {
    let trits = rule.trits();
    let group = Group { latent, trits: &trits, upstream, levels: rule.levels, largest: LARGEST };
    let gradient: &dyn ParameterGradient<f64> = &*rule.gradient;
    let mut sums = [0.0; 3];
    gradient.add(&group, &mut sums);
    sums.map(|sum| sum * gradient.factor(latent.len()))
}

/// The same sums in `f32` against `f64`, for numbers that both hold.
fn single(rule: &Rule) -> Box<dyn Case> {
    let (rule, name) = (rule.clone(), format!("{}, learned parameters in f32", rule.item));
    Box::new(Comparison::new(name, &[rule.item], move || {
        let latent = LATENT.map(|w| w as f32);
        let upstream = latent.map(|w| 1.5 - w);
        let trits = rule.trits();
        let group = Group {
            latent: &latent,
            trits: &trits,
            upstream: &upstream,
            levels: rule.levels,
            largest: LARGEST,
        };
        let mut found = [0.0; 3];
        let gradient: &dyn ParameterGradient<f32> = &*rule.gradient;
        gradient.add(&group, &mut found);
        let found = found.map(|sum| (sum * gradient.factor(latent.len())) as f32);
        let expected = sums(&rule, &latent.map(f64::from), &upstream.map(f64::from));
        // Slopes are at most 4: of the kernel, times the largest weight.
        let magnitude: f64 = upstream.iter().map(|u| 10.0 * f64::from(u.abs())).sum();
        Ok(vec![Pair::sums("parameters", &found, &expected, ROUNDINGS, |_| magnitude)])
    }))
}

#[derive(Debug, Clone, Copy)]
struct Setting {
    lambda: f32,
    noise: f32,
    granularity: Granularity,
}

/// A layer with learned levels, its codes decided.
struct Ready {
    layer: BitLinear<f32>,
    parameters: Parameters,
}

impl Ready {
    /// Learned parameters other than those of the start: the values given, one array each.
    fn new(
        case: &str,
        learned: LearnedRule,
        setting: Setting,
        values: &[Vec<f64>],
    ) -> Outcome<Self> {
        let [_, outputs, inputs] = SHAPE;
        let mut parameters = Parameters::new();
        let options = BitLinearOptions {
            learned: Some(LearnedLevels { rule: learned, granularity: setting.granularity }),
            activations: Activations::Real,
            boundary_noise: setting.noise,
            ..BitLinearOptions::default()
        };
        let shadow = narrow(&signed(&format!("{case}/latent"), outputs * inputs));
        let mut layer = BitLinear::from_weight("case", inputs, shadow, options, &mut parameters)?;
        let weight = parameters.find("case.weight");
        Module::<f64>::visit_mut(&mut layer, &mut |id, own| {
            if let (ValuesMut::F32(own), Some(values)) = (own, values.get(id.index().max(1) - 1))
                && Some(id) != weight
            {
                own.copy_from_slice(&narrow(values));
            }
        });
        layer.decide_codes(Update { lambda: setting.lambda, ..Update::hard(7, 1) })?;
        Ok(Self { layer, parameters })
    }

    fn forward(&self, x: &[f64], tape: &mut Tape<f64>) -> Outcome<Vec<f64>> {
        let mut input = Input::new("case", x.to_vec(), self.layer.weight().cols())?;
        let mut y = vec![0.0; input.rows() * self.layer.weight().rows()];
        self.layer.forward(&mut input, &mut y, tape)?;
        tape.save_input(input);
        Ok(y)
    }

    /// Adds the gradients of the learned parameters.
    fn backward(&self, x: &[f64], upstream: &[f64], d: &mut [Vec<f64>]) -> Outcome {
        let mut gradients = Gradients::<f64>::zeros(&self.parameters);
        let mut tape = Tape::recording();
        self.forward(x, &mut tape)?;
        let input = tape.restore_input("case")?;
        self.layer.backward(&input, upstream, None, &mut tape, &mut gradients)?;
        let ids = || self.parameters.ids().skip(1);
        for (id, held) in ids().zip(&*d) {
            gradients.get_mut(id).expect("one that is not frozen").copy_from_slice(held);
        }
        self.layer.finish_gradients(&mut gradients)?;
        for (id, d) in ids().zip(d) {
            d.copy_from_slice(gradients.get(id));
        }
        Ok(())
    }

    /// What ψ makes of the weights for these parameters, on the ramp.
    fn weights(&self, rule: &Rule, parameters: &[Vec<f64>]) -> Outcome<Vec<f64>> {
        let [_, _, inputs] = SHAPE;
        let shadow = widen(self.layer.shadow().ok_or("no latent weights")?);
        let each = shadow.len() / self.layer.levels().len();
        let gradient: &dyn ParameterGradient<f64> = &*rule.gradient;
        let lambda = f64::from(self.layer.lambda());
        let weight = |(index, &latent): (usize, &f64)| {
            let group = index / each;
            let code = self.layer.weight().get(index / inputs, index % inputs);
            let trit = i8::from(code > 0.0) - i8::from(code < 0.0);
            let own = &shadow[group * each..(group + 1) * each];
            let largest = own.iter().fold(0.0_f64, |max, w| max.max(w.abs())) as f32;
            let point = Point { latent, trit, levels: self.layer.levels()[group], largest };
            // The factor belongs to the gradient that is declared, not to the weight.
            let at: Vec<f64> = parameters.iter().map(|values| values[group]).collect();
            latent + lambda * (rule.factor(shadow.len()) * gradient.surrogate(point, &at) - latent)
        };
        Ok(shadow.iter().enumerate().map(weight).collect())
    }
}

/// y = x·Wᵀ.
fn product(x: &[f64], weights: &[f64]) -> Vec<f64> {
    let [_, _, inputs] = SHAPE;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    x.chunks(inputs).flat_map(|x| weights.chunks(inputs).map(move |w| dot(x, w))).collect()
}

/// Learned parameters of a whole layer against ψ of its weights.
fn layer(rule: &Rule, setting: Setting) -> Box<dyn Case> {
    let [rows, outputs, inputs] = SHAPE;
    let name = format!("BitLinear, {} learned, {setting:?}", rule.item);
    let groups = if setting.granularity == Granularity::Row { outputs } else { 1 };
    let spread = |value: &f64| -> Vec<f64> {
        // Latent weights are below 1.
        (0..groups).map(|group| 0.5 * value * (1.0 + group as f64 / 16.0)).collect()
    };
    let values: Vec<Vec<f64>> = rule.parameters.iter().map(spread).collect();
    let array = |(what, values): (&&str, &Vec<f64>)| {
        Array::new(what, &[groups], values.clone()).step(THRESHOLD_STEP)
    };
    let arrays = rule.names.iter().zip(&values).map(array).collect();
    let x = signed(&format!("{name}/x"), rows * inputs);
    let build = {
        let (name, rule) = (name.clone(), rule.clone());
        move || Ready::new(&name, rule.learned, setting, &values)
    };
    let (forward_x, forward_rule, forward_build) = (x.clone(), rule.clone(), build.clone());
    let forward = move |parameters: &[Vec<f64>]| {
        let weights = forward_build()?.weights(&forward_rule, parameters)?;
        Ok(vec![product(&forward_x, &weights)])
    };
    let backward = move |_: &[Vec<f64>], upstream: &[Vec<f64>], d: &mut [Vec<f64>]| {
        build()?.backward(&x, &upstream[0], d)
    };
    Box::new(Gradient::of_arrays(name, &["BitLinear", rule.item], arrays, forward, backward))
}

/// W_p and W_n of a whole layer against the layer itself, in `f64`: its codes do not depend on them.
fn magnitudes() -> Box<dyn Case> {
    let [rows, outputs, inputs] = SHAPE;
    let name = "BitLinear, W_p and W_n";
    let rule = LearnedRule::Ttq { threshold: 0.3, is_threshold_learned: false };
    let setting = Setting { lambda: 1.0, noise: 0.0, granularity: Granularity::Row };
    let magnitude = |from: f64| (0..outputs).map(|row| from + row as f64 / 8.0).collect();
    let array = |what, from| Array::new(what, &[outputs], magnitude(from));
    let arrays = vec![array("positive_scale", 0.5), array("negative_scale", 0.75)];
    let x = signed(&format!("{name}/x"), rows * inputs);
    let forward_x = x.clone();
    let forward = move |values: &[Vec<f64>]| {
        let ready = Ready::new(name, rule, setting, values)?;
        let weight = |(index, code): (usize, i8)| match code {
            1 => values[0][index / inputs],
            -1 => -values[1][index / inputs],
            _ => 0.0,
        };
        let trits = ready.layer.weight().to_trits();
        let weights: Vec<f64> = trits.into_iter().enumerate().map(weight).collect();
        Ok(vec![product(&forward_x, &weights)])
    };
    let backward = move |values: &[Vec<f64>], upstream: &[Vec<f64>], d: &mut [Vec<f64>]| {
        Ready::new(name, rule, setting, values)?.backward(&x, &upstream[0], d)
    };
    Box::new(Gradient::of_arrays(name, &["BitLinear", "Ttq"], arrays, forward, backward))
}

/// The threshold through a whole layer that computes with the smoothed weights.
fn smoothed_layer() -> Box<dyn Case> {
    let name = "Ttq, threshold through a smoothed layer";
    let [rule] = [rules().into_iter().nth(2)].map(|rule| rule.expect("the third rule"));
    let levels = rule.levels;
    let x = signed(name, 3 * 4);
    let array = Array::new("threshold", &[1], vec![rule.parameters[2]]).step(STEP);
    let build = move |threshold: f64, parameters: &mut Parameters| {
        let width = Ttq::width(levels, LARGEST);
        let threshold = threshold * f64::from(LARGEST);
        let weight = LATENT.map(|w| Ttq::smoothed(w, levels, threshold, width)).to_vec();
        Dense::from_weight("dense", 4, weight, parameters)
    };
    let forward_x = x.clone();
    let forward = move |[threshold]: [&[f64]; 1]| {
        let dense = build(threshold[0], &mut Parameters::new())?;
        let mut input = Input::new("dense", forward_x.clone(), 4)?;
        let mut y = vec![0.0; 3 * 2];
        dense.forward(&mut input, &mut y, &mut Tape::inference())?;
        Ok([y])
    };
    let backward = move |[threshold]: [&[f64]; 1], [u]: [&[f64]; 1], [d]: [&mut [f64]; 1]| {
        let mut parameters = Parameters::new();
        let dense = build(threshold[0], &mut parameters)?;
        let (mut gradients, mut tape) = (Gradients::zeros(&parameters), Tape::recording());
        let mut input = Input::new("dense", x.clone(), 4)?;
        dense.forward(&mut input, &mut [0.0; 3 * 2], &mut tape)?;
        dense.backward(&input, u, None, &mut tape, &mut gradients)?;
        d[0] += sums(&rule, &LATENT, gradients.values())[2];
        Ok(())
    };
    Box::new(Gradient::new(name, &["Ttq"], [array], forward, backward))
}
