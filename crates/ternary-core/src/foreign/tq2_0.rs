//! ggml's TQ2_0: two bits a trit, 256 weights in 66 bytes.
//!
//! ```text
//! byte       0                  32                 64   66
//!            ├─ half 0 ─────────┼─ half 1 ─────────┼─ d ─┤
//! elements   0 ‥ 127            128 ‥ 255           f16
//!
//! byte m of half h    bits 7‥6          5‥4          3‥2          1‥0
//!           element  128h+96+m     128h+64+m     128h+32+m      128h+m
//! ```
//!
//! A code is trit + 1. Code 3, which ggml reads as +2, is no trit and an error here. As in
//! [`tq1_0`](super::tq1_0), a block of zeros keeps its scale, where ggml would write 0.

use super::ggml::{BlockLayout, SCALE_BYTES};
use super::two_bit::{self, LOW_FIRST};

/// Elements of a block.
pub const BLOCK: usize = 256;
/// Bytes of a block.
pub const BLOCK_BYTES: usize = 66;

/// Bytes of a half.
const HALF: usize = 32;

pub(super) const LAYOUT: BlockLayout = BlockLayout {
    name: "TQ2_0",
    type_id: 35,
    block: BLOCK,
    code_bytes: BLOCK_BYTES - SCALE_BYTES,
    scale_first: false,
    write_codes,
    read_codes,
};

fn write_codes(trits: &[i8], codes: &mut [u8]) {
    for (trits, codes) in trits.chunks_exact(4 * HALF).zip(codes.chunks_exact_mut(HALF)) {
        two_bit::write(trits, LOW_FIRST, codes);
    }
}

fn read_codes(codes: &[u8], trits: &mut [i8]) -> Result<(), usize> {
    if let Some(offset) = two_bit::first_invalid(codes) {
        return Err(offset);
    }
    for (trits, codes) in trits.chunks_exact_mut(4 * HALF).zip(codes.chunks_exact(HALF)) {
        two_bit::read(codes, LOW_FIRST, trits);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_has_its_own_two_bits() {
        for element in 0..BLOCK {
            let mut trits = [-1; BLOCK];
            trits[element] = 1;
            let (half, n, m) = (element / 128, element % 128 / 32, element % 32);
            let mut expected = [0; 64];
            expected[32 * half + m] = 2 << (2 * n);
            let mut codes = [0xff; 64];
            write_codes(&trits, &mut codes);
            assert_eq!(codes, expected, "element {element}");
            let mut read = [0; BLOCK];
            assert_eq!(read_codes(&codes, &mut read), Ok(()));
            assert_eq!(read, trits);
        }
    }

    #[test]
    fn a_code_of_three_is_refused_in_each_of_its_places() {
        for (place, code) in [(0, 0b00_00_00_11), (31, 0b00_00_11_00), (63, 0b11_00_00_00)] {
            let mut codes = [0b10_01_00_10; 64];
            codes[place] = code;
            assert_eq!(read_codes(&codes, &mut [0; BLOCK]), Err(place));
        }
    }
}
