//! From lines to panels: packed trits as the words that a dot product takes.
//!
//! A *panel* of a block is a run of [`Words`], one for each step of a dot product: word `l` belongs
//! to lane `l` and holds the weights that meet one 32-bit word of activations: four codes, two
//! 16-bit trits or one float. Written once over [`Lanes`].

use super::lanes::Lanes;
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
///
/// # Safety
/// The processor has the features of `L`; so for all of these.
#[inline(always)]
pub(crate) unsafe fn quads<L: Lanes>(lines: &[Line], plane: Plane, panel: &mut [Words]) {
    let (shift, mask) = match plane {
        Plane::Codes => (0, 0x0303_0303),
        Plane::Positive => (1, 0x0101_0101),
        Plane::Zero => (0, 0x0101_0101),
    };
    // SAFETY: passed on from the caller.
    unsafe {
        let mask = L::splat(mask);
        for (line, steps) in lines.iter().zip(panel.chunks_exact_mut(QUADS)) {
            for part in 0..L::PARTS {
                let word = L::load(words(line), part);
                for (field, step) in steps.iter_mut().enumerate() {
                    let field = L::and(L::shift_right(word, 2 * field + shift), mask);
                    L::store(field, step, part);
                }
            }
        }
    }
}

/// Two codes (0, 1, 2) in the halves of a word → two 16-bit trits (−1, 0, +1). Neither the sum nor
/// the flipped sign bit carries from half to half: c + 7fff ≤ 8001, and 8000 is the zero.
#[inline(always)]
unsafe fn signed_pair<L: Lanes>(codes: L::Vector) -> L::Vector {
    // SAFETY: passed on from the caller.
    unsafe { L::xor(L::add(codes, L::splat(0x7fff_7fff)), L::splat(0x8000_8000)) }
}

