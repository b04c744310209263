//! The code of a byte: four 2-bit fields, or five base-3 digits as a fraction of 256.

use super::layout::Packing;

/// A byte of five trits for each value `v` of the five digits: `⌈256·v/243⌉`.
const FIVE_TRITS_BYTE: [u8; 243] = {
    let mut table = [0; 243];
    let mut v = 0;
    while v < 243 {
        table[v] = (v * 256).div_ceil(243) as u8;
        v += 1;
    }
    table
};

/// The five digits of each byte, or `0xff`s where the byte is the image of no digits.
pub(crate) const FIVE_TRITS_DIGITS: [[u8; 5]; 256] = {
    let mut table = [[0xff; 5]; 256];
    let mut v = 0;
    while v < 243 {
        let mut rest = v;
        let mut n = 5;
        while n > 0 {
            n -= 1;
            table[FIVE_TRITS_BYTE[v] as usize][n] = (rest % 3) as u8;
            rest /= 3;
        }
        v += 1;
    }
    table
};

/// The byte that holds five digits, the first the most significant.
#[inline]
pub(crate) fn encode_five(digits: [u8; 5]) -> u8 {
    let v = digits.iter().fold(0, |v, &digit| v * 3 + usize::from(digit));
    FIVE_TRITS_BYTE[v]
}

impl Packing {
    /// The byte whose digits are all the zero trit.
    pub(crate) const fn zero_byte(self) -> u8 {
        match self {
            Self::TwoBit => 0b01_01_01_01,
            Self::FiveTrits => FIVE_TRITS_BYTE[121],
        }
    }

    /// Digit `digit` (0, 1, 2) of a valid byte.
    #[inline]
    pub(crate) fn digit(self, byte: u8, digit: usize) -> u8 {
        match self {
            Self::TwoBit => (byte >> (2 * digit)) & 3,
            Self::FiveTrits => FIVE_TRITS_DIGITS[usize::from(byte)][digit],
        }
    }

    /// Whether the byte is the image of some trits.
    pub(crate) fn is_valid(self, byte: u8) -> bool {
        match self {
            Self::TwoBit => byte & (byte >> 1) & 0b01_01_01_01 == 0,
            Self::FiveTrits => FIVE_TRITS_DIGITS[usize::from(byte)][0] != 0xff,
        }
    }

    /// The digits of a lane's four bytes in the order of their columns; two bits fill the first sixteen.
    #[inline]
    pub(crate) fn lane_digits(self, lane: [u8; 4]) -> [u8; 20] {
        let mut digits = [1; 20];
        match self {
            Self::TwoBit => {
                let codes = u32::from_le_bytes(lane);
                for (n, digits) in digits.chunks_exact_mut(4).take(4).enumerate() {
                    digits.copy_from_slice(&(codes >> (2 * n) & 0x0303_0303).to_le_bytes());
                }
            }
            Self::FiveTrits => {
                let bytes = lane.map(|byte| FIVE_TRITS_DIGITS[usize::from(byte)]);
                for (n, digits) in digits.chunks_exact_mut(4).enumerate() {
                    digits.copy_from_slice(&[bytes[0][n], bytes[1][n], bytes[2][n], bytes[3][n]]);
                }
            }
        }
        digits
    }

    /// Packs as many digits as a byte holds.
    #[inline]
    pub(crate) fn encode(self, digits: &[u8; 5]) -> u8 {
        match self {
            Self::TwoBit => digits[0] | (digits[1] << 2) | (digits[2] << 4) | (digits[3] << 6),
            Self::FiveTrits => encode_five(*digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_five_digits_have_their_own_byte_and_come_back_by_tripling() {
        let mut seen = [false; 256];
        for v in 0..243_u32 {
            let digits = [v / 81, v / 27 % 3, v / 9 % 3, v / 3 % 3, v % 3].map(|d| d as u8);
            let byte = encode_five(digits);
            assert!(!std::mem::replace(&mut seen[usize::from(byte)], true));
            assert_eq!(FIVE_TRITS_DIGITS[usize::from(byte)], digits);
            let mut c = u32::from(byte);
            for digit in digits {
                let next = 3 * c % 256;
                assert_eq!((3 * c - next) / 256, u32::from(digit));
                c = next;
            }
        }
        assert_eq!(seen.iter().filter(|&&s| !s).count(), 13);
    }

    #[test]
    fn the_digits_of_a_lane_are_those_of_its_bytes_in_the_order_of_their_columns() {
        for packing in Packing::ALL {
            let bytes: Vec<u8> = (0..=255).filter(|&byte| packing.is_valid(byte)).collect();
            for lane in bytes.windows(4) {
                let lane: [u8; 4] = lane.try_into().unwrap();
                let digits = packing.lane_digits(lane);
                for column in 0..packing.columns_per_line() {
                    let expected = packing.digit(lane[column % 4], column / 4);
                    assert_eq!(digits[column], expected, "{packing:?} {lane:?}");
                }
            }
        }
    }

    #[test]
    fn a_byte_is_valid_exactly_when_its_digits_encode_to_it() {
        for packing in Packing::ALL {
            for byte in 0..=255_u8 {
                let mut digits = [1; 5];
                for (n, digit) in digits.iter_mut().take(packing.trits_per_byte()).enumerate() {
                    *digit = packing.digit(byte, n);
                }
                let whole = digits.iter().all(|&d| d < 3) && packing.encode(&digits) == byte;
                assert_eq!(packing.is_valid(byte), whole, "{packing:?} {byte:#x}");
            }
        }
        assert_eq!(Packing::FiveTrits.zero_byte(), encode_five([1; 5]));
    }
}
