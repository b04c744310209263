//! bitnet.cpp's I2_S: two bits a trit, one f32 scale in a tail. The layout of its x86 builds and of
//! its converters.
//!
//! ```text
//! byte       0                 32                  n/4        n/4+4           n/4+32
//!            ├─ block 0 ───────┼─ block 1 ──┼─ … ──┼─ scale ──┼─ unused ──────┤
//! elements   0 ‥ 127           128 ‥ 255            f32        0
//!
//! byte m of block b    bits 7‥6      5‥4       3‥2       1‥0
//!            element    128b+m  128b+32+m  128b+64+m  128b+96+m
//! ```
//!
//! A code is trit + 1; code 3 is no trit. The weight is scale · trit. Blocks run over the n = rows ·
//! columns elements in row-major order, but bitnet.cpp multiplies a row in whole blocks (and drops
//! what is left of it), so 128 must divide the row.
//!
//! Of the tail only the scale means something: the converters fill the rest with zeros, as is done
//! here, and the C code leaves whatever was there, so it is not looked at.
//!
//! The name does not say the layout. ARM builds use blocks of 64, and x86 builds without
//! `ACT_PARALLEL` put four rows in a byte; all have the same number of bytes. The type number of I2_S
//! (36) belongs to that fork: mainline ggml refuses such files, and wants a
//! [`GgmlFormat`](super::GgmlFormat) instead.

use super::two_bit::{self, HIGH_FIRST};
use super::{check_block, elements, scale};
use crate::error::{Error, Result, check_length};
use crate::matrix::TernaryMatrix;
use crate::packing::{Packing, check_trits};
use crate::scales::{Scales, check_scales};

/// Elements of a block.
pub const BLOCK: usize = 128;
/// Bytes of a block.
pub const BLOCK_BYTES: usize = 32;
/// Bytes of the tail that holds the scale.
pub const TAIL_BYTES: usize = 32;

const NAME: &str = "I2_S";
const SCALE: &str = "I2_S scale";

/// Bytes of a `rows × cols` matrix.
///
/// # Errors
/// [`Error::Block`] when a row is no whole number of blocks, [`Error::ShapeOverflow`].
pub fn size_bytes(rows: usize, cols: usize) -> Result<usize> {
    check_block(NAME, BLOCK, cols)?;
    Ok(elements(rows, cols)? / BLOCK * BLOCK_BYTES + TAIL_BYTES)
}

/// The bytes of row-major trits with one scale.
///
/// # Errors
/// Those of [`size_bytes`]; [`Error::Length`]; [`Error::OutOfRange`] or [`Error::NonFinite`] with the
/// index of the first number that is no trit, or for the scale.
pub fn encode(rows: usize, cols: usize, trits: &[i8], scale: f32) -> Result<Vec<u8>> {
    let size = size_bytes(rows, cols)?;
    check_length("trits", elements(rows, cols)?, trits.len())?;
    check_trits(trits)?;
    check_scales(SCALE, &[scale])?;
    let mut bytes = vec![0; size];
    let (codes, tail) = bytes.split_at_mut(size - TAIL_BYTES);
    for (trits, codes) in trits.chunks_exact(BLOCK).zip(codes.chunks_exact_mut(BLOCK_BYTES)) {
        two_bit::write(trits, HIGH_FIRST, codes);
    }
    // A zero loses its sign: a stored scale has none.
    tail[..4].copy_from_slice(&scale.abs().to_le_bytes());
    Ok(bytes)
}

