//! From lines to panels: packed trits as the words that a dot product takes.
//!
//! A *panel* of a block is a run of [`Words`], one for each step of a dot product: word `l` belongs
//! to lane `l` and holds the weights that meet one 32-bit word of activations: four codes, two
//! 16-bit trits or one float. All of this is plain Rust, compiled once for each instruction set.

use super::scratch::Words;
use crate::packing::{LANES, LINE_BYTES, Line};

/// Panel steps in a two-bit line, for four codes a word.
pub(crate) const QUADS: usize = 4;

/// Which numbers of a code go into a panel of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plane {
    /// trit + 1: 0, 1 or 2.
    Codes,
    /// 1 where the trit is +1, else 0.
    Positive,
    /// 1 where the trit is 0, else 0.
    Zero,
}

/// The lanes of a line.
#[inline(always)]
pub(crate) fn words(line: &Line) -> &Words {
    bytemuck::cast_ref(line)
}

/// Two-bit lines → four [`Words`] of bytes each: step `f` of a line holds columns 4f ‥ 4f+3.
#[inline(always)]
pub(crate) fn quads(lines: &[Line], plane: Plane, panel: &mut [Words]) {
    let (shift, mask) = match plane {
        Plane::Codes => (0, 0x0303_0303),
        Plane::Positive => (1, 0x0101_0101),
        Plane::Zero => (0, 0x0101_0101),
    };
    for (line, steps) in lines.iter().zip(panel.chunks_exact_mut(QUADS)) {
        let line = words(line);
        for (field, step) in steps.iter_mut().enumerate() {
            for (out, word) in step.0.iter_mut().zip(line.0) {
                *out = (word >> (2 * field + shift)) & mask;
            }
        }
    }
}

/// Two codes (0, 1, 2) in the halves of a word → two 16-bit trits (−1, 0, +1). Neither the sum nor
/// the flipped sign bit carries from half to half: c + 7fff ≤ 8001, and 8000 is the zero.
#[inline(always)]
fn signed_pair(codes: u32) -> u32 {
    (codes + 0x7fff_7fff) ^ 0x8000_8000
}

/// Two-bit lines → eight [`Words`] of 16-bit trits each: step `s` holds columns 2s and 2s+1.
#[inline(always)]
pub(crate) fn pairs(lines: &[Line], panel: &mut [Words]) {
    for (line, steps) in lines.iter().zip(panel.chunks_exact_mut(2 * QUADS)) {
        let line = words(line);
        for (s, step) in steps.iter_mut().enumerate() {
            let shift = 2 * (s / 2) + 16 * (s % 2);
            for (out, word) in step.0.iter_mut().zip(line.0) {
                let word = word >> shift;
                *out = signed_pair((word & 3) | ((word << 8) & 0x0003_0000));
            }
        }
    }
}

/// Magnitudes of the two signs, a pair for each lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LaneScales {
    pub(crate) negative: [f32; LANES],
    pub(crate) positive: [f32; LANES],
}

/// The weight of a code.
#[inline(always)]
fn weight(code: u32, negative: f32, positive: f32) -> f32 {
    let trit = code as i32 as f32 - 1.0;
    trit * if trit > 0.0 { positive } else { negative }
}

/// Two-bit lines → sixteen [`Words`] of floats each: step `s` holds column s.
#[inline(always)]
pub(crate) fn floats(lines: &[Line], scales: &LaneScales, panel: &mut [Words]) {
    for (line, steps) in lines.iter().zip(panel.chunks_exact_mut(LANES)) {
        let line = words(line);
        for (s, step) in steps.iter_mut().enumerate() {
            let shift = column_shift(s);
            for lane in 0..LANES {
                let code = (line.0[lane] >> shift) & 3;
                let value = weight(code, scales.negative[lane], scales.positive[lane]);
                step.0[lane] = value.to_bits();
            }
        }
    }
}

/// Where column `s` of a two-bit line sits in the word of a lane.
#[inline(always)]
const fn column_shift(s: usize) -> u32 {
    (8 * (s % 4) + 2 * (s / 4)) as u32
}

const COLUMN_SHIFTS: [u32; LANES] = {
    let mut shifts = [0; LANES];
    let mut s = 0;
    while s < LANES {
        shifts[s] = column_shift(s);
        s += 1;
    }
    shifts
};

/// A two-bit line, transposed: lanes are its sixteen columns and step `s` is row `s` of its block.
/// `scales` holds the magnitudes of each row.
#[inline(always)]
pub(crate) fn floats_transposed(line: &Line, scales: &LaneScales, panel: &mut [Words]) {
    let line = words(line);
    for (row, step) in panel.iter_mut().enumerate().take(LANES) {
        let (negative, positive) = (scales.negative[row], scales.positive[row]);
        for (out, shift) in step.0.iter_mut().zip(COLUMN_SHIFTS) {
            *out = weight((line.0[row] >> shift) & 3, negative, positive).to_bits();
        }
    }
}

/// A two-bit line, transposed: step `s` holds the 16-bit trits of rows 2s and 2s+1 of its block.
#[inline(always)]
pub(crate) fn pairs_transposed(line: &Line, panel: &mut [Words]) {
    let line = words(line);
    for (pair, step) in panel.iter_mut().enumerate().take(LANES / 2) {
        let (even, odd) = (line.0[2 * pair], line.0[2 * pair + 1]);
        for (out, shift) in step.0.iter_mut().zip(COLUMN_SHIFTS) {
            *out = signed_pair(((even >> shift) & 3) | (((odd >> shift) & 3) << 16));
        }
    }
}

/// Five-trit lines → two-bit lines of the same columns. `out` is a segment of a block: lines enough
/// for the columns of `lines`, of which padding beyond the last line of `out` is dropped.
#[inline(always)]
pub(crate) fn five_trits_to_two_bit(lines: &[Line], out: &mut [Line]) {
    out.fill(Line([0; LINE_BYTES]));
    for (index, line) in lines.iter().enumerate() {
        let mut rest = line.0;
        for digit in 0..5 {
            // Five quads of columns for each line, four in each two-bit line.
            let quad = 5 * index + digit;
            let target = out.get_mut(quad / QUADS);
            let shift = 2 * (quad % QUADS);
            let mut digits = [0; LINE_BYTES];
            for (digit, c) in digits.iter_mut().zip(&mut rest) {
                let tripled = 3 * u16::from(*c);
                *digit = ((tripled >> 8) as u8) << shift;
                *c = tripled as u8;
            }
            if let Some(target) = target {
                for (byte, digit) in target.0.iter_mut().zip(digits) {
                    *byte |= digit;
                }
            }
        }
    }
    // Columns that the five-trit lines did not reach are padding.
    for quad in 5 * lines.len()..QUADS * out.len() {
        for byte in &mut out[quad / QUADS].0 {
            *byte |= 1 << (2 * (quad % QUADS));
        }
    }
}
