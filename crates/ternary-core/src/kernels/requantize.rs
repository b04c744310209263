//! Latent weights → packed codes and scales, straight into the lines.
//!
//! A block of sixteen rows is fitted and packed while it is in the cache, so scales per row and per
//! group read the latent weights once. One scale for the tensor needs them all first: a second
//! read, unless the caller hands the levels in.

use std::sync::Mutex;

use super::arch::Arch;
use super::parallel::{self, SharedSlice};
use super::scratch::{self, Purpose, Words};
use super::source::COLUMNS;
use crate::error::{Error, Result};
use crate::matrix::TernaryMatrix;
use crate::packing::{LANES, LINE_BYTES, Layout, Line, Packing, encode_five};
use crate::quantize::{Levels, Quantizer};
use crate::scales::Granularity;
use crate::weights::Weights;

/// Two-bit lines that are packed at a time from a padded copy of their rows.
const PIECE_LINES: usize = 16;

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
        levels.check()?;
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
    parallel::for_each(layout.blocks(), 4 * weights.len(), |block| {
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
        Some((_, Error::NonFinite { .. })) => weights.check_finite(),
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
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
            let thresholds = self.fit(block, segment)?;
            let first = block * layout.lines_per_block() + segment * lines;
            // SAFETY: passed on from the caller.
            let finite = unsafe {
                let out = self.lines.range(first, lines);
                match layout.packing() {
                    Packing::TwoBit => self.pack::<A>(block, segment, &thresholds, out),
                    Packing::FiveTrits => {
                        let two_bit = layout.segment_columns().div_ceil(COLUMNS);
                        scratch::with(Purpose::Lines, two_bit * LANES, |buffer| {
                            let buffer: &mut [Line] = bytemuck::cast_slice_mut(buffer);
                            let finite = self.pack::<A>(block, segment, &thresholds, buffer);
                            two_bit_to_five_trits(buffer, out);
                            finite
                        })
                    }
                }
            };
            if !finite {
                self.weights.check_finite()?;
            }
        }
        Ok(())
    }

    fn rows(&self, block: usize) -> usize {
        (self.layout.rows() - block * LANES).min(LANES)
    }

    /// First weight of a row in a segment.
    fn offset(&self, row: usize, segment: usize) -> usize {
        row * self.layout.cols() + segment * self.layout.segment_columns()
    }

    /// The thresholds of a block's rows in a segment; their scales are written.
    ///
    /// # Errors
    /// Of the rule.
    fn fit(&self, block: usize, segment: usize) -> Result<[f32; LANES]> {
        let mut thresholds = [f32::INFINITY; LANES];
        let quantizer = match self.rule {
            Rule::Known(levels) => return Ok([levels.threshold; LANES]),
            Rule::Fitted(quantizer) => quantizer,
        };
        for (lane, threshold) in thresholds.iter_mut().enumerate().take(self.rows(block)) {
            let row = block * LANES + lane;
            let start = self.offset(row, segment);
            let group = self.granularity.index(row, segment, self.layout.segments());
            let weights = self.weights.slice(start..start + self.layout.segment_columns());
            let levels = quantizer.fit(group, weights)?;
            levels.check()?;
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

    /// Packs a segment of a block in two bits; says whether all its weights are finite.
    unsafe fn pack<A: Arch>(
        &self,
        block: usize,
        segment: usize,
        thresholds: &[f32; LANES],
        lines: &mut [Line],
    ) -> bool {
        let columns = self.layout.segment_columns();
        let whole = match self.weights {
            Weights::F32(values) if self.rows(block) == LANES => {
                let whole = columns / COLUMNS;
                let latent = &values[self.offset(block * LANES, segment)..];
                // SAFETY: passed on from the caller.
                let finite = unsafe {
                    A::ternarize(latent, self.layout.cols(), thresholds, &mut lines[..whole])
                };
                if !finite {
                    return false;
                }
                whole
            }
            _ => 0,
        };
        // The rest through a padded copy: other storage types, and the edges of the matrix.
        let mut finite = true;
        for (piece, lines) in lines[whole..].chunks_mut(PIECE_LINES).enumerate() {
            let first = COLUMNS * (whole + PIECE_LINES * piece);
            let last = (first + COLUMNS * lines.len()).min(columns);
            let stride = COLUMNS * lines.len();
            scratch::with(Purpose::Latent, LANES * stride, |buffer: &mut [Words]| {
                let buffer: &mut [f32] = bytemuck::cast_slice_mut(buffer);
                buffer.fill(0.0);
                for lane in 0..self.rows(block) {
                    let start = self.offset(block * LANES + lane, segment);
                    let out = &mut buffer[lane * stride..][..last - first];
                    self.weights.slice(start + first..start + last).widen(out);
                }
                // SAFETY: passed on from the caller.
                finite &= unsafe { A::ternarize(buffer, stride, thresholds, lines) };
            });
        }
        finite
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
