//! What a dense product takes: matrices as they lie or transposed, and what becomes of its sums.

use super::super::activations::elements;
use crate::error::{Result, check_length};

/// A row-major matrix as an operand of a product, as it lies or transposed.
///
/// ```
/// use ternary_core::kernels::DenseOperand;
///
/// let matrix = DenseOperand::new(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3)?;
/// let transposed = matrix.transposed();
/// assert_eq!((transposed.rows(), transposed.cols()), (3, 2));
/// assert_eq!(transposed.at(2, 0), matrix.at(0, 2));
/// # Ok::<(), ternary_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct DenseOperand<'a, T = f32> {
    pub(super) values: &'a [T],
    rows: usize,
    cols: usize,
    /// Whether a column of the operand, not a row, lies in one piece.
    pub(super) transposed: bool,
}

impl<'a, T: Copy> DenseOperand<'a, T> {
    /// A matrix of `rows` rows, which lie one after the other.
    ///
    /// # Errors
    /// [`Error::Length`](crate::Error::Length) or
    /// [`Error::ShapeOverflow`](crate::Error::ShapeOverflow) when the shape is not that of `values`.
    pub fn new(values: &'a [T], rows: usize, cols: usize) -> Result<Self> {
        check_length("dense operand", elements(rows, cols)?, values.len())?;
        Ok(Self { values, rows, cols, transposed: false })
    }

    /// The same numbers with rows and columns exchanged; nothing moves.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { rows: self.cols, cols: self.rows, transposed: !self.transposed, ..self }
    }

    /// Rows, after the transposition.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns, after the transposition.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The number in row `row` and column `col`, after the transposition.
    ///
    /// # Panics
    /// When there is no such row or column.
    #[inline]
    pub fn at(&self, row: usize, col: usize) -> T {
        assert!(
            row < self.rows && col < self.cols,
            "{row}, {col} in {} x {}",
            self.rows,
            self.cols
        );
        self.values[if self.transposed { col * self.rows + row } else { row * self.cols + col }]
    }
}

/// What a product does with the outputs it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Writes the sums over them. A sum of no terms is 0.
    Set,
    /// Adds to them: each sum starts from the output and its terms are added in ascending order, as
    /// if the output were the sum of the terms before.
    Add,
}
