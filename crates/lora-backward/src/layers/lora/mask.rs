//! Which inputs a forward keeps under dropout: a bit for each, rows of whole words.

use nn::ternary_core::noise::Noise;
use nn::ternary_core::{Real, mutant};
use nn::{Dropout, Tape};
use rayon::prelude::*;

/// Inputs in a word.
const BITS: usize = u32::BITS as usize;

/// The mask of rows of `cols` inputs of which a share p is dropped on average. Bit i of row n is a function of the
/// random numbers of `stream`, of the number of the row and of i.
pub(super) fn draw<T: Real>(
    share: f64,
    (dropout, stream): (Dropout, u64),
    [rows, cols]: [usize; 2],
    tape: &mut Tape<T>,
) -> Vec<u32> {
    let stream = mutant!("Lora/mask reused by another projection", stream, 0);
    let dropout =
        mutant!("Lora/mask reused in the next step", dropout, Dropout { step: 0, ..dropout });
    let noise = dropout.noise(stream);
    let words = cols.div_ceil(BITS);
    let row_number =
        |row: usize| tape.row_number(mutant!("Lora/mask of the first row reused", row, 0));
    let numbers: Vec<u64> = (0..rows).map(row_number).collect();
    let mut mask = tape.take_tokens(rows * words);
    let first_kept = (share * (u64::from(u32::MAX) + 1) as f64) as u32;
    mask.par_chunks_mut(words.max(1)).zip(numbers).for_each_init(
        || vec![0; cols],
        |bits, (mask, number)| draw_row(&noise, number, first_kept, bits, mask),
    );
    mask
}

fn draw_row(noise: &Noise, number: u64, first_kept: u32, bits: &mut [u32], mask: &mut [u32]) {
    // Half of all indices, so that none behind the first overflows.
    let start = number.wrapping_mul(bits.len() as u64) & (u64::MAX >> 1);
    noise.fill_bits(start, bits);
    for (word, bits) in mask.iter_mut().zip(bits.chunks(BITS)) {
        let is_kept = bits.iter().map(|&bits| u32::from(bits >= first_kept));
        *word = is_kept.rev().fold(0, |word, bit| word << 1 | bit);
    }
}

/// x ← mask ⊙ x/(1 − p), for rows of `cols`.
pub(super) fn keep<T: Real>(mask: &[u32], share: f64, cols: usize, x: &mut [T]) {
    let factor = T::from_f64(1.0 / (1.0 - share));
    let words = cols.div_ceil(BITS).max(1);
    x.par_chunks_mut(cols.max(1)).zip(mask.par_chunks(words)).for_each(|(x, mask)| {
        for (x, &word) in x.chunks_mut(BITS).zip(mask) {
            for (bit, x) in x.iter_mut().enumerate() {
                *x = if word >> bit & 1 == 1 { *x * factor } else { T::ZERO };
            }
        }
    });
}
