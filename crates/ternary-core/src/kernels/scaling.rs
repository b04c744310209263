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

/// The scales of the rows of a block in a segment; zeros for rows that are not there.
pub(crate) fn lane_scales(
    scales: &Scales,
    source: &Source<'_>,
    block: usize,
    segment: usize,
) -> LaneScales {
    let gather = |values: &[f32]| {
        if scales.granularity() == Granularity::Tensor {
            return [values[0]; LANES];
        }
        let mut lanes = [0.0; LANES];
        let segments = source.layout().segments();
        for (lane, value) in lanes.iter_mut().enumerate().take(source.rows_of(block)) {
            let row = LANES * block + lane;
            *value = values[scales.granularity().index(row, segment, segments)];
        }
        lanes
    };
    LaneScales { negative: gather(scales.negative()), positive: gather(scales.positive()) }
}

/// The integer sums of one token over one segment, for the sixteen rows of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SegmentSums {
    /// Σ t·x.
    Symmetric([i32; LANES]),
    /// Σ x over the trits −1, and over the trits +1.
    Asymmetric { negative: [i32; LANES], positive: [i32; LANES] },
}

/// Adds a segment's terms to `y`, which the first segment sets.
#[inline]
pub(crate) fn add_segment(y: &mut [f32], sums: &SegmentSums, scales: &LaneScales, first: bool) {
    let mut terms = [0.0; LANES];
    match sums {
        SegmentSums::Symmetric(sums) => {
            for lane in 0..LANES {
                terms[lane] = scales.positive[lane] * sums[lane] as f32;
            }
        }
        SegmentSums::Asymmetric { negative, positive } => {
            for lane in 0..LANES {
                terms[lane] = scales.positive[lane] * positive[lane] as f32
                    - scales.negative[lane] * negative[lane] as f32;
            }
        }
    }
    if first {
        y.copy_from_slice(&terms[..y.len()]);
    } else {
        for (y, term) in y.iter_mut().zip(terms) {
            *y += term;
        }
    }
}

/// Applies the scale of the activations, after the last segment.
#[inline]
pub(crate) fn finish(y: &mut [f32], activation_scale: f32) {
    for y in y {
        *y *= activation_scale;
    }
}
