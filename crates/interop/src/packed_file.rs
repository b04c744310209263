//! [`PackedFile`]: the tensors of a model of our own, each read when it is asked for.

use std::collections::BTreeMap;

use ternary_core::TernaryMatrix;

use crate::arrays::{read_matrix, read_reals};
use crate::error::Problem;
use crate::frozen::Numbers;
use crate::safetensors::{Array, Container, MappedFile};
use crate::tensors::{check_format, check_real};

/// The file that [`Tensors`](crate::Tensors) are written to. Of it nothing but the header is in memory, beside what was
/// taken out: pages of the file are let go of once they were read.
pub(crate) struct PackedFile {
    container: Container<MappedFile>,
    /// Of ternary tensors, by their names.
    descriptions: BTreeMap<String, String>,
}

impl PackedFile {
    /// Reads the header.
    pub(crate) fn new(file: MappedFile) -> Result<Self, Problem> {
        let mut container = Container::new(file)?;
        let mut descriptions = std::mem::take(&mut container.metadata);
        check_format(&mut descriptions)?;
        Ok(Self { container, descriptions })
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.container.arrays.contains_key(name)
    }

    /// Whether it is ternary.
    pub(crate) fn is_ternary(&self, name: &str) -> bool {
        self.descriptions.contains_key(name)
    }

    /// Takes a ternary matrix out.
    pub(crate) fn take_ternary(
        &mut self,
        name: &str,
        shape: [usize; 2],
    ) -> Result<TernaryMatrix, Problem> {
        let text = self.descriptions.remove(name).ok_or_else(|| missing(name))?;
        let matrix = read_matrix(name, &text, &mut self.container)?;
        self.container.file().release();
        if [matrix.rows(), matrix.cols()] == shape {
            return Ok(matrix);
        }
        let found = format!("ternary [{}, {}]", matrix.rows(), matrix.cols());
        Err(Problem::of_tensor(name, "shape", format!("ternary {shape:?}"), found))
    }

    /// Takes real numbers out.
    pub(crate) fn take_real(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Problem> {
        let array = self.take_array(name, shape)?;
        let values = read_reals(name, array.dtype, self.container.bytes(&array));
        self.container.file().release();
        values
    }

    /// Takes real numbers out, and calls `read` with them as they lie in the file.
    pub(crate) fn take_numbers<R>(
        &mut self,
        name: &str,
        shape: [usize; 2],
        read: impl FnOnce(Numbers<'_>) -> Result<R, Problem>,
    ) -> Result<R, Problem> {
        let array = self.take_array(name, &shape)?;
        let bytes = self.container.bytes(&array);
        let result = read(Numbers { tensor: name, dtype: array.dtype, bytes });
        self.container.file().release();
        result
    }

    fn take_array(&mut self, name: &str, shape: &[usize]) -> Result<Array, Problem> {
        if let Some(text) = self.descriptions.remove(name) {
            let matrix = read_matrix(name, &text, &mut self.container)?;
            let found = format!("ternary [{}, {}]", matrix.rows(), matrix.cols());
            return Err(Problem::of_tensor(name, "shape", format!("{shape:?}"), found));
        }
        let array = self.container.arrays.remove(name).ok_or_else(|| missing(name))?;
        check_real(name, &array)?;
        if array.shape == shape {
            return Ok(array);
        }
        let (expected, found) = (format!("{shape:?}"), format!("{:?}", array.shape));
        Err(Problem::of_tensor(name, "shape", expected, found))
    }

    /// Checks that everything was taken out; the error names the first tensor that is left.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.descriptions.keys().chain(self.container.arrays.keys()).min() {
            None => Ok(()),
            Some(name) => Err(Problem::LeftOver { what: "tensor", name: name.clone() }),
        }
    }
}

fn missing(name: &str) -> Problem {
    Problem::Missing { what: "tensor", name: name.to_owned() }
}
