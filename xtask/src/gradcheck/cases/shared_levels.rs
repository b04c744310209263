//! Levels that several matrices share: the gradients of W_p and W_n against the whole forward, in `f64`,
//! with weights made from the trits that the layer decided; and that of LSQ's α against ψ of all weights.

use std::collections::BTreeMap;

use nn::{
    Activations, BitLinear, BitLinearOptions, Block, Dense, Embedding, FeedForward,
    FeedForwardProjections, Gradients, Layer, LearnedLevels, LearnedRule, Module, Nonlinearity,
    Parameters, PerLayerEmbedding, Projection, RmsNorm, Sequences, SharedLevels, Tape, Values,
    ValuesMut,
};
use ste::{Lsq, ParameterGradient, Point};
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
const TTQ: LearnedRule = LearnedRule::Ttq { threshold: 0.3, is_threshold_learned: false };

/// Which layer owns the group.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Owner {
    FeedForward,
    Block,
}

/// The cases of both owners.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    [(Owner::FeedForward, "FeedForward"), (Owner::Block, "Block")]
        .into_iter()
        .flat_map(|(owner, item)| [magnitudes(owner, item), scale(owner, item)])
        .collect()
}

/// Gives a projection of this name and shape.
type Project<'a> =
    dyn FnMut(&str, [usize; 2], &mut Parameters) -> Outcome<Box<dyn Projection<f64>>> + 'a;

/// A block whose mixer and table are dense, or the feed-forward net of one.
struct Whole {
    layer: Result<FeedForward<f64>, Block<f64>>,
    parameters: Parameters,
}

