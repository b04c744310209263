//! ggml's TQ1_0: five trits in a byte, 256 weights in 54 bytes.
//!
//! ```text
//! byte       0                          32              48      52   54
//!            ├─ qs[0..32] ──────────────┼─ qs[32..48] ──┼─ qh ──┼─ d ─┤
//! elements   0 ‥ 159                    160 ‥ 239       240‥255  f16
//!
//! qs[m],    m < 32   elements       m + {0, 32, 64, 96, 128}
//! qs[32+m], m < 16   elements 160 + m + {0, 16, 32, 48, 64}
//! qh[m],    m <  4   elements 240 + m + {0, 4, 8, 12}, and a fifth digit that is 0
//! ```
//!
//! A byte holds digits a₀‥a₄ (trit + 1, a₀ the most significant) as the fraction v/243 of 256:
//!
//! ```text
//! v = ((((a₀·3 + a₁)·3 + a₂)·3 + a₃)·3 + a₄)         byte = ⌈256·v / 243⌉
//! digit n:  c = byte · 3ⁿ mod 256,   aₙ = ⌊3·c / 256⌋
//! ```
//!
//! 243 of the 256 bytes are the image of some digits, and 81 of those end in the digit 0. ggml reads
//! the others too: a byte between two images gives digits of no value v, and the fifth digit of `qh`
//! is never looked at. No writer produces them, so here they are errors.
//!
//! The scale of a block without a single non-zero trit is written like any other. ggml, which
//! computes it as the largest magnitude, would write 0; the weights are the same zeros, and this way
//! the scale survives a round trip.

use super::ggml::{BlockLayout, SCALE_BYTES};
use crate::packing::{FIVE_TRITS_DIGITS, encode_five};

/// Elements of a block.
pub const BLOCK: usize = 256;
/// Bytes of a block.
pub const BLOCK_BYTES: usize = 54;

pub(super) const LAYOUT: BlockLayout = BlockLayout {
    name: "TQ1_0",
    type_id: 34,
    block: BLOCK,
    code_bytes: BLOCK_BYTES - SCALE_BYTES,
    scale_first: false,
    write_codes,
    read_codes,
};

/// The three runs of a block: first byte, bytes (and so the distance between the digits of a byte),
/// first element, digits in use.
const RUNS: [(usize, usize, usize, usize); 3] = [(0, 32, 0, 5), (32, 16, 160, 5), (48, 4, 240, 4)];

fn write_codes(trits: &[i8], codes: &mut [u8]) {
    for (first_byte, bytes, first, digits) in RUNS {
        for (m, code) in codes[first_byte..][..bytes].iter_mut().enumerate() {
            let mut unpacked = [0; 5];
            for (n, digit) in unpacked[..digits].iter_mut().enumerate() {
                *digit = (trits[first + m + n * bytes] + 1) as u8;
            }
            *code = encode_five(unpacked);
        }
    }
}

fn read_codes(codes: &[u8], trits: &mut [i8]) -> Result<(), usize> {
    for (first_byte, bytes, first, digits) in RUNS {
        for (m, &code) in codes[first_byte..][..bytes].iter().enumerate() {
            // A byte that is no image has 0xff for its digits.
            let unpacked = FIVE_TRITS_DIGITS[usize::from(code)];
            if unpacked[0] > 2 || unpacked[digits..].iter().any(|&digit| digit != 0) {
                return Err(first_byte + m);
            }
            for (n, digit) in unpacked[..digits].iter().enumerate() {
                trits[first + m + n * bytes] = *digit as i8 - 1;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes_of(trits: &[i8; BLOCK]) -> [u8; 52] {
        let mut codes = [0; 52];
        write_codes(trits, &mut codes);
        codes
    }

    #[test]
    fn blocks_of_one_trit_have_the_known_bytes() {
        for (trit, qs, qh) in [(-1, 0, 0), (0, 128, 127), (1, 255, 253)] {
            let codes = codes_of(&[trit; BLOCK]);
            assert_eq!(codes[..48], [qs; 48]);
            assert_eq!(codes[48..], [qh; 4]);
        }
    }

    #[test]
    fn known_digits_have_the_known_bytes() {
        let mut trits = [0; BLOCK];
        for (n, (a, b)) in [(1, -1), (-1, 0), (0, 1), (1, 0), (-1, -1)].into_iter().enumerate() {
            trits[7 + 32 * n] = a;
            trits[160 + 9 + 16 * n] = b;
        }
        let codes = codes_of(&trits);
        assert_eq!([codes[7], codes[32 + 9]], [187, 51]);
        assert_eq!(codes.iter().filter(|&&code| code == 128).count(), 46);
    }

    /// The place of each element, spelt out one element at a time, and its digit by tripling.
    fn naive_trit(codes: &[u8], element: usize) -> i8 {
        let (byte, digit) = match element {
            0..160 => (element % 32, element / 32),
            160..240 => (32 + (element - 160) % 16, (element - 160) / 16),
            _ => (48 + (element - 240) % 4, (element - 240) / 4),
        };
        let c = u32::from(codes[byte]) * 3_u32.pow(digit as u32) % 256;
        (3 * c / 256) as i8 - 1
    }

    #[test]
    fn every_byte_is_read_by_tripling_or_refused_in_its_place() {
        let zeros = codes_of(&[0; BLOCK]);
        for place in [0, 31, 32, 47, 48, 51] {
            let mut accepted = 0;
            for byte in 0..=255 {
                let mut codes = zeros;
                codes[place] = byte;
                let mut trits = [0; BLOCK];
                match read_codes(&codes, &mut trits) {
                    Err(position) => assert_eq!(position, place),
                    Ok(()) => {
                        accepted += 1;
                        assert_eq!(codes_of(&trits), codes);
                        for (element, &trit) in trits.iter().enumerate() {
                            assert_eq!(trit, naive_trit(&codes, element), "{byte} {element}");
                        }
                    }
                }
            }
            assert_eq!(accepted, if place < 48 { 243 } else { 81 });
        }
    }
}
