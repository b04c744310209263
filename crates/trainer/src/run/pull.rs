//! The pull of latent weights towards the grid, before the optimiser's part of an update.

use models::Decoder;

use nn::{Module, ParameterId, Values};
use rayon::prelude::*;
use ste::{Progress, Pull};
use ternary_core::TernaryMatrix;

/// Weights that one task pulls.
const RUN: usize = 1 << 14;

/// What an update pulls latent weights to: the ternary weights as they stand, at two bits each. Learned
/// scales, float layers and ternary weights without latent ones are not pulled.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// By the index of the parameter.
    matrices: Vec<Option<TernaryMatrix>>,
    /// λₜ.
    strength: f64,
}

impl Targets {
    /// Those of the update at a progress; none while there is no pull.
    pub(super) fn new(pull: Option<Pull>, model: &Decoder<f32>, progress: Progress) -> Self {
        let strength = pull.map_or(0.0, |pull| pull.at(progress));
        if strength == 0.0 {
            return Self::default();
        }
        let mut matrices = vec![None; model.parameters().len()];
        model.visit(&mut |tensor| {
            if let (Some(id), Values::Ternary { matrix, latent: Some(_), .. }) =
                (tensor.id, tensor.values)
            {
                matrices[id.index()] = Some(matrix.clone());
            }
        });
        Self { matrices, strength }
    }

    /// Pulls a run of a tensor's weights, the first of which is its weight `start`.
    pub(super) fn pull(
        &self,
        id: ParameterId,
        learning_rate: f64,
        start: usize,
        weights: &mut [f32],
    ) {
        let Some(Some(matrix)) = self.matrices.get(id.index()) else { return };
        let rate = (learning_rate * self.strength) as f32;
        weights.par_chunks_mut(RUN).enumerate().for_each(|(index, weights)| {
            pull_run(matrix, rate, start + index * RUN, weights);
        });
    }
}

/// Pulls a run that may begin and end within rows.
fn pull_run(matrix: &TernaryMatrix, rate: f32, mut start: usize, mut weights: &mut [f32]) {
    let cols = matrix.cols().max(1);
    let mut quantized = vec![0.0; matrix.cols()];
    while !weights.is_empty() {
        let (row, col) = (start / cols, start % cols);
        let (now, rest) = weights.split_at_mut(weights.len().min(cols - col));
        matrix.row_f32(row, &mut quantized).expect("a row of its own shape");
        Pull::correct(rate, &quantized[col..col + now.len()], now);
        start += now.len();
        weights = rest;
    }
}

#[cfg(test)]
mod tests {
    use ternary_core::{Granularity, Packing, Scales};

    use super::*;

    #[test]
    fn runs_that_begin_and_end_within_rows_are_pulled_as_the_whole_is() {
        let trits = [1, 0, -1, 0, 1, 1, -1, 0, 0, 1, -1, 1, 0, 0, 1];
        let scales = Scales::symmetric(Granularity::Row, vec![0.5, 1.0, 2.0]).unwrap();
        let matrix = TernaryMatrix::from_trits(3, 5, &trits, scales, Packing::TwoBit).unwrap();
        let latent: Vec<f32> = (0..15).map(|i| i as f32 / 8.0 - 1.0).collect();
        let expected: Vec<f32> =
            latent.iter().zip(matrix.to_f32()).map(|(w, q)| w - 0.25 * (w - q)).collect();
        for run in 1..=15 {
            let mut pulled = latent.clone();
            for (index, weights) in pulled.chunks_mut(run).enumerate() {
                pull_run(&matrix, 0.25, index * run, weights);
            }
            assert_eq!(pulled, expected, "runs of {run}");
        }
    }
}