/// The trits and the scale of a `rows × cols` matrix.
///
/// # Errors
/// Those of [`size_bytes`]; [`Error::Length`]; [`Error::InvalidCode`] with the position of the byte;
/// [`Error::NonFinite`] or [`Error::OutOfRange`] for the scale.
pub fn decode(rows: usize, cols: usize, bytes: &[u8]) -> Result<(Vec<i8>, f32)> {
    // The length is checked before anything is allocated.
    let size = size_bytes(rows, cols)?;
    check_length(NAME, size, bytes.len())?;
    let (codes, tail) = bytes.split_at(size - TAIL_BYTES);
    if let Some(position) = two_bit::first_invalid(codes) {
        return Err(Error::InvalidCode { format: NAME, position, code: codes[position] });
    }
    let stored = f32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
    let scale = scale::check_stored(SCALE, 0, stored)?;
    let mut trits = vec![0; 4 * codes.len()];
    for (trits, codes) in trits.chunks_exact_mut(BLOCK).zip(codes.chunks_exact(BLOCK_BYTES)) {
        two_bit::read(codes, HIGH_FIRST, trits);
    }
    Ok((trits, scale))
}

/// The bytes of a matrix with one scale for the tensor.
///
/// # Errors
/// Those of [`size_bytes`]; [`Error::Mismatch`] when its scales are asymmetric, or per row or group.
pub fn encode_matrix(matrix: &TernaryMatrix) -> Result<Vec<u8>> {
    let scale = scale::of_tensor(matrix)?;
    encode(matrix.rows(), matrix.cols(), &matrix.to_trits(), scale)
}

/// The `rows × cols` matrix that the bytes hold.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_matrix(
    rows: usize,
    cols: usize,
    bytes: &[u8],
    packing: Packing,
) -> Result<TernaryMatrix> {
    let (trits, scale) = decode(rows, cols, bytes)?;
    TernaryMatrix::from_trits(rows, cols, &trits, Scales::tensor(scale)?, packing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_has_its_own_two_bits_the_first_the_highest() {
        for element in 0..3 * BLOCK {
            let mut trits = [-1; 3 * BLOCK];
            trits[element] = 1;
            let (block, within) = (element / 128, element % 128);
            let mut expected = [0; 3 * 32 + 32];
            expected[32 * block + within % 32] = 2 << (6 - 2 * (within / 32));
            expected[96..100].copy_from_slice(&1.5_f32.to_le_bytes());
            assert_eq!(encode(1, 384, &trits, 1.5).unwrap(), expected, "element {element}");
            assert_eq!(decode(3, 128, &expected), Ok((trits.to_vec(), 1.5)));
        }
    }

    #[test]
    fn the_unused_part_of_the_tail_is_not_looked_at() {
        let mut bytes = encode(1, 128, &[1; 128], 0.25).unwrap();
        bytes[36..].fill(0xff);
        assert_eq!(decode(1, 128, &bytes), Ok((vec![1; 128], 0.25)));
    }

    #[test]
    fn what_means_nothing_is_refused_in_its_place() {
        let bytes = encode(2, 128, &[0; 256], 1.0).unwrap();
        let with_scale = |scale: f32| {
            let mut bytes = bytes.clone();
            bytes[64..68].copy_from_slice(&scale.to_le_bytes());
            decode(2, 128, &bytes)
        };
        assert_eq!(with_scale(0.0), Ok((vec![0; 256], 0.0)));
        assert!(matches!(with_scale(f32::NAN), Err(Error::NonFinite { .. })));
        assert!(matches!(with_scale(-0.0), Err(Error::OutOfRange { .. })));
        let mut bad = bytes.clone();
        bad[40] = 0b01_11_01_01;
        let error = Error::InvalidCode { format: "I2_S", position: 40, code: bad[40] };
        assert_eq!(decode(2, 128, &bad), Err(error));
        let error = Error::Length { what: "I2_S", expected: 96, found: 95 };
        assert_eq!(decode(2, 128, &bytes[..95]), Err(error));
        // As many elements, but rows that are no whole number of blocks.
        let error = Error::Block { what: "I2_S", block: 128, found: 64 };
        assert_eq!(decode(4, 64, &bytes), Err(error));
        assert!(matches!(encode(1, 128, &[0; 128], -1.0), Err(Error::OutOfRange { .. })));
    }
}
