//! The ternary matrices of a model in numbers, as the metrics tell them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::latent::Histogram;

/// The vital signs of all ternary weights of a model together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Vitals {
    /// The share of zeros.
    pub sparsity: f64,
    /// The share that a step changed, on average over the run.
    pub flips: f64,
}

/// The ternary matrices of a model, each with its vital signs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layers {
    /// The share of zeros among all ternary weights.
    pub sparsity: f64,
    /// The share of all codes that a step changed, on average over the steps since the last record.
    pub flips: f64,
    /// Each matrix, in the order of the model.
    pub matrices: Vec<Matrix>,
    /// What several matrices learn together, such as `model.layers.0.threshold`, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shared: BTreeMap<String, Spread>,
}

/// A ternary matrix in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Its scales.
    #[serde(flatten)]
    pub scales: MatrixScales,
    /// The relative change of its mean scale since training began, α / α₀ − 1; none from a scale of 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_drift: Option<f64>,
    /// The share of its latent weights in the middle of the zero zone, where it keeps any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_zone: Option<f64>,
    /// Its latent weights in units of their scale, where it keeps any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
    /// What is learned beside its weights, such as `positive_scale` and `threshold`, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub learned: BTreeMap<String, Spread>,
}

/// The scales of a matrix: one number for both signs of a scaling group, or one for each.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct MatrixScales {
    /// α of all groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Spread>,
    /// W_n of all groups, where the signs are apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative_scale: Option<Spread>,
    /// W_p of all groups, where the signs are apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive_scale: Option<Spread>,
}

/// The numbers of all scaling groups of a matrix, or of another list.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
    pub fn of(numbers: &[f32]) -> Option<Self> {
        let numbers = || numbers.iter().map(|&number| f64::from(number));
        let smallest = numbers().reduce(f64::min)?;
        let largest = numbers().reduce(f64::max)?;
        Some(Self { smallest, mean: numbers().sum::<f64>() / numbers().count() as f64, largest })
    }
}

impl MatrixScales {
    /// Those of a matrix.
    pub fn of(scales: &ternary_core::Scales) -> Self {
        let positive = Spread::of(scales.positive());
        if scales.is_symmetric() {
            return Self { scale: positive, ..Self::default() };
        }
        let negative_scale = Spread::of(scales.negative());
        Self { negative_scale, positive_scale: positive, scale: None }
    }

    /// The mean over groups and signs; none without scales.
    pub fn mean(&self) -> Option<f64> {
        let all = [self.scale, self.negative_scale, self.positive_scale];
        let means: Vec<f64> = all.into_iter().flatten().map(|spread| spread.mean).collect();
        (!means.is_empty()).then(|| means.iter().sum::<f64>() / means.len() as f64)
    }
}
