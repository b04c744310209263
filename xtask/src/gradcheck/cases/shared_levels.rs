//! Levels that several matrices share: the gradients of what is learned against the whole forward, in `f64`, with
//! weights that are the surrogate of the rule, at the trits that the layer decided.

use std::collections::BTreeMap;

use nn::{
    Activations, BitLinear, BitLinearOptions, Block, Context, Dense, Embedding, FeedForward,
    FeedForwardProjections, Gradients, Layer, LearnedLevels, LearnedRule, Module, Nonlinearity,
    Parameters, PerLayerEmbedding, Projection, RmsNorm, Sequences, SharedLevels, Tape, Values,
    ValuesMut,
};
use ste::{Lsq, ParameterGradient, Point, Ttq};
use ternary_core::{Granularity, Levels};

use super::op::narrow;
use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::gradient::{Array, Gradient};
use crate::gradcheck::values::signed;

const WIDTH: usize = 7;
const INNER: usize = 9;
const TABLE: usize = 6;
const TOKENS: [u32; 6] = [1, 0, 3, 1, 2, 0];
const SEQUENCES: Sequences = Sequences { count: 2, length: 3 };
const LAYER: &str = "layer";

/// The rows of all layers in this file.
fn context() -> Context<'static> {
    Context { tokens: &TOKENS, ..SEQUENCES.into() }
}

/// Which layer owns the group.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Owner {
    FeedForward,
    Block,
}

/// What the group learns.
#[derive(Debug, Clone, Copy)]
struct Rule {
    learned: LearnedRule,
    gradient: &'static dyn ParameterGradient<f64>,
    names: &'static [&'static str],
    /// Where it is checked; what an `f32` holds.
    values: &'static [f64],
    /// A step within which no weight enters or leaves the reach of a threshold.
    step: f64,
}

const RULES: [Rule; 2] = [
    Rule {
        learned: LearnedRule::Ttq { threshold: 0.25, is_threshold_learned: true },
        gradient: &Ttq,
        names: &["positive_scale", "negative_scale", "threshold"],
        values: &[0.5, 0.75, 0.25],
        step: 1.0 / 65536.0,
    },
    Rule {
        learned: LearnedRule::Lsq,
        gradient: &Lsq,
        names: &["scale"],
        values: &[0.5],
        step: 1.0 / 64.0,
    },
];

impl Rule {
    fn levels(self, largest: f32) -> Levels {
        match self.learned {
            LearnedRule::Ttq { threshold, .. } => {
                Levels { threshold: threshold * largest, negative: 0.75, positive: 0.5 }
            }
            _ => Levels::symmetric(0.25, 0.5),
        }
    }

    fn options(self) -> BitLinearOptions {
        BitLinearOptions {
            learned: Some(LearnedLevels { rule: self.learned, granularity: Granularity::Tensor }),
            activations: Activations::Real,
            ..BitLinearOptions::default()
        }
    }
}

/// The cases of both owners.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let owners = [(Owner::FeedForward, "FeedForward"), (Owner::Block, "Block")];
    owners.into_iter().flat_map(|owner| RULES.map(|rule| case(owner, rule))).collect()
}

/// Gives a projection of this name and shape.
type Project<'a> =
    dyn FnMut(&str, [usize; 2], &mut Parameters) -> Outcome<Box<dyn Projection<f64>>> + 'a;

/// Latent weights, each with its trit.
type Weights = Vec<(f32, i8)>;

/// A block whose mixer and table are dense, or the feed-forward net of one.
struct Whole {
    rule: Rule,
    layer: Result<FeedForward<f64>, Block<f64>>,
    parameters: Parameters,
}

