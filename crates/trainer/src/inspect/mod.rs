//! What is inside a model: its tensors, their shapes, bytes, trits and scales.

mod table;

use std::path::{Path, PathBuf};

use nn::{Module, Tensor, Values};
use serde::Serialize;
use ternary_core::TernaryMatrix;
use ternary_core::statistics::TritCounts;

use crate::error::Result;
use crate::run::{MatrixScales, model_folder};

/// The tensors of a model, and what they are together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The folder of the model.
    pub model: PathBuf,
    /// Each tensor, in the order of the model.
    pub tensors: Vec<Inspected>,
    /// All ternary ones together.
    pub ternary: Total,
    /// All others together.
    pub real: Total,
}

/// A tensor in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspected {
    /// Its name.
    pub name: String,
    /// Its shape; a matrix is outputs by inputs.
    pub shape: Vec<usize>,
    /// Bytes that it takes in memory.
    pub bytes: usize,
    /// What a ternary one is besides.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub trits: Option<Trits>,
}

/// The trits and scales of a matrix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trits {
    /// How many are −1.
    pub negative: usize,
    /// How many are 0.
    pub zero: usize,
    /// How many are +1.
    pub positive: usize,
    /// The share of zeros.
    pub sparsity: f64,
    /// Their entropy, in bits for each weight.
    pub effective_bits: f64,
    /// Its scales.
    #[serde(flatten)]
    pub scales: MatrixScales,
    /// How many scaling groups there are.
    pub groups: usize,
    /// How many scales lie where: [`Trits::BINS`] bins of one width from the smallest to the largest; none for a
    /// single group, or where all are the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scale_histogram: Vec<usize>,
}

/// Tensors together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Total {
    /// How many there are.
    pub tensors: usize,
    /// Numbers or trits in them.
    pub numbers: usize,
    /// Bytes that they take in memory.
    pub bytes: usize,
    /// The share of zeros, of trits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<f64>,
    /// The entropy of all trits, in bits for each weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_bits: Option<f64>,
}

impl Trits {
    /// Bins of the histogram of scales.
    pub const BINS: usize = 12;

    fn of(matrix: &TernaryMatrix) -> Self {
        let counts = TritCounts::of(matrix.codes());
        let TritCounts { negative, zero, positive } = counts;
        let scales = matrix.scales();
        let signs = if scales.is_symmetric() { &[][..] } else { scales.negative() };
        let all: Vec<f32> = scales.positive().iter().chain(signs).copied().collect();
        Self {
            negative,
            zero,
            positive,
            sparsity: counts.sparsity(),
            effective_bits: counts.effective_bits(),
            scales: MatrixScales::of(scales),
            groups: scales.len(),
            // Two signs alone are not worth a histogram.
            scale_histogram: if scales.len() > 1 { histogram(&all) } else { Vec::new() },
        }
    }
}

/// Counts numbers in bins of one width from the smallest to the largest.
fn histogram(numbers: &[f32]) -> Vec<usize> {
    let smallest = numbers.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if smallest >= largest {
        return Vec::new();
    }
    let mut bins = vec![0; Trits::BINS];
    for number in numbers {
        let share = f64::from(number - smallest) / f64::from(largest - smallest);
        bins[((share * Trits::BINS as f64) as usize).min(Trits::BINS - 1)] += 1;
    }
    bins
}

impl Inspection {
    /// Looks into the folder of a model of either kind, or of a run that left one.
    ///
    /// # Errors
    /// [`Error::NoModel`](crate::Error::NoModel) for a run that has left none yet,
    /// [`Error::ModelFolder`](crate::Error::ModelFolder) for a folder that is no model or cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let model = model_folder(folder)?;
        let decoder = interop::open(&model)?;
        let mut counts = TritCounts::default();
        let (mut ternary, mut real) = (Total::default(), Total::default());
        let mut tensors = Vec::new();
        decoder.visit(&mut |Tensor { name, id, values }| {
            let inspected = match values {
                Values::Ternary { matrix, .. } => {
                    let trits = Trits::of(matrix);
                    counts.negative += trits.negative;
                    counts.zero += trits.zero;
                    counts.positive += trits.positive;
                    let (shape, bytes) = (vec![matrix.rows(), matrix.cols()], matrix.size_bytes());
                    Inspected { name: name.to_owned(), shape, bytes, trits: Some(trits) }
                }
                Values::Bf16 { values, shape, .. } => {
                    let (name, bytes) = (name.to_owned(), size_of_val(values));
                    Inspected { name, shape: shape.to_vec(), bytes, trits: None }
                }
                Values::Real(numbers) | Values::Single(numbers) | Values::Training(numbers) => {
                    let shape = id.map(|id| decoder.parameters().shape(id).to_vec());
                    let shape = shape.unwrap_or_else(|| vec![numbers.len()]);
                    let bytes = size_of_val(numbers);
                    Inspected { name: name.to_owned(), shape, bytes, trits: None }
                }
            };
            let total = if inspected.trits.is_some() { &mut ternary } else { &mut real };
            total.tensors += 1;
            total.numbers += inspected.shape.iter().product::<usize>();
            total.bytes += inspected.bytes;
            tensors.push(inspected);
        });
        let has_trits = counts.total() > 0;
        ternary.sparsity = has_trits.then(|| counts.sparsity());
        ternary.effective_bits = has_trits.then(|| counts.effective_bits());
        Ok(Self { model, tensors, ternary, real })
    }
}

#[cfg(test)]
mod tests;
