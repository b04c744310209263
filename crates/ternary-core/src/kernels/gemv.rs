//! Matrix × vector: lines go straight from memory into the dot products.

use super::arch::{Arch, STRIP, StripSums};
use super::parallel;
use super::source::Source;
use super::unpack::Plane;
use crate::packing::{LANES, Line, Packing};

/// Lines after which an instruction set hands over its sums: their intermediate forms (fields in
/// place, tripled bytes) fit 32 bits for so many.
const RUN: usize = 1024;

/// Tokens up to which walking the lines again for each beats unpacking them once: a strip stays in
/// the cache meanwhile.
pub(crate) const MAX_TOKENS: usize = 3;

/// For each token, block and segment, calls `store` with Σ code · activation for the first and the
/// last of one or two planes. `activations` holds a padded row of words for each token.
///
/// # Safety
/// The processor has `A`. Five trits have no plane but the codes.
pub(crate) unsafe fn run<A: Arch, const PLANES: usize>(
    source: &Source<'_>,
    planes: [Plane; PLANES],
    tokens: usize,
    activations: &[u32],
    store: impl Fn(usize, usize, usize, [&[i32; LANES]; 2]) + Sync,
) {
    let layout = source.layout();
    let cost = layout.rows().saturating_mul(layout.cols()).saturating_mul(tokens);
    parallel::for_each(layout.blocks().div_ceil(STRIP), cost, |strip| {
        for token in 0..tokens {
            let row = layout.lines_per_block() * layout.packing().trits_per_byte();
            let activations = &activations[token * row..(token + 1) * row];
            let store = |block, segment, sums: [&_; 2]| store(token, block, segment, sums);
            // SAFETY: passed on from the caller.
            unsafe { run_strip::<A, PLANES>(source, planes, strip, activations, store) }
        }
    });
}

/// One strip. Where its blocks are walked together, they are one from each quarter of the matrix: four streams that each
/// run through a quarter are what prefetchers follow best. Else they are neighbours: a single stream.
#[inline(always)]
unsafe fn run_strip<A: Arch, const PLANES: usize>(
    source: &Source<'_>,
    planes: [Plane; PLANES],
    strip: usize,
    activations: &[u32],
    store: impl Fn(usize, usize, [&[i32; LANES]; 2]),
) {
    let layout = source.layout();
    let segment_words = layout.lines_per_segment() * layout.packing().trits_per_byte();
    let strips = layout.blocks().div_ceil(STRIP);
    let (first, apart) = if A::STREAMS { (strip, strips) } else { (STRIP * strip, 1) };
    let count = (layout.blocks() - first).div_ceil(apart).min(STRIP);
    for segment in 0..layout.segments() {
        let activations = &activations[segment * segment_words..(segment + 1) * segment_words];
        let mut blocks: [&[Line]; STRIP] = [&[]; STRIP];
        for (n, block) in blocks.iter_mut().enumerate().take(count) {
            *block = source.packed(first + n * apart, segment);
        }
        let mut sums: [StripSums; PLANES] = [[[0; LANES]; STRIP]; PLANES];
        for (plane, sums) in planes.into_iter().zip(&mut sums) {
            // SAFETY: passed on from the caller.
            unsafe { sum::<A>(layout.packing(), plane, &blocks[..count], activations, sums) };
        }
        for n in 0..count {
            store(first + n * apart, segment, [&sums[0][n], &sums[PLANES - 1][n]]);
        }
    }
}

/// Sums of one segment, in runs of lines.
#[inline(always)]
unsafe fn sum<A: Arch>(
    packing: Packing,
    plane: Plane,
    blocks: &[&[Line]],
    activations: &[u32],
    sums: &mut StripSums,
) {
    let words = packing.trits_per_byte();
    let lines = blocks[0].len();
    if lines <= RUN {
        // SAFETY: passed on from the caller.
        return unsafe { sum_run::<A>(packing, plane, blocks, activations, sums) };
    }
    for start in (0..lines).step_by(RUN) {
        let end = lines.min(start + RUN);
        let mut run: [&[Line]; STRIP] = [&[]; STRIP];
        for (run, block) in run.iter_mut().zip(blocks) {
            *run = &block[start..end];
        }
        let activations = &activations[start * words..end * words];
        let mut more: StripSums = [[0; LANES]; STRIP];
        // SAFETY: passed on from the caller.
        unsafe { sum_run::<A>(packing, plane, &run[..blocks.len()], activations, &mut more) };
        for (sum, more) in sums.as_flattened_mut().iter_mut().zip(more.as_flattened()) {
            *sum = sum.wrapping_add(*more);
        }
    }
}

#[inline(always)]
unsafe fn sum_run<A: Arch>(
    packing: Packing,
    plane: Plane,
    blocks: &[&[Line]],
    activations: &[u32],
    sums: &mut StripSums,
) {
    // SAFETY: passed on from the caller.
    unsafe {
        match packing {
            Packing::TwoBit => A::gemv_two_bit(plane, blocks, activations, sums),
            Packing::FiveTrits => A::gemv_five_trits(blocks, activations, sums),
        }
    }
}
