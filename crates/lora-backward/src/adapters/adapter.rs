//! [`Adapter`]: the two factors of what is added to one projection.

use std::ops::Range;

use nn::ternary_core::Real;
use nn::ternary_core::noise::{Noise, name_hash};

use super::{AdapterError, Scaling};

/// Keys the numbers that adapters start from, apart from all other uses of a seed.
const INITIAL: u32 = 0x4c6f_5241;

/// A low-rank change s·B·A of a projection's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter<T> {
    /// A, `[rank, inputs]`, row-major.
    pub a: Vec<T>,
    /// B, `[outputs, rank]`, row-major.
    pub b: Vec<T>,
    /// r, the rank.
    pub rank: usize,
    /// Numbers in a row of the projection's inputs.
    pub inputs: usize,
    /// Numbers in a row of its outputs.
    pub outputs: usize,
    /// What s is.
    pub scaling: Scaling,
}

impl<T: Real> Adapter<T> {
    /// Takes both factors of an adapter for the projection `module` of `[outputs, inputs]`.
    ///
    /// # Errors
    /// [`AdapterError::Rank`] for a rank of 0 or above the larger side, [`AdapterError::Size`] for factors of another
    /// size, [`AdapterError::NonFinite`].
    pub fn new(
        module: &str,
        [outputs, inputs]: [usize; 2],
        rank: usize,
        [a, b]: [Vec<T>; 2],
        scaling: Scaling,
    ) -> Result<Self, AdapterError> {
        let adapter = Self { a, b, rank, inputs, outputs, scaling };
        adapter.check(module)?;
        Ok(adapter)
    }

    /// What training starts from: A uniform in ±1/√inputs (Kaiming's rule with a = √5, as PEFT has it), B zero, so that
    /// the projection is as it was. The numbers of A are functions of the seed and of the name of the projection.
    ///
    /// # Errors
    /// [`AdapterError::Rank`], [`AdapterError::NonFinite`] for α.
    pub fn kaiming(
        module: &str,
        [outputs, inputs]: [usize; 2],
        rank: usize,
        scaling: Scaling,
        seed: u64,
    ) -> Result<Self, AdapterError> {
        check_rank(module, [outputs, inputs], rank)?;
        let hash = name_hash(module);
        let seed = Noise::new(seed, INITIAL, 0).wide_bits(0);
        let noise = Noise::new(seed, hash as u32, (hash >> 32) as u32);
        let mut shares = vec![0.0_f64; rank * inputs];
        noise.fill_uniform_f64(0, &mut shares);
        let limit = 1.0 / (inputs as f64).sqrt();
        let a = shares.into_iter().map(|share| T::from_f64(limit * (2.0 * share - 1.0))).collect();
        let b = vec![T::ZERO; outputs * rank];
        Self::new(module, [outputs, inputs], rank, [a, b], scaling)
    }

    /// s.
    pub fn factor(&self) -> f64 {
        self.scaling.factor(self.rank)
    }

    /// Adds s·B·A to some rows of the weights, `[outputs, inputs]`: for whoever writes merged weights.
    ///
    /// # Errors
    /// [`AdapterError::Rows`] unless `weights` are those rows and the adapter has them.
    pub fn add_to(&self, rows: Range<usize>, weights: &mut [T]) -> Result<(), AdapterError> {
        let Self { a, b, rank, inputs, outputs, .. } = self;
        let is_whole = rows.len().checked_mul(*inputs) == Some(weights.len());
        if !is_whole || rows.end > *outputs || rows.start > rows.end {
            let (outputs, inputs) = (*outputs, *inputs);
            return Err(AdapterError::Rows { outputs, inputs, rows, found: weights.len() });
        }
        let factor = T::from_f64(self.factor());
        let of_rows = b[rows.start * rank..].chunks(*rank);
        for (weights, b) in weights.chunks_mut((*inputs).max(1)).zip(of_rows) {
            for (column, weight) in weights.iter_mut().enumerate() {
                let terms = b.iter().zip(a[column..].iter().step_by(*inputs));
                *weight += factor * terms.map(|(&b, &a)| b * a).sum::<T>();
            }
        }
        Ok(())
    }

    /// Checks what [`Adapter::new`] does, for fields that were changed since.
    ///
    /// # Errors
    /// As [`Adapter::new`].
    pub fn check(&self, module: &str) -> Result<(), AdapterError> {
        let Self { a, b, rank, inputs, outputs, scaling } = self;
        check_rank(module, [*outputs, *inputs], *rank)?;
        for (matrix, values, [rows, columns]) in
            [("lora_A", a, [*rank, *inputs]), ("lora_B", b, [*outputs, *rank])]
        {
            if rows.checked_mul(columns) != Some(values.len()) {
                let (module, found) = (module.to_owned(), values.len());
                return Err(AdapterError::Size { module, matrix, rows, columns, found });
            }
        }
        check_finite(module, "alpha", &[scaling.alpha])?;
        check_finite(module, "lora_A", a)?;
        check_finite(module, "lora_B", b)
    }
}

