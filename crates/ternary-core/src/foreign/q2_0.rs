//! ggml's Q2_0: two bits a trit in plain order, 64 weights in 18 bytes.
//!
//! ```text
//! byte       0   2                              18
//!            ├─ d ┼─ codes ─────────────────────┤
//! elements    f16  0 ‥ 63
//!
//! byte m of the codes    bits 7‥6     5‥4     3‥2     1‥0
//!                 element    4m+3    4m+2    4m+1      4m
//! ```
//!
//! The scale comes **first**. A code is trit + 1; code 3, which ggml reads as +2, is no trit and an
//! error here. As in [`tq1_0`](super::tq1_0), a block of zeros keeps its scale, where ggml would
//! write 0.
//!
//! This is the format of mainline ggml. A fork uses the same name for blocks of 128 weights in 34
//! bytes; nothing in the bytes tells the two apart, only their number does.

use super::ggml::{BlockLayout, SCALE_BYTES};
use super::two_bit::{self, LOW_FIRST};

/// Elements of a block.
pub const BLOCK: usize = 64;
/// Bytes of a block.
pub const BLOCK_BYTES: usize = 18;

pub(super) const LAYOUT: BlockLayout = BlockLayout {
    name: "Q2_0",
    type_id: 42,
    block: BLOCK,
    code_bytes: BLOCK_BYTES - SCALE_BYTES,
    scale_first: true,
    write_codes,
    read_codes,
};

fn write_codes(trits: &[i8], codes: &mut [u8]) {
    for (trits, code) in trits.chunks_exact(4).zip(codes.chunks_exact_mut(1)) {
        two_bit::write(trits, LOW_FIRST, code);
    }
}

fn read_codes(codes: &[u8], trits: &mut [i8]) -> Result<(), usize> {
    if let Some(offset) = two_bit::first_invalid(codes) {
        return Err(offset);
    }
    for (trits, code) in trits.chunks_exact_mut(4).zip(codes.chunks_exact(1)) {
        two_bit::read(code, LOW_FIRST, trits);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format's description, an element at a time.
    fn naive_value(code: &[u8], element: usize, scale: f32) -> f32 {
        let code = (code[element / 4] >> (2 * (element % 4))) & 3;
        (f32::from(code) - 1.0) * scale
    }

    #[test]
    fn the_weights_are_those_of_the_description() {
        let trits: [i8; BLOCK] = std::array::from_fn(|i| [1, 0, -1, -1, 0, 1, 1][i % 7]);
        let mut codes = [0xff; 16];
        write_codes(&trits, &mut codes);
        assert_eq!(codes[0], 0b00_00_01_10);
        let mut read = [0; BLOCK];
        assert_eq!(read_codes(&codes, &mut read), Ok(()));
        assert_eq!(read, trits);
        for (element, &trit) in trits.iter().enumerate() {
            assert_eq!(f32::from(trit) * 0.3, naive_value(&codes, element, 0.3));
        }
    }

    #[test]
    fn a_code_of_three_is_refused() {
        let mut codes = [0b10_01_00_10; 16];
        codes[15] |= 0b00_11_00_00;
        assert_eq!(read_codes(&codes, &mut [0; BLOCK]), Err(15));
    }
}
