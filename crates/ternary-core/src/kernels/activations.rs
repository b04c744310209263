//! Activations: int8 codes with one scale per row.
//!
//! ```text
//! a  = max(max|x|, 1e-5)
//! xᵢ → clip(round(xᵢ · (127/a)), −127, 127)      ties to even; dequantised by a/127
//! ```
//!
//! −128 never occurs (BitNet b1.58, arXiv 2402.17764, as its published code has it).

use std::sync::Mutex;

use super::arch::Arch;
use super::parallel::{self, SharedSlice};
use crate::error::{Error, Result, check_length};

/// The smallest absmax: a row of zeros gets a finite scale.
const SMALLEST: f32 = 1e-5;

/// Rows of int8 activations, a scale for each row. The buffers are reused from call to call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuantizedRows {
    rows: usize,
    cols: usize,
    codes: Vec<i8>,
    scales: Vec<f32>,
}

impl QuantizedRows {
    /// No rows yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes codes and scales that were made elsewhere.
    ///
    /// # Errors
    /// [`Error::Length`], or [`Error::NonFinite`] for a scale that is not finite.
    pub fn from_parts(rows: usize, cols: usize, codes: Vec<i8>, scales: Vec<f32>) -> Result<Self> {
        check_length("activation codes", elements(rows, cols)?, codes.len())?;
        check_length("activation scales", rows, scales.len())?;
        if let Some(index) = scales.iter().position(|s| !s.is_finite()) {
            let value = f64::from(scales[index]);
            return Err(Error::NonFinite { what: "activation scales", index, value });
        }
        Ok(Self { rows, cols, codes, scales })
    }

    /// Number of rows (tokens).
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns (features) of a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The codes, row-major.
    pub fn codes(&self) -> &[i8] {
        &self.codes
    }

    /// The scale of each row: activation = code · scale.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Bytes on the heap.
    pub fn size_bytes(&self) -> usize {
        self.codes.capacity() + self.scales.capacity() * size_of::<f32>()
    }

    /// Takes on another shape, keeping the buffers, and hands out the parts to be filled.
    pub(crate) fn reshape(&mut self, rows: usize, cols: usize) -> (&mut [i8], &mut [f32]) {
        (self.rows, self.cols) = (rows, cols);
        self.codes.resize(rows * cols, 0);
        self.scales.resize(rows, 0.0);
        (&mut self.codes, &mut self.scales)
    }
}

/// `rows · cols`, where that can be addressed.
pub(crate) fn elements(rows: usize, cols: usize) -> Result<usize> {
    rows.checked_mul(cols).ok_or(Error::ShapeOverflow { rows, cols })
}

/// Quantises one row; returns its scale, or the index of the first number that is not finite.
#[inline(always)]
pub(crate) fn quantize_row(x: &[f32], codes: &mut [i8]) -> Result<f32, usize> {
    // Without the sign, the bits of floats are ordered as the floats are, NaN above all.
    let max = x.iter().fold(0, |max, x| u32::max(max, x.to_bits() & 0x7fff_ffff));
    let max = f32::from_bits(max);
    if !max.is_finite() {
        return Err(x.iter().position(|x| !x.is_finite()).unwrap_or(0));
    }
    let absmax = max.max(SMALLEST);
    let inverse = 127.0 / absmax;
    for (code, &x) in codes.iter_mut().zip(x) {
        // Adding 1.5 · 2²³ leaves the number, rounded to even, in the low bits of the sum.
        *code = (x * inverse + 12_582_912.0).to_bits() as i8;
    }
    Ok(absmax / 127.0)
}

/// Quantises rows of `cols` numbers, as many as there are `scales`.
///
/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn quantize_rows<A: Arch>(
    x: &[f32],
    cols: usize,
    codes: &mut [i8],
    scales: &mut [f32],
) -> Result<()> {
    let rows = scales.len();
    let codes = SharedSlice::new(codes);
    let scales = SharedSlice::new(scales);
    let failure = Mutex::new(None);
    parallel::for_each(rows, x.len(), |row| {
        // SAFETY: each row has codes and a scale of its own; the processor is the caller's promise.
        let result = unsafe {
            let codes = codes.range(row * cols, cols);
            A::quantize_row(&x[row * cols..(row + 1) * cols], codes)
                .map(|scale| scales.range(row, 1)[0] = scale)
        };
        if let Err(index) = result {
            let index = row * cols + index;
            let mut failure = failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            *failure = Some(failure.map_or(index, |first: usize| first.min(index)));
        }
    });
    match failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        None => Ok(()),
        Some(index) => {
            Err(Error::NonFinite { what: "activations", index, value: f64::from(x[index]) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_through_the_low_bits_is_rounding_to_even() {
        // With absmax 127, the code of x is x rounded.
        let x: Vec<f32> = (-254..=254).map(|i| i as f32 / 2.0).collect();
        let mut codes = vec![0; x.len()];
        assert_eq!(quantize_row(&x, &mut codes), Ok(1.0));
        for (x, code) in x.iter().zip(codes) {
            assert_eq!(f32::from(code), x.round_ties_even());
        }
    }

    #[test]
    fn extreme_rows_are_defined() {
        let mut codes = [1; 3];
        assert_eq!(quantize_row(&[0.0; 3], &mut codes), Ok(SMALLEST / 127.0));
        assert_eq!(codes, [0; 3]);
        assert!(quantize_row(&[f32::MAX, -f32::MAX, 1.0], &mut codes).is_ok());
        assert_eq!(codes, [127, -127, 0]);
        assert_eq!(quantize_row(&[1.0, f32::NAN, f32::INFINITY], &mut codes), Err(1));
        assert_eq!(quantize_row(&[], &mut []), Ok(SMALLEST / 127.0));
    }
}
