//! Mixtures of experts, with the losses of their routers as an output beside the rows.

use nn::ops::{Routes, top_k};
use nn::{
    Activations, BitMoe, Compute, Dense, ExpertWeights, FeedForward, FeedForwardProjections,
    Gradients, Layer, MixtureOptions, Module, Nonlinearity, Parameters, Projection, Sequences,
    SharedExpert, Tape, TernaryExpert, TernaryMoe,
};
use ternary_core::quantize::Absmean;
use ternary_core::{Granularity, Packing, Weights};

use super::op::narrow;
use super::part::{Built, Part, add_fresh, both, zeros};
use crate::gradcheck::case::{Case, Outcome};
use crate::gradcheck::values::signed;

const WIDTH: usize = 7;
const INNER: usize = 9;
const ROWS: Sequences = Sequences { count: 1, length: 5 };
const EXPERTS: usize = 4;
/// The expert that no row prefers.
const IDLE: usize = 3;

/// The cases of mixtures.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let mut cases = Vec::new();
    for (name, used, is_shared) in [
        ("BitMoe, one expert a row", 1, false),
        ("BitMoe, two experts a row", 2, false),
        ("BitMoe, one expert a row and a shared one", 1, true),
        ("BitMoe, two experts a row and a shared one", 2, true),
    ] {
        cases.extend(both(name, "BitMoe", Mixture { used, is_shared, is_frozen: false }));
    }
    let frozen = Mixture { used: 2, is_shared: true, is_frozen: true };
    cases.extend(both("TernaryMoe", "TernaryExpert", frozen));
    cases
}

#[derive(Clone)]
pub(super) struct Mixture {
    pub(super) used: usize,
    pub(super) is_shared: bool,
    pub(super) is_frozen: bool,
}

fn dense<T: Compute>(
    name: &str,
    [outputs, inputs]: [usize; 2],
    parameters: &mut Parameters,
) -> nn::Result<Box<dyn Projection<T>>> {
    Ok(Box::new(Dense::from_weight(name, inputs, zeros(outputs * inputs), parameters)?))
}

fn net<T: Compute>(name: &str, parameters: &mut Parameters) -> nn::Result<FeedForward<T>> {
    let projections = FeedForwardProjections {
        gate: Some(dense(&format!("{name}.gate"), [INNER, WIDTH], parameters)?),
        up: dense(&format!("{name}.up"), [INNER, WIDTH], parameters)?,
        down: dense(&format!("{name}.down"), [WIDTH, INNER], parameters)?,
    };
    FeedForward::new(name, Nonlinearity::SwiGlu, projections, None)
}

fn frozen_net<T: Compute>(name: &str) -> nn::Result<TernaryExpert<T>> {
    let [gate, up, down] = ["gate", "up", "down"]
        .map(|part| narrow(&signed(&format!("{name}.{part}"), WIDTH * INNER)));
    let weights = ExpertWeights {
        gate: Some(Weights::F32(&gate)),
        up: Weights::F32(&up),
        down: Weights::F32(&down),
    };
    let (f, rule) = (Nonlinearity::SwiGlu, Absmean::new(Granularity::Row));
    let (packing, real) = (Packing::TwoBit, Activations::Real);
    TernaryExpert::quantize(name, f, [WIDTH, INNER], weights, &rule, packing, real)
}

impl Part for Mixture {
    fn input(&self) -> Option<[usize; 2]> {
        Some([ROWS.rows(), WIDTH])
    }

    fn sums(&self) -> Vec<usize> {
        vec![WIDTH, INNER, WIDTH, EXPERTS, EXPERTS, ROWS.rows()]
    }

