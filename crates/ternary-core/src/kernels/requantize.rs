//! Latent weights → packed codes and scales, straight into the lines.
//!
//! A block of sixteen rows is fitted and packed while it is in the cache, so scales per row and per
//! group read the latent weights once. One scale for the tensor needs them all first: a second
//! read, unless the caller hands the levels in.

use std::sync::Mutex;

use super::arch::{Arch, QUAD};
use super::parallel::{self, SharedSlice};
use super::scratch::{self, Purpose, Words};
use super::source::COLUMNS;
use crate::error::{Error, Result};
use crate::matrix::TernaryMatrix;
use crate::packing::{LANES, LINE_BYTES, Layout, Line, Packing, encode_five};
use crate::quantize::{Levels, Quantizer};
use crate::scales::Granularity;
use crate::weights::Weights;

/// Two-bit lines that are packed at a time from a copy of their rows: it stays in the first-level cache.
const PIECE_LINES: usize = 64;

/// Where the levels of a scaling group come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule<'a> {
    /// One for the whole tensor, known.
    Known(Levels),
    /// Fitted to each group.
    Fitted(&'a dyn Quantizer),
}

/// Fits `rule` to `weights` and packs them into `matrix`, which has the rule's granularity.
///
/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn run<A: Arch>(
    weights: Weights<'_>,
    rule: Rule<'_>,
    matrix: &mut TernaryMatrix,
) -> Result<()> {
    let (codes, scales) = matrix.parts_mut();
    let layout = *codes.layout();
    let granularity = scales.granularity();
    let rule = match (rule, granularity) {
        (Rule::Fitted(quantizer), Granularity::Tensor) => Rule::Known(quantizer.fit(0, weights)?),
        (rule, _) => rule,
    };
    let (negative, positive) = scales.parts_mut();
    let negative = negative.unwrap_or_default();
    if let Rule::Known(levels) = rule {
        check(levels, 0, !negative.is_empty())?;
        positive.fill(levels.positive);
        negative.fill(levels.negative);
    }
    let packer = Packer {
        weights,
        layout,
        granularity,
        rule,
        lines: SharedSlice::new(codes.lines_mut()),
        asymmetric: !negative.is_empty(),
        negative: SharedSlice::new(negative),
        positive: SharedSlice::new(positive),
    };
    let failure = Mutex::new(None);
    // Without weights, only scales per row are left to be fitted.
    let nothing_left = weights.is_empty() && granularity != Granularity::Row;
    let blocks = if nothing_left { 0 } else { layout.blocks() };
    parallel::for_each(blocks, 4 * weights.len(), |block| {
        // SAFETY: passed on from the caller; each block has lines and scales of its own.
        if let Err(error) = unsafe { packer.block::<A>(block) } {
            let mut failure = failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let earlier = failure.as_ref().is_some_and(|&(first, _)| first < block);
            if !earlier {
                *failure = Some((block, error));
            }
        }
    });
    match failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        // Blocks meet their groups in another order than the rows have them: name the first.
        // Or it was a number of the rule's own that is not finite.
        Some((_, error @ Error::NonFinite { .. })) => weights.check_finite().and(Err(error)),
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// Checks that the levels of a group are numbers that the scales can hold.
fn check(levels: Levels, group: usize, asymmetric: bool) -> Result<()> {
    levels.check_group(group)?;
    if asymmetric || levels.negative == levels.positive {
        return Ok(());
    }
    Err(Error::Mismatch {
        what: "levels of a symmetric rule",
        expected: format!("W_n = W_p in group {group}"),
        found: format!("W_n = {}, W_p = {}", levels.negative, levels.positive),
    })
}

struct Packer<'a> {
    weights: Weights<'a>,
    layout: Layout,
    granularity: Granularity,
    rule: Rule<'a>,
    lines: SharedSlice<'a, Line>,
    asymmetric: bool,
    negative: SharedSlice<'a, f32>,
    positive: SharedSlice<'a, f32>,
}

