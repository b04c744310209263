//! Rows that enter one projection or several.

use ternary_core::Real;
use ternary_core::kernels::QuantizedRows;

use crate::compute::Compute;
use crate::error::{Error, InLayer, Result, check_size};
use crate::tape::Tape;

/// Activations on their way into projections (query, key and value share one): the numbers themselves and,
/// once a projection asks, their int8 codes. Each projection marks the form that its backward needs, and
/// only those are kept on the tape.
#[derive(Debug)]
pub struct Input<T> {
    rows: usize,
    cols: usize,
    values: Option<Vec<T>>,
    codes: Option<QuantizedRows>,
    keep_values: bool,
    keep_codes: bool,
}

impl<T: Real> Input<T> {
    /// Rows of `cols` numbers each.
    ///
    /// # Errors
    /// [`Error::Shape`] when `values` is not whole rows.
    pub fn new(layer: &str, values: Vec<T>, cols: usize) -> Result<Self> {
        let rows = values.len().checked_div(cols).unwrap_or(0);
        check_size(layer, "numbers in rows of inputs", rows * cols, values.len())?;
        Ok(Self {
            rows,
            cols,
            values: Some(values),
            codes: None,
            keep_values: false,
            keep_codes: false,
        })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The numbers.
    ///
    /// # Errors
    /// [`Error::Tape`] in a backward whose forward did not mark them with [`Input::keep_values`].
    pub fn values(&self, layer: &str) -> Result<&[T]> {
        let found = "int8 codes alone";
        let missing = || Error::Tape { layer: layer.to_owned(), expected: "numbers", found };
        self.values.as_deref().ok_or_else(missing)
    }

    /// The int8 codes, in a backward.
    ///
    /// # Errors
    /// [`Error::Tape`] when the forward did not mark them with [`Input::keep_codes`].
    pub fn codes(&self, layer: &str) -> Result<&QuantizedRows> {
        let found = "numbers alone";
        let missing = || Error::Tape { layer: layer.to_owned(), expected: "int8 codes", found };
        self.codes.as_ref().ok_or_else(missing)
    }

    /// The int8 codes, made at the first call.
    ///
    /// # Errors
    /// An error of the quantiser: numbers that are not finite.
    pub fn quantized(&mut self, layer: &str, tape: &mut Tape<T>) -> Result<&QuantizedRows>
    where
        T: Compute,
    {
        if self.codes.is_none() {
            let mut codes = tape.take_codes(self.rows * self.cols);
            T::quantize_rows(self.values(layer)?, self.rows, &mut codes).in_layer(layer)?;
            self.codes = Some(codes);
        }
        self.codes(layer)
    }

    /// Marks the numbers for the backward.
    pub fn keep_values(&mut self) {
        self.keep_values = true;
    }

    /// Marks the codes for the backward.
    pub fn keep_codes(&mut self) {
        self.keep_codes = true;
    }

    /// Bytes on the heap.
    pub fn size_bytes(&self) -> usize {
        let values = self.values.as_ref().map_or(0, |values| values.capacity() * size_of::<T>());
        values + self.codes.as_ref().map_or(0, QuantizedRows::size_bytes)
    }

    /// The forms that nobody marked.
    pub(crate) fn drop_unneeded(&mut self) -> (Option<Vec<T>>, Option<QuantizedRows>) {
        let values = if self.keep_values { None } else { self.values.take() };
        let codes = if self.keep_codes { None } else { self.codes.take() };
        (values, codes)
    }

    pub(crate) fn into_buffers(self) -> (Option<Vec<T>>, Option<QuantizedRows>) {
        (self.values, self.codes)
    }
}
