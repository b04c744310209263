//! int8 rows × trits: exact integer sums, and their scaled form.

use super::arch::{Arch, Operands, Tile};
use super::operand::TokenTile;
use super::outputs::Outputs;
use super::product::{Product, Span};
use super::scaling::{BlockScales, Place};
use super::scratch::Words;
use super::source::Source;
use super::unpack::{LaneScales, Plane};
use super::walk::{Segments, Walk};
use crate::packing::LANES;

/// Unpacks a segment of a block as bytes of one plane.
///
/// # Safety
/// The processor has `A`.
unsafe fn fill_plane<A: Arch>(
    source: &Source<'_>,
    block: usize,
    segment: usize,
    plane: Plane,
    panel: &mut [Words],
) {
    // SAFETY: passed on from the caller.
    unsafe {
        source.two_bit::<A, _>(block, segment, 0..source.segment_lines(), |lines| {
            A::quads(lines, plane, panel);
        });
    }
}

/// The lanes of a tile as integers.
pub(crate) fn integers(words: &Words) -> &[i32; LANES] {
    bytemuck::cast_ref(&words.0)
}

/// Exact sums Σ t·x.
pub(crate) struct ByteSums<'a> {
    pub(crate) walk: Segments<'a>,
    /// Σ x of each token and segment.
    pub(crate) activation_sums: &'a [i32],
    pub(crate) sums: Outputs<'a, i32>,
}

impl<'a> Product for ByteSums<'a> {
    const OPERANDS: Operands = Operands::Bytes;

    type Walk = Segments<'a>;

    fn walk(&self) -> &Self::Walk {
        &self.walk
    }

    unsafe fn fill<A: Arch>(&self, block: usize, part: usize, panel: &mut [Words]) {
        // SAFETY: passed on from the caller.
        unsafe { fill_plane::<A>(&self.walk.source, block, part, Plane::Codes, panel) }
    }

    unsafe fn store<A: Arch>(
        &self,
        part: usize,
        tokens: TokenTile,
        blocks: Span,
        tiles: &[Tile; 2],
    ) {
        for token in 0..tokens.tokens {
            let row = tokens.first + token;
            let activations = self.activation_sums[row * self.walk.parts() + part];
            for block in 0..blocks.count {
                let lanes = self.walk.lanes(blocks.first + block);
                // SAFETY: the caller has these outputs to itself.
                let out = unsafe { self.sums.lanes(row, lanes) };
                for (out, code_sum) in out.iter_mut().zip(integers(&tiles[0][token][block])) {
                    let sum = code_sum.wrapping_sub(activations);
                    *out = if part == 0 { sum } else { out.wrapping_add(sum) };
                }
            }
        }
    }
}

/// Scaled sums: see [`super::scaling`]. Symmetric scales need one plane, asymmetric ones two.
pub(crate) struct ScaledBytes<'a, const ASYMMETRIC: bool> {
    pub(crate) walk: Segments<'a>,
    pub(crate) scales: BlockScales<'a>,
    /// Σ x of each token and segment.
    pub(crate) activation_sums: &'a [i32],
    /// The scale of each token.
    pub(crate) activation_scales: &'a [f32],
    pub(crate) outputs: Outputs<'a, f32>,
}

impl<'a, const ASYMMETRIC: bool> Product for ScaledBytes<'a, ASYMMETRIC> {
    const OPERANDS: Operands = Operands::Bytes;
    const PLANES: usize = if ASYMMETRIC { 2 } else { 1 };

    type Walk = Segments<'a>;

    fn walk(&self) -> &Self::Walk {
        &self.walk
    }

    unsafe fn fill<A: Arch>(&self, block: usize, part: usize, panel: &mut [Words]) {
        let (first, second) = panel.split_at_mut(self.walk.steps(part));
        // SAFETY: passed on from the caller.
        unsafe {
            if ASYMMETRIC {
                fill_plane::<A>(&self.walk.source, block, part, Plane::Positive, first);
                fill_plane::<A>(&self.walk.source, block, part, Plane::Zero, second);
            } else {
                fill_plane::<A>(&self.walk.source, block, part, Plane::Codes, first);
            }
        }
    }

    unsafe fn store<A: Arch>(
        &self,
        part: usize,
        tokens: TokenTile,
        blocks: Span,
        tiles: &[Tile; 2],
    ) {
        for block in 0..blocks.count {
            let mut buffer = LaneScales::ZERO;
            let scales = self.scales.lanes(blocks.first + block, part, &mut buffer);
            let lanes = self.walk.lanes(blocks.first + block);
            for token in 0..tokens.tokens {
                let row = tokens.first + token;
                let activations = self.activation_sums[row * self.walk.parts() + part];
                let finish = (part + 1 == self.walk.parts()).then(|| self.activation_scales[row]);
                let place = Place { first: part == 0, finish };
                let sums = [integers(&tiles[0][token][block]), integers(&tiles[1][token][block])];
                // SAFETY: the caller has these outputs to itself.
                let out = unsafe { self.outputs.lanes(row, lanes) };
                // SAFETY: passed on from the caller.
                unsafe { A::add_segment::<ASYMMETRIC>(out, sums, activations, scales, place) }
            }
        }
    }
}