impl Whole {
    fn build(
        owner: Owner,
        shared: Option<LearnedRule>,
        project: &mut Project<'_>,
    ) -> Outcome<Self> {
        let mut parameters = Parameters::new();
        let levels = match shared {
            Some(rule) => Some(SharedLevels::declare(LAYER, &options(rule), &mut parameters)?),
            None => None,
        };
        let channels = feed_forward("channels", &mut parameters, project)?;
        if owner == Owner::FeedForward {
            let layer = match levels {
                Some(levels) => channels.share_levels(levels)?,
                None => channels,
            };
            return Ok(Self { layer: Ok(layer), parameters });
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
        Ok(Self { layer: Err(block), parameters })
    }

    /// Of projections whose latent weights are ternary with shared levels.
    fn shared(owner: Owner, rule: LearnedRule) -> Outcome<Self> {
        Self::build(owner, Some(rule), &mut |name, [outputs, inputs], parameters| {
            let latent = narrow(&signed(name, outputs * inputs));
            let options = BitLinearOptions { is_shared: true, ..options(rule) };
            Ok(Box::new(BitLinear::from_weight(name, inputs, latent, options, parameters)?))
        })
    }

    /// Of dense projections that hold W_p, −W_n and 0 where those of `trits` are.
    fn dense(
        owner: Owner,
        trits: &BTreeMap<String, Vec<i8>>,
        [positive, negative]: [f64; 2],
    ) -> Outcome<Self> {
        Self::build(owner, None, &mut |name, [_, inputs], parameters| {
            let trits = trits.get(&format!("{name}.weight")).ok_or("a matrix that is not there")?;
            let weight = |&trit: &i8| match trit {
                1 => positive,
                -1 => -negative,
                _ => 0.0,
            };
            let weights = trits.iter().map(weight).collect();
            Ok(Box::new(Dense::from_weight(name, inputs, weights, parameters)?))
        })
    }

    fn module(&self) -> &dyn Module<f64> {
        match &self.layer {
            Ok(layer) => layer,
            Err(block) => block,
        }
    }

    /// Sets W_p and W_n, and decides the codes, which do not depend on them.
    fn set(&mut self, values: &[Vec<f64>]) -> Outcome {
        let ids = ["positive_scale", "negative_scale"];
        let ids = ids.map(|what| self.parameters.find(&format!("{LAYER}.{what}")));
        let layer: &mut dyn Module<f64> = match &mut self.layer {
            Ok(layer) => layer,
            Err(block) => block,
        };
        layer.visit_mut(&mut |id, own| {
            let found = ids.iter().position(|&wanted| wanted == Some(id));
            if let (Some(index), ValuesMut::F32(own)) = (found, own) {
                own.copy_from_slice(&narrow(&values[index]));
            }
        });
        Ok(layer.requantize(nn::Update::hard(0, 0))?)
    }

    fn trits(&self) -> BTreeMap<String, Vec<i8>> {
        let mut trits = BTreeMap::new();
        self.module().visit(&mut |tensor| {
            if let Values::Ternary { matrix, .. } = tensor.values {
                trits.insert(tensor.name.to_owned(), matrix.to_trits());
            }
        });
        trits
    }

    fn forward(&self, x: &[f64], tape: &mut Tape<f64>) -> Outcome<Vec<f64>> {
        Ok(match &self.layer {
            Ok(layer) => layer.forward(x.to_vec(), SEQUENCES, tape)?,
            Err(block) => block.forward_tokens(x.to_vec(), &TOKENS, SEQUENCES, tape)?,
        })
    }

    fn backward(&self, dy: &[f64], tape: &mut Tape<f64>) -> Outcome<Gradients<f64>> {
        let mut gradients = Gradients::zeros(&self.parameters);
        match &self.layer {
            Ok(layer) => layer.backward(dy.to_vec(), SEQUENCES, tape, &mut gradients)?,
            Err(block) => block.backward(dy.to_vec(), SEQUENCES, tape, &mut gradients)?,
        };
        self.module().finish_gradients(&mut gradients)?;
        Ok(gradients)
    }
}

fn options(rule: LearnedRule) -> BitLinearOptions {
    BitLinearOptions {
        learned: Some(LearnedLevels { rule, granularity: Granularity::Tensor }),
        activations: Activations::Real,
        ..BitLinearOptions::default()
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

/// W_p and W_n through the whole forward: the codes do not depend on them.
fn magnitudes(owner: Owner, item: &'static str) -> Box<dyn Case> {
    let name = format!("{item}, shared W_p and W_n");
    let x = signed(&name, SEQUENCES.rows() * WIDTH);
    let array = |what, value| Array::new(what, &[1], vec![value]);
    let arrays = vec![array("positive_scale", 0.5), array("negative_scale", 0.75)];
    let forward_x = x.clone();
    let forward = move |values: &[Vec<f64>]| {
        let trits = Whole::shared(owner, TTQ)?.trits();
        let whole = Whole::dense(owner, &trits, [values[0][0], values[1][0]])?;
        Ok(vec![whole.forward(&forward_x, &mut Tape::inference())?])
    };
    let backward = move |values: &[Vec<f64>], upstream: &[Vec<f64>], d: &mut [Vec<f64>]| {
        let mut whole = Whole::shared(owner, TTQ)?;
        whole.set(values)?;
        let mut tape = Tape::recording();
        whole.forward(&x, &mut tape)?;
        let gradients = whole.backward(&upstream[0], &mut tape)?;
        for (what, d) in ["positive_scale", "negative_scale"].into_iter().zip(d) {
            let id =
                whole.parameters.find(&format!("{LAYER}.{what}")).ok_or("no such parameter")?;
            d[0] += gradients.get(id)[0];
        }
        Ok(())
    };
    Box::new(Gradient::of_arrays(name, &[item], arrays, forward, backward))
}

/// α of LSQ, from dL/dq of all weights of the group: 1/√N · Σ dL/dq · ∂ψ/∂α, where N counts all of them.
fn scale(owner: Owner, item: &'static str) -> Box<dyn Case> {
    let name = format!("{item}, shared scale of LSQ");
    let array = Array::new("scale", &[1], vec![0.5]).step(1.0 / 1024.0);
    let forward = move |values: &[Vec<f64>]| {
        let whole = Whole::shared(owner, LearnedRule::Lsq)?;
        let mut weights = Vec::new();
        whole.module().visit(&mut |tensor| {
            if let Values::Ternary { matrix, latent: Some(latent), .. } = tensor.values {
                let levels = Levels::symmetric(0.0, matrix.scales().positive()[0]);
                let point = |(latent, trit): (f32, i8)| {
                    let latent = f64::from(latent);
                    Point { latent, trit, levels, largest: 0.0 }
                };
                weights.extend(latent.to_f32().into_iter().zip(matrix.to_trits()).map(point));
            }
        });
        let factor = 1.0 / (weights.len() as f64).sqrt();
        let psi = |point: Point<f64>| factor * Lsq.surrogate(point, &values[0]);
        Ok(vec![weights.into_iter().map(psi).collect()])
    };
    let backward = move |_: &[Vec<f64>], upstream: &[Vec<f64>], d: &mut [Vec<f64>]| {
        let whole = Whole::shared(owner, LearnedRule::Lsq)?;
        let mut gradients = Gradients::zeros(&whole.parameters);
        let scale = whole.parameters.find("layer.scale").ok_or("no such parameter")?;
        gradients.get_mut(scale)[0] = d[0][0];
        let mut start = 0;
        whole.module().visit(&mut |tensor| {
            if let (Values::Ternary { .. }, Some(id)) = (tensor.values, tensor.id) {
                let own = gradients.get_mut(id);
                own.copy_from_slice(&upstream[0][start..start + own.len()]);
                start += own.len();
            }
        });
        whole.module().finish_gradients(&mut gradients)?;
        d[0][0] = gradients.get(scale)[0];
        Ok(())
    };
    Box::new(Gradient::of_arrays(name, &[item], vec![array], forward, backward))
}
