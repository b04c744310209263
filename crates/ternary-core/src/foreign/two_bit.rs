//! Runs of 2-bit codes whose four quarters lie over each other in the same bytes.
//!
//! All the 2-bit layouts are this one with another length of the run and another order of bits:
//! `b` bytes hold `4·b` trits, and byte m holds trits m, m+b, m+2b and m+3b.

use crate::packing::Packing;

/// Shifts of the four quarters where the first lies in the lowest bits.
pub(super) const LOW_FIRST: [u8; 4] = [0, 2, 4, 6];
/// Shifts of the four quarters where the first lies in the highest bits.
pub(super) const HIGH_FIRST: [u8; 4] = [6, 4, 2, 0];

/// Writes a run of trits (each −1, 0 or +1, four for each byte, checked by the caller).
pub(super) fn write(trits: &[i8], shifts: [u8; 4], bytes: &mut [u8]) {
    bytes.fill(0);
    for (quarter, shift) in trits.chunks_exact(bytes.len().max(1)).zip(shifts) {
        for (byte, &trit) in bytes.iter_mut().zip(quarter) {
            *byte |= ((trit + 1) as u8) << shift;
        }
    }
}

/// Reads a run of valid bytes into as many trits as they hold.
pub(super) fn read(bytes: &[u8], shifts: [u8; 4], trits: &mut [i8]) {
    for (quarter, shift) in trits.chunks_exact_mut(bytes.len().max(1)).zip(shifts) {
        for (trit, byte) in quarter.iter_mut().zip(bytes) {
            *trit = ((byte >> shift) & 3) as i8 - 1;
        }
    }
}

/// Offset of the first byte that holds the code 3.
pub(super) fn first_invalid(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| !Packing::TwoBit.is_valid(byte))
}
