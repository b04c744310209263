//! What the kernels are called with: random weights, activations and latent weights.

use std::sync::Arc;

use half::bf16;
use ternary_core::{Granularity, Packing, Result, Scales, TernaryMatrix};

use super::plan::{Scale, Source};
use crate::bench::roofs::ROTATION_BYTES;
use crate::bench::shape::Shape;

/// Columns that share a scale where scales are per group.
const GROUP: usize = 128;

/// Matrices of one shape, made when first asked for and shared by the rows that read them.
pub(crate) struct Operands {
    shape: Shape,
    made: Vec<Made>,
}

/// Copies of one matrix, at addresses of their own.
struct Made {
    packing: Packing,
    scale: Scale,
    matrices: Arc<[TernaryMatrix]>,
}

impl Operands {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, made: Vec::new() }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Matrices enough to read from the cache (one) or from DRAM; there may be more.
    pub(crate) fn matrices(
        &mut self,
        packing: Packing,
        scale: Scale,
        source: Source,
    ) -> Result<Arc<[TernaryMatrix]>> {
        let same = |made: &Made| (made.packing, made.scale) == (packing, scale);
        let known = self.made.iter().position(same).map(|index| self.made.swap_remove(index));
        let matrices = match known {
            Some(made) => made.matrices,
            None => [random_matrix(self.shape, packing, scale)?].into(),
        };
        let copies = copies(source, matrices[0].size_bytes());
        let matrices = if matrices.len() < copies {
            vec![matrices[0].clone(); copies].into()
        } else {
            matrices
        };
        self.made.push(Made { packing, scale, matrices: matrices.clone() });
        Ok(matrices)
    }
}

/// How many things of `bytes` to rotate through.
pub(crate) fn copies(source: Source, bytes: usize) -> usize {
    match source {
        Source::Dram => ROTATION_BYTES.div_ceil(bytes.max(1)),
        Source::Cache => 1,
    }
}

/// How many weights share a scale.
pub(crate) fn granularity(scale: Scale) -> Result<Granularity> {
    match scale {
        Scale::Tensor | Scale::Ttq => Ok(Granularity::Tensor),
        Scale::Row => Ok(Granularity::Row),
        Scale::Group => Granularity::group(GROUP),
    }
}

fn random_matrix(shape: Shape, packing: Packing, scale: Scale) -> Result<TernaryMatrix> {
    let mut random = Random::default();
    let trits: Vec<i8> = (0..shape.weights()).map(|_| random.trit()).collect();
    let granularity = granularity(scale)?;
    let count = granularity.count(shape.n, shape.k)?;
    let scales = match scale {
        Scale::Ttq => Scales::asymmetric(granularity, vec![0.04; count], vec![0.05; count])?,
        _ => Scales::symmetric(granularity, vec![0.05; count])?,
    };
    TernaryMatrix::from_trits(shape.n, shape.k, &trits, scales, packing)
}

/// Numbers that look random (xorshift64).
pub(crate) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn trit(&mut self) -> i8 {
        ((self.bits() >> 32) % 3) as i8 - 1
    }

    /// Numbers spread evenly over −1 … 1.
    pub(crate) fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// The same, rounded to bf16.
    pub(crate) fn bf16s(&mut self, count: usize) -> Vec<bf16> {
        self.floats(count).into_iter().map(bf16::from_f32).collect()
    }

    /// Words spread evenly over their range, without −32 768, which the kernels exclude.
    pub(crate) fn words(&mut self, count: usize) -> Vec<i16> {
        (0..count).map(|_| ((self.bits() >> 48) as u16 as i16).max(-i16::MAX)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_from_dram_rotate_through_enough_bytes_and_are_made_once() {
        let mut operands = Operands::new(Shape { k: 1 << 15, n: 1 << 10 });
        let [cache, dram] = [Source::Cache, Source::Dram]
            .map(|s| operands.matrices(Packing::TwoBit, Scale::Row, s).unwrap());
        assert_eq!(cache.len(), 1);
        let bytes: usize = dram.iter().map(TernaryMatrix::size_bytes).sum();
        assert!(bytes >= ROTATION_BYTES && bytes < ROTATION_BYTES + dram[0].size_bytes());
        let again = operands.matrices(Packing::TwoBit, Scale::Row, Source::Cache).unwrap();
        assert!(Arc::ptr_eq(&again, &dram));
    }

    #[test]
    fn random_numbers_fill_their_range() {
        let mut random = Random::default();
        let trits: Vec<i8> = (0..3000).map(|_| random.trit()).collect();
        for trit in -1..=1 {
            let count = trits.iter().filter(|&&t| t == trit).count();
            assert!((900..1100).contains(&count), "{count} of {trit}");
        }
        let floats = random.floats(1000);
        assert!(floats.iter().all(|v| (-1.0..1.0).contains(v)));
        assert!(floats.iter().any(|&v| v < -0.9) && floats.iter().any(|&v| v > 0.9));
        let words = random.words(1000);
        assert!(words.iter().any(|&v| v < -30_000) && words.iter().any(|&v| v > 30_000));
    }
}
