//! The vital signs of ternary weights: how many are zero, and how many change.

use std::collections::BTreeMap;

use nn::{Module, Tensor, Values};
use serde::Serialize;
use ternary_core::statistics::{TritCounts, code_flips};
use ternary_core::{PackedTrits, Scales, TernaryMatrix};

/// Watches the codes of a model that trains, for shares of them that change.
///
/// It knows no layer: whatever shows a ternary matrix that trains is watched, and numbers that only training
/// needs belong to the matrix whose name begins as theirs does, or to several.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// In the order in which the model shows its matrices.
    matrices: Vec<Watched>,
    /// Updates since the last [`Layers`].
    updates: u32,
    /// Updates and changed codes since the beginning.
    whole: (u32, usize),
}

#[derive(Debug)]
struct Watched {
    /// Its codes after the last update.
    codes: PackedTrits,
    /// Changed codes since the last [`Layers`].
    flips: usize,
}

/// The vital signs of all ternary weights of a model together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vitals {
    /// The share of zeros.
    pub sparsity: f64,
    /// The share that a step changed, on average over the run.
    pub flips: f64,
}

/// The ternary matrices of a model, each with its vital signs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layers {
    /// The share of zeros among all ternary weights.
    pub sparsity: f64,
    /// The share of all codes that a step changed, on average over the steps since the last record.
    pub flips: f64,
    /// Each matrix, in the order of the model.
    pub matrices: Vec<Matrix>,
    /// What several matrices learn together, such as `model.layers.0.threshold`, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub shared: BTreeMap<String, Spread>,
}

/// A ternary matrix in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Matrix {
    /// The name of its tensor.
    pub name: String,
    /// How many weights it has.
    pub weights: usize,
    /// The share of zeros.
    pub sparsity: f64,
    /// The entropy of its trits, in bits for each weight.
    pub effective_bits: f64,
    /// The share of its codes that a step changed, on average over the steps since the last record.
    pub flips: f64,
    /// Its scales: `scale`, or `negative_scale` and `positive_scale` where they are apart.
    #[serde(flatten)]
    pub scales: BTreeMap<&'static str, Spread>,
    /// What is learned beside its weights, such as `positive_scale` and `threshold`, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub learned: BTreeMap<String, Spread>,
}

/// The numbers of all scaling groups of a matrix, or of another list.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub smallest: f64,
    /// Their mean.
    pub mean: f64,
    /// The largest.
    pub largest: f64,
}

impl Spread {
    /// That of some numbers; none of no numbers.
    fn of(numbers: &[f32]) -> Option<Self> {
        let numbers = || numbers.iter().map(|&number| f64::from(number));
        let smallest = numbers().reduce(f64::min)?;
        let largest = numbers().reduce(f64::max)?;
        Some(Self { smallest, mean: numbers().sum::<f64>() / numbers().count() as f64, largest })
    }
}

impl Watch {
    /// Takes the codes as they are as those before the first update.
    pub(super) fn begin(&mut self, model: &dyn Module<f32>) {
        *self = Self::default();
        each_matrix(model, &mut |matrix| {
            self.matrices.push(Watched { codes: matrix.codes().clone(), flips: 0 });
        });
    }

    /// Once after each update: the share of all codes that it changed; none in a model without ternary
    /// weights that train.
    pub(super) fn flips(&mut self, model: &dyn Module<f32>) -> Option<f64> {
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
    pub(super) fn layers(&mut self, model: &dyn Module<f32>) -> Option<Layers> {
        let updates = f64::from(self.updates.max(1));
        let (mut zeros, mut weights, mut flips) = (0, 0, 0);
        let mut matrices: Vec<Matrix> = Vec::with_capacity(self.matrices.len());
        let mut shared = BTreeMap::new();
        let mut watched = self.matrices.iter_mut();
        model.visit(&mut |tensor| match (trained(&tensor), tensor.values) {
            (Some(matrix), _) => {
                let Some(watched) = watched.next() else { return };
                let counts = TritCounts::of(matrix.codes());
                let own = std::mem::take(&mut watched.flips);
                zeros += counts.zero;
                weights += counts.total();
                flips += own;
                matrices.push(Matrix {
                    name: tensor.name.to_owned(),
                    weights: counts.total(),
                    sparsity: counts.sparsity(),
                    effective_bits: counts.effective_bits(),
                    flips: own as f64 / (counts.total().max(1) as f64 * updates),
                    scales: scales(matrix.scales()),
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
        let all = weights as f64;
        (weights > 0).then(|| Layers {
            sparsity: zeros as f64 / all,
            flips: flips as f64 / (all * updates),
            matrices,
            shared,
        })
    }

    /// The vital signs of the whole run; none in a model without ternary weights that train.
    pub(super) fn vitals(&self, model: &dyn Module<f32>) -> Option<Vitals> {
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
        if let Some(matrix) = trained(&tensor) {
            visit(matrix);
        }
    });
}

/// The ternary matrix of a tensor, if it has one and trains.
fn trained<'a>(tensor: &Tensor<'a, f32>) -> Option<&'a TernaryMatrix> {
    match tensor.values {
        Values::Ternary { matrix, .. } if tensor.id.is_some() => Some(matrix),
        _ => None,
    }
}

fn scales(scales: &Scales) -> BTreeMap<&'static str, Spread> {
    let lists = if scales.is_symmetric() {
        vec![("scale", scales.positive())]
    } else {
        vec![("negative_scale", scales.negative()), ("positive_scale", scales.positive())]
    };
    lists.into_iter().filter_map(|(name, numbers)| Some((name, Spread::of(numbers)?))).collect()
}

#[cfg(test)]
mod tests;