/// Checks the rank of an adapter: at least 1, and at most the larger side of its projection. Above the smaller side it
/// changes no more than a smaller one could, but a rank for all projections of a model meets narrow ones.
///
/// # Errors
/// [`AdapterError::Rank`].
pub fn check_rank(
    module: &str,
    [outputs, inputs]: [usize; 2],
    rank: usize,
) -> Result<(), AdapterError> {
    let larger = inputs.max(outputs);
    // No factor has more numbers than memory.
    let most = larger.min(isize::MAX as usize / size_of::<f64>() / larger.max(1));
    if (1..=most).contains(&rank) {
        return Ok(());
    }
    Err(AdapterError::Rank { module: module.to_owned(), most, inputs, outputs, found: rank })
}

/// Checks the share of the inputs that adapters drop while they train: from 0 to below 1.
///
/// # Errors
/// [`AdapterError::Dropout`].
pub fn check_dropout(dropout: f64) -> Result<(), AdapterError> {
    if (0.0..1.0).contains(&dropout) {
        return Ok(());
    }
    Err(AdapterError::Dropout { found: dropout })
}

fn check_finite<T: Real>(
    module: &str,
    what: &'static str,
    values: &[T],
) -> Result<(), AdapterError> {
    let Some(index) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    let (module, value) = (module.to_owned(), values[index].to_f64());
    Err(AdapterError::NonFinite { module, what, index, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALING: Scaling = Scaling { alpha: 16.0, rank_stabilised: false };

    #[test]
    fn a_starts_uniform_within_one_over_the_root_of_the_inputs_and_b_at_zero() {
        let adapter = Adapter::<f64>::kaiming("up", [60, 400], 50, SCALING, 3).unwrap();
        assert_eq!((adapter.a.len(), adapter.b.len()), (50 * 400, 60 * 50));
        assert!(adapter.b.iter().all(|&b| b == 0.0));
        let limit = 1.0 / 400.0_f64.sqrt();
        assert!(adapter.a.iter().all(|a| a.abs() <= limit));
        // A uniform number in ±l has mean 0 and variance l²/3.
        let n = adapter.a.len() as f64;
        let mean = adapter.a.iter().sum::<f64>() / n;
        let variance = adapter.a.iter().map(|a| a * a).sum::<f64>() / n;
        assert!(mean.abs() < 4.0 * limit / (3.0 * n).sqrt(), "{mean}");
        assert!((variance * 3.0 / (limit * limit) - 1.0).abs() < 0.03, "{variance}");
    }

    #[test]
    fn where_an_adapter_starts_is_decided_by_the_seed_and_the_name() {
        let start =
            |module, seed| Adapter::<f32>::kaiming(module, [3, 5], 2, SCALING, seed).unwrap().a;
        assert_eq!(start("up", 1), start("up", 1));
        assert_ne!(start("up", 1), start("up", 2));
        assert_ne!(start("up", 1), start("down", 1));
    }

    #[test]
    fn factors_that_do_not_fit_their_projection_are_refused_with_what_would() {
        let new = |rank, a: usize, b: usize| {
            Adapter::new("up", [3, 5], rank, [vec![0.5_f32; a], vec![0.5; b]], SCALING)
                .unwrap_err()
                .to_string()
        };
        let range = "up: rank: expected 1 to 5, the larger side of a projection of 5 to 3, found ";
        assert_eq!(new(0, 0, 0), format!("{range}0"));
        assert_eq!(new(6, 30, 18), format!("{range}6"));
        let expected = "up: lora_A: expected 2 rows of 5 numbers, found 9 numbers in all";
        assert_eq!(new(2, 9, 6), expected);
        let expected = "up: lora_B: expected 3 rows of 2 numbers, found 7 numbers in all";
        assert_eq!(new(2, 10, 7), expected);
        let huge = Adapter::<f32>::kaiming("up", [usize::MAX, 5], 6, SCALING, 1).unwrap_err();
        assert!(matches!(huge, AdapterError::Rank { most: 0, .. }));
    }

    #[test]
    fn rows_of_weights_get_their_rows_of_the_product() {
        let factors = [vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![1.0, 0.5, -1.0, 2.0]];
        let adapter = Adapter::<f64>::new("up", [2, 3], 2, factors, SCALING).unwrap();
        // s = 8, and the second row of B·A is (7, 8, 9).
        let mut row = [1.0, 2.0, 3.0];
        adapter.add_to(1..2, &mut row).unwrap();
        assert_eq!(row, [57.0, 66.0, 75.0]);
        for (rows, count) in [(1..3, 6), (0..1, 2), (0..0, 1), (0..usize::MAX, 3)] {
            let error = adapter.add_to(rows, &mut vec![0.0; count]).unwrap_err();
            assert!(matches!(error, AdapterError::Rows { outputs: 2, inputs: 3, .. }));
        }
        adapter.add_to(2..2, &mut []).unwrap();
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused_by_their_place() {
        let mut adapter = Adapter::<f32>::kaiming("up", [3, 5], 2, SCALING, 1).unwrap();
        adapter.b[4] = f32::INFINITY;
        let error = adapter.check("up").unwrap_err().to_string();
        assert_eq!(error, "up: lora_B: expected finite numbers, found inf at index 4");
        adapter.b[4] = 0.0;
        adapter.scaling.alpha = f64::NAN;
        let error = adapter.check("up").unwrap_err().to_string();
        assert_eq!(error, "up: alpha: expected finite numbers, found NaN at index 0");
    }
}
