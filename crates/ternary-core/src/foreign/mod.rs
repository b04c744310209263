//! Foreign layouts: the bytes that other runtimes keep ternary weights in.
//!
//! | layout | elements a block | bytes a block | bits a weight | scale | read by |
//! |---|---|---|---|---|---|
//! | [`tq1_0`] | 256 of a row | 54 | 1.6875 | f16 for each block, at its end | ggml, type 34 |
//! | [`tq2_0`] | 256 of a row | 66 | 2.0625 | f16 for each block, at its end | ggml, type 35 |
//! | [`q2_0`] | 64 of a row | 18 | 2.25 | f16 for each block, at its start | ggml, type 42 |
//! | [`i2_s`] | 128 of a row | 32 | 2 (+ 256 in all) | f32 for the tensor, in a tail of 32 bytes | bitnet.cpp |
//! | [`hugging_face`] | 4 rows of a column | 1 | 2 | for the tensor, in a tensor of its own | transformers |
//!
//! These are functions from trits and scales to bytes and back; files that hold the bytes are the
//! business of other crates. All numbers are little-endian, and codes never pass through floats.
//!
//! In every layout a code is trit + 1, so 0, 1, 2 stand for −1, 0, +1. What differs is the order of
//! the trits, which of a byte's bits come first, and where the scale is.
//!
//! **Reading is strict.** What no writer of ternary weights produces is an error that says where it
//! is: a code of 3, a byte that is the image of no digits, a scale that is NaN, infinite or has its
//! sign bit set, a wrong number of bytes, a row that is no whole number of blocks. So bytes that were
//! read are written again as they were (except the unused part of the I2_S tail), and the weights of
//! the matrix that was read, [`TernaryMatrix::to_f32`], are what the other runtime computes, bit for
//! bit.
//!
//! **Writing never loses a scale silently.** The ggml formats round a scale to f16; one that would
//! become infinite, or that is not zero and would become zero, is an error. So are scales that differ
//! for the two signs, and scales of a part of a block.
//!
//! ```
//! use ternary_core::foreign::{GgmlFormat, hugging_face::{self, WeightScale}};
//! use ternary_core::{Packing, Scales, TernaryMatrix};
//!
//! let trits: Vec<i8> = (0..4 * 256).map(|i| [1, 0, -1, 0, 1][i % 5]).collect();
//! let scales = Scales::tensor(0.75)?;
//! let matrix = TernaryMatrix::from_trits(4, 256, &trits, scales, Packing::TwoBit)?;
//!
//! // To ggml's TQ1_0 and back: a row of 256 is one block of 54 bytes.
//! let bytes = GgmlFormat::Tq1_0.encode_matrix(&matrix)?;
//! assert_eq!(bytes.len(), 4 * 54);
//! let read = GgmlFormat::Tq1_0.decode_matrix(4, 256, &bytes, Packing::TwoBit)?;
//! assert_eq!(read.to_f32(), matrix.to_f32());
//!
//! // To the bytes and the stored scale of a Hugging Face `bitlinear` checkpoint.
//! let (bytes, stored) = hugging_face::encode_matrix(&matrix, WeightScale::Divide)?;
//! assert_eq!((bytes.len(), stored), (256, 1.0 / 0.75));
//!
//! // A byte that stands for nothing is an error with its place.
//! let mut bytes = GgmlFormat::Tq2_0.encode_matrix(&matrix)?;
//! bytes[70] = 0b11_00_00_00;
//! let error = GgmlFormat::Tq2_0.decode_matrix(4, 256, &bytes, Packing::TwoBit).unwrap_err();
//! assert_eq!(error.to_string(), "TQ2_0: byte 0xc0 at position 70 is no code");
//! # Ok::<(), ternary_core::Error>(())
//! ```
//!
//! [`TernaryMatrix::to_f32`]: crate::TernaryMatrix::to_f32

mod ggml;
pub mod hugging_face;
pub mod i2_s;
pub mod q2_0;
mod scale;
pub mod tq1_0;
pub mod tq2_0;
mod two_bit;

pub use ggml::GgmlFormat;

use crate::error::{Error, Result};

/// `rows · cols`, checked.
fn elements(rows: usize, cols: usize) -> Result<usize> {
    rows.checked_mul(cols).ok_or(Error::ShapeOverflow { rows, cols })
}

/// Checks that a block divides the length it runs along.
fn check_block(what: &'static str, block: usize, found: usize) -> Result<()> {
    if found.is_multiple_of(block) { Ok(()) } else { Err(Error::Block { what, block, found }) }
}