impl Whole {
    fn build(owner: Owner, rule: Rule, shared: bool, project: &mut Project<'_>) -> Outcome<Self> {
        let mut parameters = Parameters::new();
        let levels = match shared {
            true => Some(SharedLevels::declare(LAYER, &rule.options(), &mut parameters)?),
            false => None,
        };
        let channels = feed_forward("channels", &mut parameters, project)?;
        if owner == Owner::FeedForward {
            let layer = match levels {
                Some(levels) => channels.share_levels(levels)?,
                None => channels,
            };
            return Ok(Self { rule, layer: Ok(layer), parameters });
        }
        let mixer = feed_forward("mixer", &mut parameters, &mut dense)?;
        let mut norm = |name| RmsNorm::new(name, vec![1.0; WIDTH], 0.25, &mut parameters);
        let norms = [norm("norm.0")?, norm("norm.1")?, norm("norm.2")?];
        let [first, second, third] = norms;
        let numbers = signed("table", 4 * TABLE);
        let table = Dense::from_weight("table", TABLE, numbers, &mut parameters)?;
        let gate = project("per_layer_gate", [TABLE, WIDTH], &mut parameters)?;
        let output = project("per_layer_output", [WIDTH, TABLE], &mut parameters)?;
        let table = Embedding::new(Box::new(table));
        let per_layer = PerLayerEmbedding::new("per_layer", table, gate, None, output)?;
        let block = Block::new("block", (first, Box::new(mixer)), (second, Box::new(channels)))?;
        let block = block.with_per_layer(third, per_layer)?;
        let block = match levels {
            Some(levels) => block.share_levels(levels)?,
            None => block,
        };
        Ok(Self { rule, layer: Err(block), parameters })
    }

    /// Of projections whose latent weights are ternary with shared levels.
    fn shared(owner: Owner, rule: Rule) -> Outcome<Self> {
        let mut whole =
            Self::build(owner, rule, true, &mut |name, [outputs, inputs], parameters| {
                let latent = narrow(&signed(name, outputs * inputs));
                let options = BitLinearOptions { is_shared: true, ..rule.options() };
                Ok(Box::new(BitLinear::from_weight(name, inputs, latent, options, parameters)?))
            })?;
        whole.set()?;
        Ok(whole)
    }

    /// Of dense projections that hold what the rule says of these weights under other parameters.
    fn dense(
        owner: Owner,
        rule: Rule,
        weights: &BTreeMap<String, Weights>,
        values: &[f64],
    ) -> Outcome<Self> {
        let largest = weights.values().flatten().fold(0.0_f32, |max, (w, _)| max.max(w.abs()));
        let levels = rule.levels(largest);
        Self::build(owner, rule, false, &mut |name, [_, inputs], parameters| {
            let weights = weights.get(&format!("{name}.weight")).ok_or("no such matrix")?;
            let weight = |&(latent, trit): &(f32, i8)| {
                let point = Point { latent: f64::from(latent), trit, levels, largest };
                rule.gradient.surrogate(point, values)
            };
            let weights = weights.iter().map(weight).collect();
            Ok(Box::new(Dense::from_weight(name, inputs, weights, parameters)?))
        })
    }

    fn module(&self) -> &dyn Module<f64> {
        match &self.layer {
            Ok(layer) => layer,
            Err(block) => block,
        }
    }

    /// Sets what is learned, and decides the codes.
    fn set(&mut self) -> Outcome {
        let Rule { names, values, .. } = self.rule;
        let ids: Vec<_> =
            names.iter().map(|what| self.parameters.find(&format!("{LAYER}.{what}"))).collect();
        let layer: &mut dyn Module<f64> = match &mut self.layer {
            Ok(layer) => layer,
            Err(block) => block,
        };
        layer.visit_mut(&mut |id, own| {
            let found = ids.iter().position(|&wanted| wanted == Some(id));
            if let (Some(index), ValuesMut::F32(own)) = (found, own) {
                own.copy_from_slice(&narrow(&values[index..=index]));
            }
        });
        Ok(layer.requantize(nn::Update::hard(0, 0))?)
    }