/// Two-bit lines → eight [`Words`] of 16-bit trits each: step `s` holds columns 2s and 2s+1.
#[inline(always)]
pub(crate) unsafe fn pairs<L: Lanes>(lines: &[Line], panel: &mut [Words]) {
    // SAFETY: passed on from the caller.
    unsafe {
        let (low, high) = (L::splat(3), L::splat(0x0003_0000));
        for (line, steps) in lines.iter().zip(panel.chunks_exact_mut(2 * QUADS)) {
            for part in 0..L::PARTS {
                let word = L::load(words(line), part);
                for (s, step) in steps.iter_mut().enumerate() {
                    let word = L::shift_right(word, 2 * (s / 2) + 16 * (s % 2));
                    let codes = L::or(L::and(word, low), L::and(L::shift_left(word, 8), high));
                    L::store(signed_pair::<L>(codes), step, part);
                }
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

impl LaneScales {
    pub(crate) const ZERO: Self = Self { negative: [0.0; LANES], positive: [0.0; LANES] };
}

/// Two-bit lines → sixteen [`Words`] of floats each: step `s` holds column s.
#[inline(always)]
pub(crate) unsafe fn floats<L: Lanes>(lines: &[Line], scales: &LaneScales, panel: &mut [Words]) {
    let negative = Words(scales.negative.map(f32::to_bits));
    let positive = Words(scales.positive.map(f32::to_bits));
    // SAFETY: passed on from the caller.
    unsafe {
        let mask = L::splat(3);
        for (line, steps) in lines.iter().zip(panel.chunks_exact_mut(LANES)) {
            for part in 0..L::PARTS {
                let word = L::load(words(line), part);
                let negative = L::load(&negative, part);
                let positive = L::load(&positive, part);
                for (s, step) in steps.iter_mut().enumerate() {
                    let codes = L::and(L::shift_right(word, column_shift(s)), mask);
                    L::store(L::weights(codes, negative, positive), step, part);
                }
            }
        }
    }
}

/// Where column `s` of a two-bit line sits in the word of a lane.
#[inline(always)]
pub(crate) const fn column_shift(s: usize) -> usize {
    8 * (s % 4) + 2 * (s / 4)
}

const COLUMN_SHIFTS: Words = {
    let mut shifts = [0; LANES];
    let mut s = 0;
    while s < LANES {
        shifts[s] = column_shift(s) as u32;
        s += 1;
    }
    Words(shifts)
};

/// A two-bit line, transposed: lanes are its sixteen columns and step `s` is row `s` of its block.
/// `scales` holds the magnitudes of each row.
#[inline(always)]
pub(crate) unsafe fn floats_transposed<L: Lanes>(
    line: &Line,
    scales: &LaneScales,
    panel: &mut [Words],
) {
    // SAFETY: passed on from the caller.
    unsafe {
        let mask = L::splat(3);
        for part in 0..L::PARTS {
            let shifts = L::load(&COLUMN_SHIFTS, part);
            for (row, step) in panel.iter_mut().enumerate().take(LANES) {
                let word = L::splat(words(line).0[row]);
                let codes = L::and(L::shift_right_each(word, shifts), mask);
                let negative = L::splat(scales.negative[row].to_bits());
                let positive = L::splat(scales.positive[row].to_bits());
                L::store(L::weights(codes, negative, positive), step, part);
            }
        }
    }
}

/// A two-bit line, transposed: step `s` holds the 16-bit trits of rows 2s and 2s+1 of its block.
#[inline(always)]
pub(crate) unsafe fn pairs_transposed<L: Lanes>(line: &Line, panel: &mut [Words]) {
    // SAFETY: passed on from the caller.
    unsafe {
        let mask = L::splat(3);
        for part in 0..L::PARTS {
            let shifts = L::load(&COLUMN_SHIFTS, part);
            for (pair, step) in panel.iter_mut().enumerate().take(LANES / 2) {
                let code = |row: usize| words(line).0[row];
                let even = L::shift_right_each(L::splat(code(2 * pair)), shifts);
                let odd = L::shift_right_each(L::splat(code(2 * pair + 1)), shifts);
                let codes = L::or(L::and(even, mask), L::shift_left(L::and(odd, mask), 16));
                L::store(signed_pair::<L>(codes), step, part);
            }
        }
    }
}

/// Five-trit lines → two-bit lines of the same columns. `out` is a segment of a block, or its
/// beginning: what the last five-trit lines hold beyond it is dropped.
///
/// Digit n of a byte is the high byte of 3·cₙ, and cₙ₊₁ the low one: bytes are tripled as the halves of
/// 32-bit lanes, the even ones and the odd ones.
#[inline(always)]
pub(crate) unsafe fn five_trits_to_two_bit<L: Lanes>(lines: &[Line], out: &mut [Line]) {
    // Padding that no five-trit line reaches is the zero trit as well.
    out.fill(Line([0b01_01_01_01; LINE_BYTES]));
    // SAFETY: passed on from the caller.
    unsafe {
        let (halves, digit_mask) = (L::splat(0x00ff_00ff), L::splat(0x0003_0003));
        for (index, line) in lines.iter().enumerate() {
            for part in 0..L::PARTS {
                let word = L::load(words(line), part);
                let mut c = [L::and(word, halves), L::and(L::shift_right(word, 8), halves)];
                for digit in 0..5 {
                    // Five quads of columns for each line, four in each two-bit line.
                    let quad = 5 * index + digit;
                    let mut digits = [L::splat(0); 2];
                    for n in 0..2 {
                        let tripled = L::add(c[n], L::shift_left(c[n], 1));
                        digits[n] = L::and(L::shift_right(tripled, 8), digit_mask);
                        c[n] = L::and(tripled, halves);
                    }
                    let Some(target) = out.get_mut(quad / QUADS) else { break };
                    let target: &mut Words = bytemuck::cast_mut(target);
                    let digits = L::or(digits[0], L::shift_left(digits[1], 8));
                    // A field starts as 1: 1 xor (digit xor 1) is the digit.
                    let digits = L::xor(digits, L::splat(0x0101_0101));
                    let field = L::shift_left(digits, 2 * (quad % QUADS));
                    L::store(L::xor(L::load(target, part), field), target, part);
                }
            }
        }
    }
}
