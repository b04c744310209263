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
#[inline]
pub(crate) fn lane_scales(
    scales: &Scales,
    source: &Source<'_>,
    block: usize,
    segment: usize,
) -> LaneScales {
    if scales.granularity() == Granularity::Tensor {
        let (negative, positive) = (scales.negative()[0], scales.positive()[0]);
        return LaneScales { negative: [negative; LANES], positive: [positive; LANES] };
    }
    let gather = |values: &[f32]| {
        let mut lanes = [0.0; LANES];
        let segments = source.layout().segments();
        for (lane, value) in lanes.iter_mut().enumerate().take(source.rows_of(block)) {
            let row = LANES * block + lane;
            *value = values[scales.granularity().index(row, segment, segments)];
        }
        lanes
    };
    let positive = gather(scales.positive());
    let negative = if scales.is_symmetric() { positive } else { gather(scales.negative()) };
    LaneScales { negative, positive }
}

/// Adds the terms of a token and segment to `y`, which the first segment sets.
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
    first: bool,
) {
    let mut terms = [0.0; LANES];
    for lane in 0..LANES {
        terms[lane] = if ASYMMETRIC {
            // Σ₋ x = Σ x − Σ₊ x − Σ₀ x.
            let positive = sums[0][lane];
            let negative = offset.wrapping_sub(positive).wrapping_sub(sums[1][lane]);
            scales.positive[lane] * positive as f32 - scales.negative[lane] * negative as f32
        } else {
            // Σ t·x = Σ (t + 1)·x − Σ x.
            scales.positive[lane] * sums[0][lane].wrapping_sub(offset) as f32
        };
    }
    if !first {
        for (term, y) in terms.iter_mut().zip(y.iter()) {
            *term += *y;
        }
    }
    match <&mut [f32; LANES]>::try_from(&mut *y) {
        Ok(whole) => *whole = terms,
        Err(_) => y.copy_from_slice(&terms[..y.len()]),
    }
}

/// Applies the scale of the activations, after the last segment.
#[inline(always)]
pub(crate) fn finish(y: &mut [f32], activation_scale: f32) {
    for y in y {
        *y *= activation_scale;
    }
}
