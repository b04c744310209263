//! [`TernaryMatrix`]: packed trits with their scales.

use half::{bf16, f16};

use crate::error::{Error, Result, check_length};
use crate::kernels::Kernels;
use crate::packing::{Layout, PackedTrits, Packing, check_row, check_trits};
use crate::quantize::Quantizer;
use crate::scales::{Granularity, Scales};
use crate::weights::Weights;

/// A `rows × cols` matrix of ternary weights, `[out, in]` row-major: weight = scale · trit.
///
/// ```
/// use ternary_core::{Packing, Scales, TernaryMatrix};
///
/// let trits = [1, 0, -1, 0, 1, 1];
/// let matrix = TernaryMatrix::from_trits(2, 3, &trits, Scales::tensor(0.5)?, Packing::TwoBit)?;
/// assert_eq!(matrix.to_f32(), [0.5, 0.0, -0.5, 0.0, 0.5, 0.5]);
/// # Ok::<(), ternary_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TernaryMatrix {
    codes: PackedTrits,
    scales: Scales,
}

impl TernaryMatrix {
    /// Packs row-major trits.
    ///
    /// # Errors
    /// A typed error when lengths, scales or trits do not fit the shape.
    pub fn from_trits(
        rows: usize,
        cols: usize,
        trits: &[i8],
        scales: Scales,
        packing: Packing,
    ) -> Result<Self> {
        let layout = layout(rows, cols, scales.granularity(), packing)?;
        Self::new(PackedTrits::from_trits(layout, trits)?, scales)
    }

    /// Joins packed trits with scales. The segments of the layout must be those of the scales.
    ///
    /// # Errors
    /// [`Error::Length`] for a wrong number of scales, [`Error::Mismatch`] for other segments.
    pub fn new(codes: PackedTrits, scales: Scales) -> Result<Self> {
        let found = codes.layout();
        scales.check_shape(found.rows(), found.cols())?;
        let expected = scales.granularity().columns_per_scale(found.cols())?;
        if found.segment_columns() != expected {
            return Err(Error::Mismatch {
                what: "columns in a packing segment",
                expected: expected.to_string(),
                found: found.segment_columns().to_string(),
            });
        }
        Ok(Self { codes, scales })
    }

