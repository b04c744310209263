//! From integer sums to floats: the one place where the scales of a product are applied.
//!
//! ```text
//! symmetric    y = s · Σ_g  α_g · (Σ t·x)_g                       groups g in ascending order
//! asymmetric   y = s · Σ_g  (W_p,g · (Σ₊ x)_g − W_n,g · (Σ₋ x)_g)
//! ```
//!
//! where s is the scale of the activations, Σ₊ and Σ₋ run over the trits +1 and −1, the integer sums
//! are exact and rounded once to `f32`, and each product, difference and sum rounds on its own: no
//! fused instruction, so the bits are the same on every instruction set.

use super::source::Source;
use super::unpack::LaneScales;
use crate::packing::LANES;
use crate::scales::{Granularity, Scales};

/// The scales of a matrix, block by block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockScales<'a> {
    scales: &'a Scales,
    source: Source<'a>,
    /// One for all blocks, made once: reading lanes right after they are written stalls.
    tensor: Option<LaneScales>,
}

impl<'a> BlockScales<'a> {
    pub(crate) fn new(scales: &'a Scales, source: Source<'a>) -> Self {
        let tensor = (scales.granularity() == Granularity::Tensor).then(|| LaneScales {
            negative: [scales.negative()[0]; LANES],
            positive: [scales.positive()[0]; LANES],
        });
        Self { scales, source, tensor }
    }

    /// The scales of the rows of a block in a segment; zeros for rows that are not there. `buffer`
    /// holds them where they are not the same everywhere.
    #[inline(always)]
    pub(crate) fn lanes<'b>(
        &'b self,
        block: usize,
        segment: usize,
        buffer: &'b mut LaneScales,
    ) -> &'b LaneScales {
        if let Some(tensor) = &self.tensor {
            return tensor;
        }
        *buffer = self.gather(block, segment);
        buffer
    }

    fn gather(&self, block: usize, segment: usize) -> LaneScales {
        let mut lanes = LaneScales::ZERO;
        let segments = self.source.layout().segments();
        let (negative, positive) = (self.scales.negative(), self.scales.positive());
        for lane in 0..self.source.rows_of(block) {
            let row = LANES * block + lane;
            let group = self.scales.granularity().index(row, segment, segments);
            lanes.negative[lane] = negative[group];
            lanes.positive[lane] = positive[group];
        }
        lanes
    }
}

/// What a segment does with the outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// It is the first: it sets what the others add to.
    pub(crate) first: bool,
    /// The scale of the activations, if it is the last.
    pub(crate) finish: Option<f32>,
}

/// Adds the terms of a token and segment to `y`, and applies the scale of the activations at the end.
///
/// `sums` are Σ code · x over the planes of a product: codes t + 1; or, for asymmetric scales, the
/// positive and the zero trits. `offset` is Σ x. Wrapping: the true sums fit, whatever the
/// intermediate ones do.
#[inline(always)]
pub(crate) fn add_segment<const ASYMMETRIC: bool>(
    y: &mut [f32],
    sums: [&[i32; LANES]; 2],
    offset: i32,
    scales: &LaneScales,
    place: Place,
) {
    if let Ok(whole) = <&mut [f32; LANES]>::try_from(&mut *y) {
        return add_block::<ASYMMETRIC>(whole, sums, offset, scales, place);
    }
    // The last rows of a matrix, through a block of their own.
    let mut block = [0.0; LANES];
    block[..y.len()].copy_from_slice(y);
    add_block::<ASYMMETRIC>(&mut block, sums, offset, scales, place);
    y.copy_from_slice(&block[..y.len()]);
}

/// [`add_segment`] for sixteen outputs, which the compiler keeps in registers.
#[inline(always)]
fn add_block<const ASYMMETRIC: bool>(
    y: &mut [f32; LANES],
    sums: [&[i32; LANES]; 2],
    offset: i32,
    scales: &LaneScales,
    place: Place,
) {
    // A factor of 1 leaves every bit as it is, and so does adding to −0.
    let finish = place.finish.unwrap_or(1.0);
    // Decided once for all lanes, and written at the end: a choice in each lane keeps them out of vectors.
    let before = if place.first { [-0.0; LANES] } else { *y };
    let mut after = [0.0; LANES];
    for lane in 0..LANES {
        let term = if ASYMMETRIC {
            // Σ₋ x = Σ x − Σ₊ x − Σ₀ x.
            let positive = sums[0][lane];
            let negative = offset.wrapping_sub(positive).wrapping_sub(sums[1][lane]);
            scales.positive[lane] * positive as f32 - scales.negative[lane] * negative as f32
        } else {
            // Σ t·x = Σ (t + 1)·x − Σ x.
            scales.positive[lane] * sums[0][lane].wrapping_sub(offset) as f32
        };
        after[lane] = (before[lane] + term) * finish;
    }
    *y = after;
}