    /// The latent weights of each matrix, and their trits.
    fn weights(&self) -> BTreeMap<String, Weights> {
        let mut weights = BTreeMap::new();
        self.module().visit(&mut |tensor| {
            if let Values::Ternary { matrix, latent: Some(latent), .. } = tensor.values {
                let own = latent.to_f32().into_iter().zip(matrix.to_trits()).collect();
                weights.insert(tensor.name.to_owned(), own);
            }
        });
        weights
    }

    fn forward(&self, x: &[f64], tape: &mut Tape<f64>) -> Outcome<Vec<f64>> {
        Ok(match &self.layer {
            Ok(layer) => layer.forward(x.to_vec(), context(), tape)?,
            Err(block) => block.forward(x.to_vec(), context(), tape)?,
        })
    }

    fn backward(&self, dy: &[f64], tape: &mut Tape<f64>) -> Outcome<Gradients<f64>> {
        let mut gradients = Gradients::zeros(&self.parameters);
        match &self.layer {
            Ok(layer) => layer.backward(dy.to_vec(), context(), tape, &mut gradients)?,
            Err(block) => block.backward(dy.to_vec(), context(), tape, &mut gradients)?,
        };
        self.module().finish_gradients(&mut gradients)?;
        Ok(gradients)
    }
}

fn dense(
    name: &str,
    [outputs, inputs]: [usize; 2],
    parameters: &mut Parameters,
) -> Outcome<Box<dyn Projection<f64>>> {
    let weights = signed(name, outputs * inputs);
    Ok(Box::new(Dense::from_weight(name, inputs, weights, parameters)?))
}

fn feed_forward(
    name: &str,
    parameters: &mut Parameters,
    project: &mut Project<'_>,
) -> Outcome<FeedForward<f64>> {
    let mut project =
        |part: &str, shape| project(&format!("{name}.{part}"), shape, &mut *parameters);
    let projections = FeedForwardProjections {
        gate: Some(project("gate", [INNER, WIDTH])?),
        up: project("up", [INNER, WIDTH])?,
        down: project("down", [WIDTH, INNER])?,
    };
    Ok(FeedForward::new(name, Nonlinearity::SwiGlu, projections, None)?)
}

fn case((owner, item): (Owner, &'static str), rule: Rule) -> Box<dyn Case> {
    let Rule { gradient, names, values, step, .. } = rule;
    let name = format!("{item}, shared levels of {gradient:?}");
    let x = signed(&name, SEQUENCES.rows() * WIDTH);
    let arrays = names.iter().zip(values);
    let arrays = arrays.map(|(what, &value)| Array::new(what, &[1], vec![value]).step(step));
    let forward_x = x.clone();
    let forward = move |values: &[Vec<f64>]| {
        let weights = Whole::shared(owner, rule)?.weights();
        let whole = Whole::dense(owner, rule, &weights, &values.concat())?;
        Ok(vec![whole.forward(&forward_x, &mut Tape::inference())?])
    };
    let backward = move |_: &[Vec<f64>], upstream: &[Vec<f64>], d: &mut [Vec<f64>]| {
        let whole = Whole::shared(owner, rule)?;
        // A rule's own factor is for as many weights as the whole group has.
        let numbers = whole.weights().values().map(Vec::len).sum();
        let mut tape = Tape::recording();
        whole.forward(&x, &mut tape)?;
        let gradients = whole.backward(&upstream[0], &mut tape)?;
        for (what, d) in names.iter().zip(d) {
            let id =
                whole.parameters.find(&format!("{LAYER}.{what}")).ok_or("no such parameter")?;
            d[0] += gradients.get(id)[0] / factor(numbers, rule);
        }
        Ok(())
    };
    Box::new(Gradient::of_arrays(name, &[item], arrays.collect(), forward, backward))
}

/// f as the papers have it: 1/√N for LSQ, 1 for TTQ.
fn factor(numbers: usize, rule: Rule) -> f64 {
    if matches!(rule.learned, LearnedRule::Lsq) { 1.0 / (numbers as f64).sqrt() } else { 1.0 }
}
