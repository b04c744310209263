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

/// For each token, block and segment, calls `store` with Σ code · activation for each of one or two
/// planes. `activations` holds a padded row of words for each token.
///
/// # Safety
/// The processor has `A`. Five trits have no plane but the codes.
pub(crate) unsafe fn run<A: Arch>(
    source: &Source<'_>,
    planes: &[Plane],
    tokens: usize,
    activations: &[u32],
    store: impl Fn(usize, usize, usize, [&[i32; LANES]; 2]) + Sync,
) {
    let layout = source.layout();
    let words = layout.packing().trits_per_byte();
    let row = layout.lines_per_block() * words;
    let segment_words = layout.lines_per_segment() * words;
    let cost = layout.rows().saturating_mul(layout.cols()).saturating_mul(tokens);
    // Four streams, each running through a quarter of the matrix: what prefetchers follow best.
    let quarter = layout.blocks().div_ceil(STRIP);
    parallel::for_each(quarter, cost, |strip| {
        let count = (layout.blocks() - strip).div_ceil(quarter);
        let block_of = |n: usize| strip + n * quarter;
        for token in 0..tokens {
            for segment in 0..layout.segments() {
                let start = token * row + segment * segment_words;
                let activations = &activations[start..start + segment_words];
                let blocks: [&[Line]; STRIP] =
                    std::array::from_fn(|n| source.packed(block_of(n.min(count - 1)), segment));
                let mut sums: [StripSums; 2] = [[[0; LANES]; STRIP]; 2];
                for (&plane, sums) in planes.iter().zip(&mut sums) {
                    // SAFETY: passed on from the caller.
                    unsafe {
                        sum_segment::<A>(
                            layout.packing(),
                            plane,
                            &blocks[..count],
                            activations,
                            sums,
                        );
                    }
                }
                for block in 0..count {
                    store(token, block_of(block), segment, [&sums[0][block], &sums[1][block]]);
                }
            }
        }
    });
}

unsafe fn sum_segment<A: Arch>(
    packing: Packing,
    plane: Plane,
    blocks: &[&[Line]],
    activations: &[u32],
    sums: &mut StripSums,
) {
    let lines = blocks[0].len();
    let words = packing.trits_per_byte();
    for start in (0..lines).step_by(RUN) {
        let end = lines.min(start + RUN);
        let run: [&[Line]; STRIP] =
            std::array::from_fn(|n| &blocks[n.min(blocks.len() - 1)][start..end]);
        let run = &run[..blocks.len()];
        let activations = &activations[start * words..end * words];
        // SAFETY: passed on from the caller.
        unsafe {
            match packing {
                Packing::TwoBit => A::gemv_two_bit(plane, run, activations, sums),
                Packing::FiveTrits => A::gemv_five_trits(run, activations, sums),
            }
        }
    }
}
