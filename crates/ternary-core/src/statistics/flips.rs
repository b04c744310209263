//! How many codes changed.

use crate::error::{Error, Result};
use crate::packing::PackedTrits;

/// The number of positions at which two matrices of one shape hold different trits. The matrices may
/// be packed differently.
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
    use super::*;
    use crate::packing::{Layout, Packing};

    fn packed(rows: usize, cols: usize, trits: &[i8], packing: Packing) -> PackedTrits {
        let layout = Layout::new(rows, cols, cols, packing).unwrap();
        PackedTrits::from_trits(layout, trits).unwrap()
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
