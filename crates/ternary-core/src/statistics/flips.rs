//! How many codes changed.

use crate::error::{Error, Result};
use crate::packing::{FIVE_TRITS_DIGITS, PackedTrits, Packing};

/// The number of positions at which two matrices of one shape hold different trits. The matrices may
/// be packed differently.
///
/// Of one layout, packed words are compared and nothing is unpacked: a trainer asks after every update.
///
/// # Errors
/// [`Error::Mismatch`] when the shapes differ.
pub fn code_flips(before: &PackedTrits, after: &PackedTrits) -> Result<usize> {
    let [rows, cols] = [before.layout().rows(), before.layout().cols()];
    if [rows, cols] != [after.layout().rows(), after.layout().cols()] {
        return Err(Error::Mismatch {
            what: "shape of the codes to compare",
            expected: format!("{rows} x {cols}"),
            found: format!("{} x {}", after.layout().rows(), after.layout().cols()),
        });
    }
    if before.layout() == after.layout() {
        // The padding holds zero trits in both.
        let words = words(before).zip(words(after));
        let different: fn(u64, u64) -> usize = match before.layout().packing() {
            Packing::TwoBit => fields_that_differ,
            Packing::FiveTrits => digits_that_differ,
        };
        return Ok(words.filter(|(a, b)| a != b).map(|(a, b)| different(a, b)).sum());
    }
    flips_of_rows(before, after)
}

/// The packed bytes, eight at a time: lines are a multiple of that.
fn words(codes: &PackedTrits) -> impl Iterator<Item = u64> {
    codes.as_bytes().as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes))
}

/// Two-bit fields that differ: those with a bit of `a ⊕ b` in them.
fn fields_that_differ(a: u64, b: u64) -> usize {
    let bits = a ^ b;
    ((bits | bits >> 1) & 0x5555_5555_5555_5555).count_ones() as usize
}

/// Base-3 digits that differ, of eight bytes with five each.
fn digits_that_differ(a: u64, b: u64) -> usize {
    let of_byte = |(a, b): (u8, u8)| {
        let [a, b] = [a, b].map(|byte| FIVE_TRITS_DIGITS[usize::from(byte)]);
        a.iter().zip(&b).filter(|(a, b)| a != b).count()
    };
    a.to_ne_bytes().into_iter().zip(b.to_ne_bytes()).map(of_byte).sum()
}

/// The same for any two layouts of one shape, a row of trits at a time.
fn flips_of_rows(before: &PackedTrits, after: &PackedTrits) -> Result<usize> {
    let [rows, cols] = [before.layout().rows(), before.layout().cols()];
    if before.layout().is_empty() {
        return Ok(0);
    }
    let (mut old, mut new) = (vec![0; cols], vec![0; cols]);
    let mut flips = 0;
    for row in 0..rows {
        before.row(row, &mut old)?;
        after.row(row, &mut new)?;
        flips += old.iter().zip(&new).filter(|(old, new)| old != new).count();
    }
    Ok(flips)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::*;
    use crate::noise::Noise;
    use crate::packing::Layout;

    fn packed(rows: usize, cols: usize, trits: &[i8], packing: Packing) -> PackedTrits {
        let layout = Layout::new(rows, cols, cols, packing).unwrap();
        PackedTrits::from_trits(layout, trits).unwrap()
    }

    proptest! {
        #[test]
        fn flips_are_those_of_the_unpacked_trits_in_any_two_layouts(
            (rows, segments, segment) in (0..35_usize, 0..4_usize, 1..45_usize),
            rare in 1..200_u64,
            seed: u64,
        ) {
            let cols = segments * segment;
            let noise = Noise::new(seed, 0, 0);
            let below = |index, bound| noise.below(index, NonZeroU64::new(bound).unwrap());
            let total = (rows * cols) as u64;
            let old: Vec<i8> = (0..total).map(|i| below(i, 3) as i8 - 1).collect();
            let new: Vec<i8> = (0..total)
                .map(|i| match below(total + i, rare) {
                    0 => below(2 * total + i, 3) as i8 - 1,
                    _ => old[i as usize],
                })
                .collect();
            let expected = old.iter().zip(&new).filter(|(old, new)| old != new).count();
            for packing in Packing::ALL {
                let layout = Layout::new(rows, cols, segment, packing)?;
                let before = PackedTrits::from_trits(layout, &old)?;
                let after = PackedTrits::from_trits(layout, &new)?;
                prop_assert_eq!(code_flips(&before, &after)?, expected);
                for other in Packing::ALL {
                    let after = after.repack(other, cols)?;
                    prop_assert_eq!(code_flips(&before, &after)?, expected);
                }
            }
        }
    }

    #[test]
    fn flips_are_counted_by_position_whatever_the_packing() {
        let before = packed(2, 3, &[1, 0, -1, 0, 0, 1], Packing::TwoBit);
        let after = packed(2, 3, &[-1, 0, -1, 1, 0, 0], Packing::FiveTrits);
        assert_eq!(code_flips(&before, &after), Ok(3));
        assert_eq!(code_flips(&after, &before), Ok(3));
        assert_eq!(code_flips(&before, &before), Ok(0));
        let empty = packed(0, 3, &[], Packing::TwoBit);
        assert_eq!(code_flips(&empty, &empty), Ok(0));
    }

    #[test]
    fn shapes_that_differ_are_refused() {
        let two_rows = packed(2, 3, &[0; 6], Packing::TwoBit);
        let three_rows = packed(3, 2, &[0; 6], Packing::TwoBit);
        let error = code_flips(&two_rows, &three_rows).unwrap_err().to_string();
        assert!(error.contains("expected 2 x 3, found 3 x 2"), "{error}");
    }
}