    /// Scores are read off the first columns of a row, in which no two numbers are near each other.
    fn values(&self, seed: &str, array: &str, shape: &[usize]) -> Vec<f64> {
        let mut values = signed(seed, shape.iter().product());
        let rows = values.chunks_mut(WIDTH).enumerate();
        match array {
            "x" => rows.for_each(|(row, x)| {
                for (expert, x) in x[..EXPERTS].iter_mut().enumerate() {
                    let rank = if expert == IDLE { 3 } else { (expert + row) % 3 };
                    *x = *x / 16.0 + 1.5 - 0.75 * rank as f64;
                }
            }),
            "router.weight" => rows.for_each(|(expert, w)| {
                w.iter_mut().for_each(|w| *w /= 16.0);
                w[expert] += 1.0;
            }),
            _ => {}
        }
        values
    }

    fn is_zero(&self, array: &str) -> bool {
        array.starts_with(&format!("expert{IDLE}."))
    }

    fn selections(&self, arrays: &[Vec<f64>]) -> Outcome<Vec<i64>> {
        let [x, router, ..] = arrays else { return Err("no router".into()) };
        let scores: Vec<f64> = x
            .chunks(WIDTH)
            .flat_map(|x| router.chunks(WIDTH).map(|w| x.iter().zip(w).map(|(x, w)| x * w).sum()))
            .collect();
        let (mut probabilities, slots) = (zeros(scores.len()), ROWS.rows() * self.used);
        let (mut chosen, mut weights) = (vec![0; slots], zeros(slots));
        let routes = Routes {
            probabilities: &mut probabilities,
            chosen: &mut chosen,
            weights: &mut weights,
        };
        top_k(&scores, EXPERTS, self.used, routes)?;
        if chosen.contains(&(IDLE as u32)) {
            return Err("the idle expert has a row".into());
        }
        Ok(chosen.into_iter().map(i64::from).collect())
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        let router = dense("router", [EXPERTS, WIDTH], parameters)?;
        let shared = match self.is_shared {
            true => Some(SharedExpert {
                expert: net("shared", parameters)?,
                gate: dense("shared_gate", [1, WIDTH], parameters)?,
            }),
            false => None,
        };
        let options = MixtureOptions { used: self.used, balance: 0.75, z: 0.25 };
        let names = (0..EXPERTS).map(|expert| format!("expert{expert}"));
        if self.is_frozen {
            let experts = names.map(|name| frozen_net(&name)).collect::<Result<_, _>>()?;
            let layer: TernaryMoe<T> = BitMoe::new("mixture", router, experts, shared, options)?;
            return Ok(Box::new(WithLosses(layer)));
        }
        let experts = names.map(|name| net(&name, parameters)).collect::<Result<_, _>>()?;
        Ok(Box::new(WithLosses(BitMoe::<T>::new("mixture", router, experts, shared, options)?)))
    }
}

/// A layer whose last output is the auxiliary loss.
struct WithLosses<L>(L);

impl<T: Compute, L: Layer<T>> Built<T> for WithLosses<L> {
    fn module(&mut self) -> &mut dyn Module<T> {
        &mut self.0
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        self.0.each_projection_mut(visit);
    }

    fn forward(&self, x: &[T], tape: &mut Tape<T>) -> nn::Result<Vec<T>> {
        // Only a forward that records has the losses.
        let mut recording = Tape::recording();
        recording.set_dropout(tape.dropout());
        let tape = if tape.is_recording() { tape } else { &mut recording };
        let before = tape.auxiliary_loss();
        let mut y = self.0.forward(x.to_vec(), ROWS.into(), tape)?;
        y.push(T::from_f64(tape.auxiliary_loss() - before));
        Ok(y)
    }

    fn backward(
        &self,
        dy: &[T],
        dx: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> nn::Result<()> {
        let (weight, dy) = dy.split_last().map_or((T::ZERO, dy), |(&weight, dy)| (weight, dy));
        tape.set_auxiliary_weight(weight.to_f64());
        add_fresh(self.0.backward(dy.to_vec(), ROWS.into(), tape, gradients)?, dx, tape);
        Ok(())
    }
}
