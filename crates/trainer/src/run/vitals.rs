//! The vital signs of ternary weights: how many are zero, how many change, and where latent ones lie.

mod latent;
mod layers;

use std::collections::BTreeMap;

use nn::{Module, Tensor, Values};
use serde::{Deserialize, Serialize};
use ternary_core::profile::span;
use ternary_core::statistics::{TritCounts, code_flips};
use ternary_core::{PackedTrits, TernaryMatrix, Weights};

pub use latent::Histogram;
use latent::latent;
pub use layers::{Layers, Matrix, MatrixScales, Spread, Vitals};

/// Watches the codes of a model that trains, for shares of them that change.
///
/// It knows no layer: whatever shows a ternary matrix that trains is watched, and numbers that only training
/// needs belong to the matrix whose name begins as theirs does, or to several.
#[derive(Debug, Default)]
pub struct Watch {
    /// In the order in which the model shows its matrices.
    matrices: Vec<Watched>,
    /// Updates since the last [`Layers`].
    updates: u32,
    /// Updates and changed codes since the beginning.
    whole: (u32, usize),
}

/// A matrix that is watched.
#[derive(Debug)]
struct Watched {
    /// Its codes after the last update.
    codes: PackedTrits,
    /// Changed codes since the last [`Layers`].
    flips: usize,
    /// Its mean scale before the first update.
    first_scale: Option<f64>,
}

/// What a [`Watch`] knows that the model does not tell: for a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchState {
    updates: u32,
    whole: (u32, usize),
    /// For each matrix, its changed codes and its first scale.
    matrices: Vec<(usize, Option<f64>)>,
}

impl Watch {
    /// Takes the codes as they are as those before the first update.
    pub fn begin(&mut self, model: &dyn Module<f32>) {
        *self = Self::default();
        each_matrix(model, &mut |matrix| {
            let first_scale = MatrixScales::of(matrix.scales()).mean();
            self.matrices.push(Watched { codes: matrix.codes().clone(), flips: 0, first_scale });
        });
    }

    /// What is to be kept beside the model, to go on from here.
    pub fn state(&self) -> WatchState {
        let matrices = self.matrices.iter().map(|matrix| (matrix.flips, matrix.first_scale));
        WatchState { updates: self.updates, whole: self.whole, matrices: matrices.collect() }
    }

    /// Goes on from a state, with the model as it was then; false where it is not the state of such a model.
    pub fn resume(&mut self, model: &dyn Module<f32>, state: &WatchState) -> bool {
        self.begin(model);
        (self.updates, self.whole) = (state.updates, state.whole);
        for (matrix, state) in self.matrices.iter_mut().zip(&state.matrices) {
            (matrix.flips, matrix.first_scale) = *state;
        }
        self.matrices.len() == state.matrices.len()
    }

    /// Once after each update: the share of all codes that it changed; none in a model without ternary
    /// weights that train.
    pub fn flips(&mut self, model: &dyn Module<f32>) -> Option<f64> {
        let _span = span("flips");
        self.updates += 1;
        let (mut flips, mut weights) = (0, 0);
        let mut watched = self.matrices.iter_mut();
        each_matrix(model, &mut |matrix| {
            let Some(watched) = watched.next() else { return };
            let all = matrix.rows() * matrix.cols();
            // Codes of another shape would be other codes.
            let changed = code_flips(&watched.codes, matrix.codes()).unwrap_or(all);
            if changed > 0 {
                watched.codes.clone_from(matrix.codes());
            }
            watched.flips += changed;
            flips += changed;
            weights += all;
        });
        self.whole = (self.whole.0 + 1, self.whole.1 + flips);
        (weights > 0).then(|| flips as f64 / weights as f64)
    }

    /// Every matrix with its changes since the last call; none in a model without ternary weights that train.
    pub fn layers(&mut self, model: &dyn Module<f32>) -> Option<Layers> {
        let updates = f64::from(self.updates.max(1));
        let (mut zeros, mut all, mut flips) = (0, 0, 0);
        let mut matrices: Vec<Matrix> = Vec::with_capacity(self.matrices.len());
        let mut shared = BTreeMap::new();
        let mut watched = self.matrices.iter_mut();
        model.visit(&mut |tensor| match (trained(&tensor), tensor.values) {
            (Some((matrix, weights)), _) => {
                let Some(watched) = watched.next() else { return };
                let counts = TritCounts::of(matrix.codes());
                let own = std::mem::take(&mut watched.flips);
                let scales = MatrixScales::of(matrix.scales());
                let first = watched.first_scale.filter(|&first| first != 0.0);
                let latent = weights.and_then(|weights| latent(matrix, weights));
                zeros += counts.zero;
                all += counts.total();
                flips += own;
                matrices.push(Matrix {
                    name: tensor.name.to_owned(),
                    weights: counts.total(),
                    sparsity: counts.sparsity(),
                    effective_bits: counts.effective_bits(),
                    flips: own as f64 / (counts.total().max(1) as f64 * updates),
                    scales,
                    scale_drift: scales.mean().zip(first).map(|(scale, first)| scale / first - 1.0),
                    dead_zone: latent.as_ref().map(|latent| latent.dead_zone),
                    histogram: latent.map(|latent| latent.histogram),
                    learned: BTreeMap::new(),
                });
            }
            (None, Values::Training(numbers)) => {
                let own = matrices.last_mut().and_then(|matrix| {
                    let layer = matrix.name.strip_suffix("weight")?;
                    Some((tensor.name.strip_prefix(layer)?, &mut matrix.learned))
                });
                let (name, learned) = own.unwrap_or((tensor.name, &mut shared));
                if let Some(spread) = Spread::of(numbers) {
                    learned.insert(name.to_owned(), spread);
                }
            }
            _ => {}
        });
        self.updates = 0;
        (all > 0).then(|| Layers {
            sparsity: zeros as f64 / all as f64,
            flips: flips as f64 / (all as f64 * updates),
            matrices,
            shared,
        })
    }

    /// The vital signs of the whole run; none in a model without ternary weights that train.
    pub fn vitals(&self, model: &dyn Module<f32>) -> Option<Vitals> {
        let mut counts = TritCounts::default();
        each_matrix(model, &mut |matrix| {
            let TritCounts { negative, zero, positive } = TritCounts::of(matrix.codes());
            counts.negative += negative;
            counts.zero += zero;
            counts.positive += positive;
        });
        let (updates, flips) = self.whole;
        let codes = f64::from(updates.max(1)) * counts.total() as f64;
        (counts.total() > 0)
            .then(|| Vitals { sparsity: counts.sparsity(), flips: flips as f64 / codes })
    }
}

/// Calls `visit` with each ternary matrix that trains.
fn each_matrix(model: &dyn Module<f32>, visit: &mut dyn FnMut(&TernaryMatrix)) {
    model.visit(&mut |tensor| {
        if let Some((matrix, _)) = trained(&tensor) {
            visit(matrix);
        }
    });
}

/// The ternary matrix of a tensor, if it has one and trains, with its latent weights where it keeps them.
fn trained<'a>(tensor: &Tensor<'a, f32>) -> Option<(&'a TernaryMatrix, Option<Weights<'a>>)> {
    match tensor.values {
        Values::Ternary { matrix, latent, .. } if tensor.id.is_some() => Some((matrix, latent)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