    /// Quantises row-major latent weights (`f32`, `bf16` or `f16`).
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::NonFinite`] with the index of the first bad weight, or an error
    /// of the rule.
    pub fn quantize<'a>(
        rows: usize,
        cols: usize,
        weights: impl Into<Weights<'a>>,
        quantizer: &dyn Quantizer,
        packing: Packing,
    ) -> Result<Self> {
        let weights = weights.into();
        let granularity = quantizer.granularity();
        let layout = layout(rows, cols, granularity, packing)?;
        // Before anything is allocated for the shape.
        check_length("latent weights", rows * cols, weights.len())?;
        let zeros = vec![0.0; granularity.count(rows, cols)?];
        let scales = if quantizer.is_symmetric() {
            Scales::symmetric(granularity, zeros)?
        } else {
            Scales::asymmetric(granularity, zeros.clone(), zeros)?
        };
        let mut matrix = Self { codes: PackedTrits::zeros(layout), scales };
        Kernels::detect()?.requantize(weights, quantizer, &mut matrix)?;
        Ok(matrix)
    }

    /// Rows (outputs).
    pub fn rows(&self) -> usize {
        self.codes.layout().rows()
    }

    /// Columns (inputs).
    pub fn cols(&self) -> usize {
        self.codes.layout().cols()
    }

    /// The packed trits.
    pub fn codes(&self) -> &PackedTrits {
        &self.codes
    }

    /// The scales.
    pub fn scales(&self) -> &Scales {
        &self.scales
    }

    pub(crate) fn parts_mut(&mut self) -> (&mut PackedTrits, &mut Scales) {
        (&mut self.codes, &mut self.scales)
    }

    /// How a byte holds trits.
    pub fn packing(&self) -> Packing {
        self.codes.layout().packing()
    }

    /// The same trits under other scales.
    ///
    /// # Errors
    /// As [`TernaryMatrix::new`], after the trits were packed anew where the segments differ.
    pub fn with_scales(self, scales: Scales) -> Result<Self> {
        let segment = scales.granularity().columns_per_scale(self.cols())?;
        let codes = if segment == self.codes.layout().segment_columns() {
            self.codes
        } else {
            self.codes.repack(self.codes.layout().packing(), segment)?
        };
        Self::new(codes, scales)
    }

    /// The same matrix in another packing.
    ///
    /// # Errors
    /// [`Error::ShapeOverflow`].
    pub fn repack(&self, packing: Packing) -> Result<Self> {
        let codes = self.codes.repack(packing, self.codes.layout().segment_columns())?;
        Self::new(codes, self.scales.clone())
    }

    /// The transposed matrix. Only scales per tensor survive it: a scale of a row would become one
    /// of a column.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when scales are per row or group; transpose [`TernaryMatrix::codes`] then.
    pub fn transpose(&self) -> Result<Self> {
        if self.scales.granularity() != Granularity::Tensor {
            return Err(Error::Mismatch {
                what: "scales of a matrix to transpose",
                expected: "one for the tensor".into(),
                found: format!("{:?}", self.scales.granularity()),
            });
        }
        Self::new(self.codes.transpose(self.rows())?, self.scales.clone())
    }

    /// The weight at (`row`, `col`).
    ///
    /// # Panics
    /// When the position is outside the matrix.
    pub fn get(&self, row: usize, col: usize) -> f32 {
        self.scales.value(self.scale_group(row, col), self.codes.get(row, col))
    }

    /// The scaling group of the weight at (`row`, `col`).
    fn scale_group(&self, row: usize, col: usize) -> usize {
        let layout = self.codes.layout();
        let segment = col / layout.segment_columns();
        self.scales.granularity().index(row, segment, layout.segments())
    }

    /// Changes the trits of one row, each to what `decide` makes of its column and of the weights that
    /// −1 and +1 stand for there. The scales stay.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when there is no such row, [`Error::OutOfRange`] for a number that is no trit: the
    /// row is as it was then.
    pub fn decide_row(
        &mut self,
        row: usize,
        mut decide: impl FnMut(usize, [f32; 2]) -> i8,
    ) -> Result<()> {
        check_row(row, self.rows())?;
        let weights = |col| {
            let group = self.scale_group(row, col);
            [self.scales.value(group, -1), self.scales.value(group, 1)]
        };
        let trits: Vec<i8> = (0..self.cols()).map(|col| decide(col, weights(col))).collect();
        check_trits(&trits)?;
        self.codes.set_row(row, &trits);
        Ok(())
    }

    /// Writes the weights of one row to `out`.
    ///
    /// # Errors
    /// [`Error::Length`] when `out` is not a row long, [`Error::Mismatch`] when there is no such row.
    pub fn row_f32(&self, row: usize, out: &mut [f32]) -> Result<()> {
        check_length("row of weights", self.cols(), out.len())?;
        self.visit_row(row, |col, weight| out[col] = weight)
    }

    /// Calls `visit` with the column and the weight of each position of a row, in order.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when there is no such row.
    pub fn visit_row(&self, row: usize, mut visit: impl FnMut(usize, f32)) -> Result<()> {
        let layout = self.codes.layout();
        let columns = layout.segment_columns().max(1);
        let mut values = [0.0; 3];
        self.codes.visit_row(row, |col, trit| {
            if col % columns == 0 {
                let segments = layout.segments();
                let group = self.scales.granularity().index(row, col / columns, segments);
                values = [-1, 0, 1].map(|trit| self.scales.value(group, trit));
            }
            visit(col, values[(trit + 1) as usize]);
        })
    }

    /// All weights as `f32`, row-major.
    pub fn to_f32(&self) -> Vec<f32> {
        self.map_weights(0.0, |weight| weight)
    }

    /// All weights rounded to `bf16`, row-major.
    pub fn to_bf16(&self) -> Vec<bf16> {
        self.map_weights(bf16::ZERO, bf16::from_f32)
    }

    /// All weights rounded to `f16`, row-major.
    pub fn to_f16(&self) -> Vec<f16> {
        self.map_weights(f16::ZERO, f16::from_f32)
    }

    fn map_weights<T: Copy>(&self, zero: T, convert: impl Fn(f32) -> T) -> Vec<T> {
        let cols = self.cols();
        let mut out = vec![zero; self.rows() * cols];
        if out.is_empty() {
            return out;
        }
        for (row, out) in out.chunks_exact_mut(cols).enumerate() {
            self.visit_row(row, |col, weight| out[col] = convert(weight))
                .expect("a row of its own shape");
        }
        out
    }

    /// All trits as −1, 0 and +1, row-major, without the scales.
    pub fn to_trits(&self) -> Vec<i8> {
        self.codes.to_trits()
    }

    /// Bytes on the heap: packed codes and scales.
    pub fn size_bytes(&self) -> usize {
        self.codes.size_bytes() + self.scales.size_bytes()
    }
}

fn layout(rows: usize, cols: usize, scales: Granularity, packing: Packing) -> Result<Layout> {
    Layout::new(rows, cols, scales.columns_per_scale(cols)?, packing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_is_decided_by_the_weights_of_its_own_groups() {
        let granularity = Granularity::group(2).unwrap();
        let scales = Scales::asymmetric(granularity, vec![1.0, 2.0, 3.0, 4.0], vec![0.5; 4]);
        for packing in [Packing::TwoBit, Packing::FiveTrits] {
            let scales = scales.clone().unwrap();
            let mut matrix = TernaryMatrix::from_trits(2, 4, &[1; 8], scales, packing).unwrap();
            let mut seen = Vec::new();
            let decide = |col, weights| {
                seen.push((col, weights));
                [-1, 0, 1, -1][col]
            };
            matrix.decide_row(1, decide).unwrap();
            assert_eq!(
                seen,
                [3.0, 3.0, 4.0, 4.0].map(|w| [-w, 0.5]).into_iter().enumerate().collect::<Vec<_>>()
            );
            assert_eq!(matrix.to_trits(), [1, 1, 1, 1, -1, 0, 1, -1]);
            let before = matrix.clone();
            assert!(matrix.decide_row(2, |_, _| 0).is_err());
            assert!(matrix.decide_row(0, |_, _| 2).is_err());
            assert_eq!(matrix, before);
        }
    }
}
