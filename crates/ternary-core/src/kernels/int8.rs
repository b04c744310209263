//! int8 rows × trits: a few rows straight from the lines, more of them by panels and tiles.

use super::activations::QuantizedRows;
use super::arch::Arch;
use super::bytes::{ByteSums, ScaledBytes};
use super::gemv;
use super::operand::{Rows, with_tiles};
use super::outputs::Outputs;
use super::parallel::{self, SharedSlice};
use super::product;
use super::scaling::{BlockScales, Place};
use super::scratch::{self, Purpose};
use super::source::Source;
use super::unpack::{LaneScales, Plane};
use super::walk::Segments;
use crate::matrix::TernaryMatrix;
use crate::packing::{LANES, PackedTrits, Packing};

/// Calls `work` with Σ x of each token and segment.
fn with_activation_sums<R>(
    codes: &[i8],
    rows: usize,
    segment: usize,
    segments: usize,
    work: impl FnOnce(&[i32]) -> R,
) -> R {
    let count = rows * segments;
    scratch::with(Purpose::Sums, count, |sums| {
        let sums: &mut [i32] = &mut bytemuck::cast_slice_mut(sums)[..count];
        let shared = SharedSlice::new(sums);
        parallel::for_each(rows, codes.len(), |row| {
            // SAFETY: each row has sums of its own.
            let sums = unsafe { shared.range(row * segments, segments) };
            let row = &codes[row * segment * segments..][..segment * segments];
            for (sum, codes) in sums.iter_mut().zip(row.chunks_exact(segment)) {
                *sum = codes.iter().map(|&code| i32::from(code)).sum();
            }
        });
        work(sums)
    })
}

/// int8 rows, padded as the lines of `source` are in packing `packing`.
fn byte_rows<'a>(
    codes: &'a [i8],
    rows: usize,
    source: &Source<'_>,
    packing: Packing,
) -> Rows<'a, i8> {
    let layout = source.layout();
    let lines = layout.segment_columns().div_ceil(packing.columns_per_line());
    Rows {
        values: codes,
        rows,
        cols: layout.cols(),
        segment: layout.segment_columns(),
        segment_words: lines * packing.trits_per_byte(),
        segments: layout.segments(),
    }
}

/// Calls `work` with each row padded to words, one after the other.
fn with_padded_rows<R>(rows: &Rows<'_, i8>, work: impl FnOnce(&[u32]) -> R) -> R {
    let words = rows.words();
    scratch::with(Purpose::Activations, rows.rows * words, |padded| {
        let padded: &mut [u32] = &mut bytemuck::cast_slice_mut(padded)[..rows.rows * words];
        for (row, padded) in padded.chunks_exact_mut(words.max(1)).enumerate() {
            rows.pad(row, padded);
        }
        work(padded)
    })
}

/// Whether so few tokens are multiplied straight from the lines.
fn is_vector(tokens: usize, planes: usize, packing: Packing) -> bool {
    tokens <= gemv::MAX_TOKENS && (packing == Packing::TwoBit || planes == 1)
}

/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn matmul_i8<A: Arch>(x: &QuantizedRows, w: &TernaryMatrix, y: &mut [f32]) {
    // SAFETY: passed on from the caller.
    unsafe {
        if w.scales().is_symmetric() {
            scaled_bytes::<A, false, 1>(x, w, [Plane::Codes], y);
        } else {
            scaled_bytes::<A, true, 2>(x, w, [Plane::Positive, Plane::Zero], y);
        }
    }
}

unsafe fn scaled_bytes<A: Arch, const ASYMMETRIC: bool, const PLANES: usize>(
    x: &QuantizedRows,
    w: &TernaryMatrix,
    planes: [Plane; PLANES],
    y: &mut [f32],
) {
    let source = Source::new(w.codes());
    let (segment, segments) = (source.layout().segment_columns(), source.layout().segments());
    let (rows, packing) = (x.rows(), w.packing());
    let (scales, activation_scales) = (BlockScales::new(w.scales(), source), x.scales());
    let outputs = Outputs::new(y, w.rows());
    with_activation_sums(x.codes(), rows, segment, segments, |activation_sums| {
        if is_vector(rows, PLANES, packing) {
            let padded = byte_rows(x.codes(), rows, &source, packing);
            let store = |token: usize, block, segment, sums: [&[i32; LANES]; 2]| {
                let offset = activation_sums[token * segments + segment];
                let mut buffer = LaneScales::ZERO;
                let lane_scales = scales.lanes(block, segment, &mut buffer);
                let finish = (segment + 1 == segments).then(|| activation_scales[token]);
                let place = Place { first: segment == 0, finish };
                // SAFETY: the GEMV hands out each block of a token to one thread.
                let out = unsafe { outputs.lanes(token, source.row_lanes(block)) };
                // SAFETY: passed on from the caller.
                unsafe { A::add_segment::<ASYMMETRIC>(out, sums, offset, lane_scales, place) }
            };
            // SAFETY: passed on from the caller.
            with_padded_rows(&padded, |words| unsafe {
                gemv::run::<A, PLANES>(&source, planes, rows, words, store);
            });
        } else {
            let padded = byte_rows(x.codes(), rows, &source, Packing::TwoBit);
            let product = ScaledBytes::<ASYMMETRIC> {
                walk: Segments { source },
                scales,
                activation_sums,
                activation_scales,
                outputs,
            };
            // SAFETY: passed on from the caller.
            unsafe {
                with_tiles::<A, _, _>(&padded, |tiles| {
                    product::run::<A, _>(&product, rows, tiles);
                });
            }
        }
    });
}

/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn sums_i8<A: Arch>(x: &[i8], rows: usize, w: &PackedTrits, sums: &mut [i32]) {
    let source = Source::new(w);
    let layout = w.layout();
    let (segment, segments) = (layout.segment_columns(), layout.segments());
    let sums = Outputs::new(sums, layout.rows());
    with_activation_sums(x, rows, segment, segments, |activation_sums| {
        if is_vector(rows, 1, layout.packing()) {
            let padded = byte_rows(x, rows, &source, layout.packing());
            let store = |token: usize, block, segment, [codes, _]: [&[i32; LANES]; 2]| {
                let offset = activation_sums[token * segments + segment];
                // SAFETY: the GEMV hands out each block of a token to one thread.
                let out = unsafe { sums.lanes(token, source.row_lanes(block)) };
                for (out, code_sum) in out.iter_mut().zip(codes) {
                    let sum = code_sum.wrapping_sub(offset);
                    *out = if segment == 0 { sum } else { out.wrapping_add(sum) };
                }
            };
            // SAFETY: passed on from the caller.
            with_padded_rows(&padded, |words| unsafe {
                gemv::run::<A, 1>(&source, [Plane::Codes], rows, words, store);
            });
        } else {
            let padded = byte_rows(x, rows, &source, Packing::TwoBit);
            let product = ByteSums { walk: Segments { source }, activation_sums, sums };
            // SAFETY: passed on from the caller.
            unsafe {
                with_tiles::<A, _, _>(&padded, |tiles| {
                    product::run::<A, _>(&product, rows, tiles);
                });
            }
        }
    });
}
