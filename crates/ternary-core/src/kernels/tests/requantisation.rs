//! Requantising against quantisation weight by weight.

use super::*;
use crate::quantize::{Levels, Quantizer};
use crate::weights::Weights;

/// A rule whose levels differ from group to group.
#[derive(Debug)]
pub(super) struct Spread {
    pub(super) granularity: Granularity,
    pub(super) asymmetric: bool,
}

impl Quantizer for Spread {
    fn name(&self) -> &'static str {
        "spread"
    }

    fn granularity(&self) -> Granularity {
        self.granularity
    }

    fn is_symmetric(&self) -> bool {
        !self.asymmetric
    }

    fn fit(&self, group: usize, weights: Weights<'_>) -> crate::Result<Levels> {
        let mean = weights.mean_abs()? as f32;
        let negative = if self.asymmetric { 2.0 * mean } else { mean };
        Ok(Levels { threshold: mean / (2 + group) as f32, negative, positive: mean })
    }
}

/// Quantisation weight by weight.
pub(super) fn naive(weights: Weights<'_>, rule: &Spread, like: &TernaryMatrix) -> TernaryMatrix {
    let (rows, cols) = (like.rows(), like.cols());
    let layout = *like.codes().layout();
    let values = weights.to_f32();
    let count = rule.granularity.count(rows, cols).unwrap();
    let columns = layout.segment_columns().max(1);
    let levels: Vec<Levels> = (0..count)
        .map(|group| {
            let range = match rule.granularity {
                Granularity::Tensor => 0..values.len(),
                _ => (group * layout.segment_columns())..((group + 1) * layout.segment_columns()),
            };
            rule.fit(group, weights.slice(range)).unwrap()
        })
        .collect();
    let trits: Vec<i8> = (0..rows * cols)
        .map(|i| {
            let (row, segment) = (i / cols, i % cols / columns);
            levels[rule.granularity.index(row, segment, layout.segments())].trit(values[i])
        })
        .collect();
    let positive = levels.iter().map(|levels| levels.positive).collect();
    let negative = levels.iter().map(|levels| levels.negative).collect();
    let scales = if rule.asymmetric {
        Scales::asymmetric(rule.granularity, negative, positive).unwrap()
    } else {
        Scales::symmetric(rule.granularity, positive).unwrap()
    };
    TernaryMatrix::from_trits(rows, cols, &trits, scales, like.packing()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn requantising_gives_the_trits_and_scales_of_the_rule(
        shape in Shape::any(), kind in any_kind(), storage in 0..3, seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        let matrix = shape.matrix(kind, &mut numbers);
        let rule = Spread { granularity: matrix.scales().granularity(), asymmetric: kind.asymmetric };
        let latent = floats(shape.rows * shape.cols(), &mut numbers);
        let bf16: Vec<_> = latent.iter().map(|&w| half::bf16::from_f32(w)).collect();
        let f16: Vec<_> = latent.iter().map(|&w| half::f16::from_f32(w)).collect();
        let weights = match storage {
            0 => Weights::from(&latent[..]),
            1 => Weights::from(&bf16[..]),
            _ => Weights::from(&f16[..]),
        };
        let expected = naive(weights, &rule, &matrix);
        on_every_isa(|kernels| {
            let mut found = matrix.clone();
            kernels.requantize(weights, &rule, &mut found).unwrap();
            assert_eq!(found, expected);
        });
    }
}

#[test]
fn a_latent_weight_at_the_threshold_becomes_zero_in_every_storage_type() {
    // Whole blocks and lines, and their edges.
    for (rows, cols) in [(16, 32), (17, 37)] {
        let levels = Levels::symmetric(0.25, 1.0);
        let weight = |i: usize| [0.25, -0.25, 0.2578125, -0.2578125][i % 4];
        let latent: Vec<f32> = (0..rows * cols).map(weight).collect();
        let bf16: Vec<_> = latent.iter().map(|&w| half::bf16::from_f32(w)).collect();
        let expected: Vec<i8> = (0..rows * cols).map(|i| [0, 0, 1, -1][i % 4]).collect();
        for packing in Packing::ALL {
            let scales = Scales::tensor(0.0).unwrap();
            let trits = vec![0; rows * cols];
            let matrix = TernaryMatrix::from_trits(rows, cols, &trits, scales, packing).unwrap();
            on_every_isa(|kernels| {
                for weights in [Weights::from(&latent[..]), Weights::from(&bf16[..])] {
                    let mut matrix = matrix.clone();
                    kernels.requantize_with_levels(weights, levels, &mut matrix).unwrap();
                    assert_eq!(matrix.to_trits(), expected);
                }
            });
        }
    }
}