impl Packer<'_> {
    /// # Safety
    /// The processor has `A`, and no other thread has this block.
    unsafe fn block<A: Arch>(&self, block: usize) -> Result<()> {
        let layout = &self.layout;
        let lines = layout.lines_per_segment();
        for segment in 0..layout.segments() {
            let first = block * layout.lines_per_block() + segment * lines;
            // SAFETY: passed on from the caller.
            unsafe {
                let out = self.lines.range(first, lines);
                match layout.packing() {
                    Packing::TwoBit => self.segment::<A>(block, segment, out)?,
                    Packing::FiveTrits => {
                        let two_bit = layout.segment_columns().div_ceil(COLUMNS);
                        scratch::with(Purpose::Lines, two_bit * LANES, |buffer| {
                            let buffer: &mut [Line] = bytemuck::cast_slice_mut(buffer);
                            self.segment::<A>(block, segment, buffer)?;
                            two_bit_to_five_trits(buffer, out);
                            Ok(())
                        })?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Packs a segment of a block in two bits, four rows at a time.
    unsafe fn segment<A: Arch>(
        &self,
        block: usize,
        segment: usize,
        lines: &mut [Line],
    ) -> Result<()> {
        let columns = self.layout.segment_columns();
        let mut finite = true;
        for quad in 0..LANES / QUAD {
            let first = block * LANES + quad * QUAD;
            // Kernels read signs of differences: −0 must not be among the thresholds.
            let thresholds = self.fit(first, segment)?.map(f32::abs);
            let mut whole = 0;
            if let (Weights::F32(values), true) = (self.weights, first + QUAD <= self.layout.rows())
            {
                whole = columns / COLUMNS;
                let mut rows: [&[f32]; QUAD] = [&[]; QUAD];
                for (n, row) in rows.iter_mut().enumerate() {
                    *row = &values[self.offset(first + n, segment)..][..columns];
                }
                // SAFETY: passed on from the caller.
                finite &= unsafe { A::ternarize(rows, thresholds, quad, &mut lines[..whole]) };
            }
            // The rest through a padded copy: other storage types, and the edges of the matrix.
            for (piece, lines) in lines[whole..].chunks_mut(PIECE_LINES).enumerate() {
                let start = COLUMNS * (whole + PIECE_LINES * piece);
                // SAFETY: passed on from the caller.
                finite &= unsafe {
                    self.padded_piece::<A>((first, segment, start), thresholds, quad, lines)
                };
            }
        }
        if finite { Ok(()) } else { self.weights.check_finite() }
    }

    /// Packs a run of lines of four rows from a copy that is widened and padded with zeros.
    unsafe fn padded_piece<A: Arch>(
        &self,
        (first, segment, start): (usize, usize, usize),
        thresholds: [f32; QUAD],
        quad: usize,
        lines: &mut [Line],
    ) -> bool {
        let padded = COLUMNS * lines.len();
        let end = (start + padded).min(self.layout.segment_columns());
        scratch::with(Purpose::Latent, QUAD * padded, |buffer: &mut [Words]| {
            let buffer: &mut [f32] = bytemuck::cast_slice_mut(buffer);
            let mut rows: [&[f32]; QUAD] = [&[]; QUAD];
            for (n, out) in buffer.chunks_exact_mut(padded).enumerate() {
                let mut filled = 0;
                if first + n < self.layout.rows() {
                    let offset = self.offset(first + n, segment);
                    filled = end - start;
                    let weights = self.weights.slice(offset + start..offset + end);
                    // SAFETY: passed on from the caller.
                    unsafe { A::widen(weights, &mut out[..filled]) };
                }
                out[filled..].fill(0.0);
                rows[n] = out;
            }
            // SAFETY: passed on from the caller.
            unsafe { A::ternarize(rows, thresholds, quad, lines) }
        })
    }

    /// First weight of a row in a segment.
    fn offset(&self, row: usize, segment: usize) -> usize {
        row * self.layout.cols() + segment * self.layout.segment_columns()
    }

    /// The thresholds of four rows in a segment; their scales are written.
    fn fit(&self, first: usize, segment: usize) -> Result<[f32; QUAD]> {
        let quantizer = match self.rule {
            Rule::Known(levels) => return Ok([levels.threshold; QUAD]),
            Rule::Fitted(quantizer) => quantizer,
        };
        // Rows that are not there are zeros, which no threshold separates.
        let mut thresholds = [0.0; QUAD];
        let rows = first..self.layout.rows();
        for (threshold, row) in thresholds.iter_mut().zip(rows) {
            let start = self.offset(row, segment);
            let group = self.granularity.index(row, segment, self.layout.segments());
            let weights = self.weights.slice(start..start + self.layout.segment_columns());
            let levels = quantizer.fit(group, weights)?;
            check(levels, group, self.asymmetric)?;
            *threshold = levels.threshold;
            // SAFETY: a group belongs to one block, which no other thread has.
            unsafe {
                self.positive.range(group, 1)[0] = levels.positive;
                if self.asymmetric {
                    self.negative.range(group, 1)[0] = levels.negative;
                }
            }
        }
        Ok(thresholds)
    }
}

/// Two-bit lines of a segment → five-trit lines of the same columns.
fn two_bit_to_five_trits(lines: &[Line], out: &mut [Line]) {
    for (index, out) in out.iter_mut().enumerate() {
        for (byte, out) in out.0.iter_mut().enumerate() {
            *out = encode_five(std::array::from_fn(|digit| {
                let quad = 5 * index + digit;
                let code = lines.get(quad / 4).map(|line| line.0[byte] >> (2 * (quad % 4)));
                code.map_or(1, |code| code & 3)
            }));
        }
    }
}

const _: () = assert!(LINE_BYTES == 4 * LANES);
