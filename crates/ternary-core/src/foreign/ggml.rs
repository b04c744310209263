//! What the block formats of ggml share: blocks along the row, each with an f16 scale.

use half::f16;

use super::{check_block, elements, q2_0, scale, tq1_0, tq2_0};
use crate::error::{Error, Result, check_length};
use crate::matrix::TernaryMatrix;
use crate::packing::{Packing, check_trits};
use crate::scales::{Granularity, Scales};

/// Bytes of a block's f16 scale.
pub(super) const SCALE_BYTES: usize = 2;

/// One format: all that its file says about it.
pub(super) struct BlockLayout {
    pub(super) name: &'static str,
    pub(super) type_id: u32,
    pub(super) block: usize,
    pub(super) code_bytes: usize,
    pub(super) scale_first: bool,
    /// From a block of checked trits to its code bytes.
    pub(super) write_codes: fn(&[i8], &mut [u8]),
    /// From the code bytes of a block to its trits, or the offset of the first byte that is no code.
    pub(super) read_codes: fn(&[u8], &mut [i8]) -> Result<(), usize>,
}

impl BlockLayout {
    const fn block_bytes(&self) -> usize {
        self.code_bytes + SCALE_BYTES
    }

    /// Offsets of the codes and of the scale in a block.
    const fn offsets(&self) -> (usize, usize) {
        if self.scale_first { (SCALE_BYTES, 0) } else { (0, self.code_bytes) }
    }
}

/// A block format of mainline ggml. Blocks run along the row and must divide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GgmlFormat {
    /// [Five trits in a byte](super::tq1_0), 1.6875 bits a weight.
    Tq1_0,
    /// [Two bits a trit](super::tq2_0), 2.0625 bits a weight.
    Tq2_0,
    /// [Two bits a trit](super::q2_0) in small blocks, 2.25 bits a weight.
    Q2_0,
}

impl GgmlFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tq1_0, Self::Tq2_0, Self::Q2_0];

    const fn layout(self) -> &'static BlockLayout {
        match self {
            Self::Tq1_0 => &tq1_0::LAYOUT,
            Self::Tq2_0 => &tq2_0::LAYOUT,
            Self::Q2_0 => &q2_0::LAYOUT,
        }
    }

    /// The name that ggml gives it.
    pub const fn name(self) -> &'static str {
        self.layout().name
    }

    /// The number that stands for it in a GGUF file of mainline ggml.
    pub const fn type_id(self) -> u32 {
        self.layout().type_id
    }

    /// Elements of a block.
    pub const fn block(self) -> usize {
        self.layout().block
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        self.layout().block_bytes()
    }

    /// Bytes of a `rows × cols` matrix.
    ///
    /// # Errors
    /// [`Error::Block`] when a row is no whole number of blocks, [`Error::ShapeOverflow`].
    pub fn size_bytes(self, rows: usize, cols: usize) -> Result<usize> {
        check_block(self.name(), self.block(), cols)?;
        Ok(elements(rows, cols)? / self.block() * self.block_bytes())
    }

    /// The bytes of row-major trits with one scale for each block, rounded to f16.
    ///
    /// # Errors
    /// Those of [`GgmlFormat::size_bytes`]; [`Error::Length`]; [`Error::OutOfRange`] or
    /// [`Error::NonFinite`] with the index of the first number that is no trit, or of the first scale
    /// that f16 cannot hold.
    pub fn encode(self, rows: usize, cols: usize, trits: &[i8], scales: &[f32]) -> Result<Vec<u8>> {
        let size = self.size_bytes(rows, cols)?;
        check_length("block scales", size / self.block_bytes(), scales.len())?;
        self.encode_blocks(rows, cols, trits, &scale::round_to_f16(scales)?)
    }

    /// The trits and the scales, one for each block, of a `rows × cols` matrix.
    ///
    /// # Errors
    /// Those of [`GgmlFormat::size_bytes`]; [`Error::Length`]; [`Error::InvalidCode`] with the position
    /// of the byte; [`Error::NonFinite`] or [`Error::OutOfRange`] with the block of a bad scale.
    pub fn decode(self, rows: usize, cols: usize, bytes: &[u8]) -> Result<(Vec<i8>, Vec<f32>)> {
        // The length is checked before anything is allocated.
        check_length(self.name(), self.size_bytes(rows, cols)?, bytes.len())?;
        let layout = self.layout();
        let mut trits = vec![0; elements(rows, cols)?];
        let mut scales = Vec::with_capacity(bytes.len() / layout.block_bytes());
        let (codes_at, scale_at) = layout.offsets();
        let blocks = bytes.chunks_exact(layout.block_bytes());
        for (index, (bytes, trits)) in blocks.zip(trits.chunks_exact_mut(layout.block)).enumerate()
        {
            scales.push(scale::widen(index, [bytes[scale_at], bytes[scale_at + 1]])?);
            let codes = &bytes[codes_at..][..layout.code_bytes];
            (layout.read_codes)(codes, trits).map_err(|offset| Error::InvalidCode {
                format: layout.name,
                position: index * layout.block_bytes() + codes_at + offset,
                code: codes[offset],
            })?;
        }
        Ok((trits, scales))
    }

    /// The bytes of a matrix. A scale of the tensor, of a row or of a group of several blocks is
    /// repeated in each block.
    ///
    /// # Errors
    /// Those of [`GgmlFormat::encode`], where the index of a scale is that among the matrix's own;
    /// [`Error::Mismatch`] when its scales are asymmetric or cover no whole number of blocks.
    pub fn encode_matrix(self, matrix: &TernaryMatrix) -> Result<Vec<u8>> {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        self.size_bytes(rows, cols)?;
        let scales = scale::of_blocks(matrix, self.block())?;
        self.encode_blocks(rows, cols, &matrix.to_trits(), &scales)
    }

    /// The `rows × cols` matrix that the bytes hold, its scales one for each group of a block.
    ///
    /// # Errors
    /// Those of [`GgmlFormat::decode`].
    pub fn decode_matrix(
        self,
        rows: usize,
        cols: usize,
        bytes: &[u8],
        packing: Packing,
    ) -> Result<TernaryMatrix> {
        let (trits, scales) = self.decode(rows, cols, bytes)?;
        let scales = Scales::symmetric(Granularity::group(self.block())?, scales)?;
        TernaryMatrix::from_trits(rows, cols, &trits, scales, packing)
    }

    fn encode_blocks(
        self,
        rows: usize,
        cols: usize,
        trits: &[i8],
        scales: &[f16],
    ) -> Result<Vec<u8>> {
        let layout = self.layout();
        check_length("trits", elements(rows, cols)?, trits.len())?;
        check_trits(trits)?;
        let mut bytes = vec![0; self.size_bytes(rows, cols)?];
        let (codes_at, scale_at) = layout.offsets();
        let blocks = bytes.chunks_exact_mut(layout.block_bytes());
        for ((bytes, trits), scale) in blocks.zip(trits.chunks_exact(layout.block)).zip(scales) {
            bytes[scale_at..][..SCALE_BYTES].copy_from_slice(&scale.to_le_bytes());
            (layout.write_codes)(trits, &mut bytes[codes_at..][..layout.code_bytes]);
        }
        Ok(bytes)
    }
}
