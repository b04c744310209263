//! What an instruction set offers to the products that are written once.

use super::scaling::Place;
use super::scratch::Words;
use super::unpack::{LaneScales, Plane};
use crate::packing::{LANES, Line};
use crate::weights::Weights;

/// The widest tile of any instruction set, in tokens.
pub(crate) const MAX_TOKENS: usize = 12;
/// The widest tile of any instruction set, in blocks of sixteen outputs.
pub(crate) const MAX_BLOCKS: usize = 2;
/// Blocks whose lines a GEMV walks together: they share the activations and give memory four streams.
pub(crate) const STRIP: usize = 4;

/// Rows of latent weights that are ternarised together: as many streams as memory likes.
pub(crate) const QUAD: usize = 4;

/// The sums of a tile: for each token, sixteen words for each block. Integers, or floats by bits.
pub(crate) type Tile = [[Words; MAX_BLOCKS]; MAX_TOKENS];

/// Zeros (of either kind).
pub(crate) const ZERO: Words = Words([0; LANES]);
/// A tile of zeros.
pub(crate) const ZERO_TILE: Tile = [[ZERO; MAX_BLOCKS]; MAX_TOKENS];

/// What meets in a word of weights and a word of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operands {
    /// Four u8 weights (at most 2) and four i8 activations; i32 sums.
    Bytes,
    /// Two i16 each; i32 sums.
    Pairs,
    /// A float each; float sums.
    Floats,
}

/// Sums of a strip: one word for each row of each of its blocks.
pub(crate) type StripSums = [[i32; LANES]; STRIP];

/// The hot loops of one instruction set. The drivers around them are written once.
///
/// # Safety
/// Every function needs a processor that has the instruction set of the type that implements it.
pub(crate) trait Arch {
    /// The instruction set, for the tests' account of what ran.
    #[cfg(test)]
    const ISA: super::Isa;
    /// Widths of a tile in tokens, ascending.
    const WIDTHS: [usize; 3];
    /// Blocks of a tile at the most.
    const BLOCKS: usize;
    /// Whether the blocks of a strip are walked together, and not one after the other.
    const STREAMS: bool;

    /// See [`super::scaling::add_segment`].
    unsafe fn add_segment<const ASYMMETRIC: bool>(
        y: &mut [f32],
        sums: [&[i32; LANES]; 2],
        offset: i32,
        scales: &LaneScales,
        place: Place,
    );

    /// tile[token][block] += Σ over steps of panel[block][step] · activations[step][token]
    ///
    /// `panels` holds one or [`Arch::BLOCKS`] panels of equal length and `activations` `width`
    /// words for each of their steps; `width` is one of [`Arch::WIDTHS`].
    unsafe fn tile(
        operands: Operands,
        width: usize,
        panels: &[&[Words]],
        activations: &[u32],
        tile: &mut Tile,
    );

    /// sums[block][lane] = Σ code · activation over a run of two-bit lines of up to [`STRIP`]
    /// blocks, where a code is the trit + 1, or the bit of `plane`. Four words of activations for each line.
    unsafe fn gemv_two_bit(
        plane: Plane,
        blocks: &[&[Line]],
        activations: &[u32],
        sums: &mut StripSums,
    );

    /// The same for codes of five-trit lines. Five words of activations for each line.
    unsafe fn gemv_five_trits(blocks: &[&[Line]], activations: &[u32], sums: &mut StripSums);

    unsafe fn quads(lines: &[Line], plane: Plane, panel: &mut [Words]);
    unsafe fn pairs(lines: &[Line], panel: &mut [Words]);
    unsafe fn floats(lines: &[Line], scales: &LaneScales, panel: &mut [Words]);
    unsafe fn pairs_transposed(line: &Line, panel: &mut [Words]);
    unsafe fn floats_transposed(line: &Line, scales: &LaneScales, panel: &mut [Words]);
    unsafe fn five_trits_to_two_bit(lines: &[Line], out: &mut [Line]);

    /// See [`super::dense::transpose_square`].
    unsafe fn transpose_square(rows: &[u32], stride: usize, out: &mut [u32], width: usize);

    /// See [`super::dense::add_rows`].
    unsafe fn add_rows(a: &[f32], rows: &[f32], sums: &mut [f32]);

    /// See [`super::activations::quantize_row`].
    unsafe fn quantize_row(x: &[f32], codes: &mut [i8]) -> Result<f32, usize>;

    /// See [`Weights::widen`](crate::Weights::widen).
    unsafe fn widen(weights: Weights<'_>, out: &mut [f32]);

    /// Σ|w| in `f64`, see [`crate::weights`].
    unsafe fn sum_abs(values: &[f32]) -> f64;

    /// Ternarises rows `QUAD · quad ‥` of a block into a run of two-bit lines. Each row has sixteen
    /// columns for each line; ±`thresholds` are their borders. Says whether all of them are finite.
    unsafe fn ternarize(
        rows: [&[f32]; QUAD],
        thresholds: [f32; QUAD],
        quad: usize,
        lines: &mut [Line],
    ) -> bool;
}
