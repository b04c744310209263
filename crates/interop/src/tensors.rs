//! [`Tensors`]: the tensors of a model by name, and their file.

use std::collections::BTreeMap;
use std::io::{self, Write};

use half::bf16;
use ternary_core::TernaryMatrix;

use crate::arrays::{
    bf16_part, check_finite, check_finite_bf16, matrix_parts, read_bf16, read_matrix, read_reals,
    real_part,
};
use crate::description::{Description, SCALE_SUFFIXES};
use crate::error::Problem;
use crate::safetensors::{self, Array, Container, Dtype, METADATA};

/// The key of the metadata that says which layout this is; no tensor is described under it.
const FORMAT_KEY: &str = "format";
/// The layout that is written and read.
const FORMAT: &str = "ternary-1";

/// A tensor of a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    /// Finite numbers, row-major.
    Real {
        /// Rows first; nothing for a single number.
        shape: Vec<usize>,
        /// As many as the shape says.
        values: Vec<f32>,
    },
    /// The same in `bf16`.
    Bf16 {
        /// Rows first; nothing for a single number.
        shape: Vec<usize>,
        /// As many as the shape says.
        values: Vec<bf16>,
    },
    /// Trits and scales.
    Ternary(TernaryMatrix),
}

/// The tensors of a model by name. [`Tensors::write`] and [`Tensors::from_bytes`] are each other's
/// inverse, bit for bit.
///
/// ```
/// use interop::Tensors;
/// use ternary_core::{Packing, Scales, TernaryMatrix};
///
/// let trits = [1, 0, -1, 0, 1, 1];
/// let matrix = TernaryMatrix::from_trits(2, 3, &trits, Scales::tensor(0.5)?, Packing::TwoBit)?;
/// let mut tensors = Tensors::new();
/// tensors.insert_ternary("up.weight", matrix.clone())?;
/// tensors.insert_real("norm.weight", &[3], vec![1.0, 0.5, 2.0])?;
///
/// let mut file = Vec::new();
/// tensors.write(&mut file)?;
/// let mut read = Tensors::from_bytes(&file)?;
/// assert_eq!(read, tensors);
/// assert_eq!(read.take_ternary("up.weight", [2, 3])?, matrix);
/// assert_eq!(read.finish().unwrap_err().to_string(), r#"tensor "norm.weight" belongs to nothing"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors {
    by_name: BTreeMap<String, Tensor>,
}

impl Tensors {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All of them in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.by_name.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The tensor of a name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.by_name.get(name)
    }

    /// Adds real numbers.
    ///
    /// # Errors
    /// [`Problem`] for a name that is taken, numbers that are not as many as the shape says or not
    /// finite.
    pub fn insert_real(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<(), Problem> {
        check_count(name, shape, values.len())?;
        check_finite(name, &values)?;
        self.insert(name, Tensor::Real { shape: shape.to_vec(), values })
    }

    /// Adds real numbers in `bf16`.
    ///
    /// # Errors
    /// As [`Tensors::insert_real`].
    pub fn insert_bf16(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<bf16>,
    ) -> Result<(), Problem> {
        check_count(name, shape, values.len())?;
        check_finite_bf16(name, &values)?;
        self.insert(name, Tensor::Bf16 { shape: shape.to_vec(), values })
    }

    /// Adds a ternary matrix.
    ///
    /// # Errors
    /// [`Problem`] for a name that is taken, here or in the metadata.
    pub fn insert_ternary(&mut self, name: &str, matrix: TernaryMatrix) -> Result<(), Problem> {
        if name == FORMAT_KEY {
            return Err(Problem::Duplicate { what: "entry of the metadata", name: name.into() });
        }
        self.insert(name, Tensor::Ternary(matrix))
    }

    fn insert(&mut self, name: &str, tensor: Tensor) -> Result<(), Problem> {
        let taken = |array: &String| {
            let other = SCALE_SUFFIXES.iter().filter_map(|suffix| array.strip_suffix(suffix));
            let mut others = other.filter_map(|name| Some((name, self.by_name.get(name)?)));
            array == METADATA
                || self.by_name.contains_key(array)
                || others.any(|(name, tensor)| array_names(name, tensor).contains(array))
        };
        if let Some(name) = array_names(name, &tensor).into_iter().find(taken) {
            return Err(Problem::Duplicate { what: "tensor", name });
        }
        self.by_name.insert(name.to_owned(), tensor);
        Ok(())
    }

    /// Takes real numbers of a shape out; those in `bf16` are widened.
    ///
    /// # Errors
    /// [`Problem`] when there is none, or it is ternary or of another shape.
    pub fn take_real(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Problem> {
        match self.take(name)? {
            Tensor::Real { shape: found, values } if found == shape => Ok(values),
            Tensor::Bf16 { shape: found, values } if found == shape => {
                Ok(values.into_iter().map(bf16::to_f32).collect())
            }
            other => Err(Problem::of_tensor(name, "shape", format!("{shape:?}"), describe(&other))),
        }
    }

    /// Takes a ternary matrix of a shape out.
    ///
    /// # Errors
    /// [`Problem`] when there is none, or it is real or of another shape.
    pub fn take_ternary(
        &mut self,
        name: &str,
        shape: [usize; 2],
    ) -> Result<TernaryMatrix, Problem> {
        match self.take(name)? {
            Tensor::Ternary(matrix) if [matrix.rows(), matrix.cols()] == shape => Ok(matrix),
            other => {
                let expected = format!("ternary {shape:?}");
                Err(Problem::of_tensor(name, "shape", expected, describe(&other)))
            }
        }
    }

    /// Takes a tensor out.
    ///
    /// # Errors
    /// [`Problem`] when there is none.
    pub fn take(&mut self, name: &str) -> Result<Tensor, Problem> {
        let missing = || Problem::Missing { what: "tensor", name: name.to_owned() };
        self.by_name.remove(name).ok_or_else(missing)
    }

    /// Checks that everything was taken out.
    ///
    /// # Errors
    /// [`Problem`] that names the first tensor that is left.
    pub fn finish(mut self) -> Result<(), Problem> {
        match self.by_name.pop_first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::LeftOver { what: "tensor", name }),
        }
    }

    /// Writes the file. One tensor at a time is in memory a second time.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut metadata = BTreeMap::from([(FORMAT_KEY.to_owned(), FORMAT.to_owned())]);
        let mut parts = Vec::new();
        for (name, tensor) in &self.by_name {
            match tensor {
                Tensor::Real { shape, values } => {
                    parts.push(real_part(name.clone(), shape, values))
                }
                Tensor::Bf16 { shape, values } => {
                    parts.push(bf16_part(name.clone(), shape, values));
                }
                Tensor::Ternary(matrix) => {
                    let description = Description::of(matrix);
                    metadata.insert(name.clone(), description.to_string());
                    parts.extend(matrix_parts(name, matrix, &description));
                }
            }
        }
        safetensors::write(out, &metadata, parts)
    }

    /// Reads the bytes of a file. What is allocated is bounded by their number.
    ///
    /// # Errors
    /// [`Problem`] with the first thing that is wrong.
    pub fn from_bytes(file: &[u8]) -> Result<Self, Problem> {
        let mut container = Container::new(file)?;
        let mut metadata = std::mem::take(&mut container.metadata);
        check_format(&mut metadata)?;
        let mut tensors = Self::new();
        for (name, text) in metadata {
            let matrix = read_matrix(&name, &text, &mut container)?;
            tensors.by_name.insert(name, Tensor::Ternary(matrix));
        }
        for (name, array) in std::mem::take(&mut container.arrays) {
            check_real(&name, &array)?;
            let bytes = container.bytes(&array);
            let tensor = if array.dtype == Dtype::Bf16 {
                Tensor::Bf16 { values: read_bf16(&name, bytes)?, shape: array.shape }
            } else {
                let values = read_reals(&name, array.dtype, bytes)?;
                Tensor::Real { shape: array.shape, values }
            };
            tensors.by_name.insert(name, tensor);
        }
        Ok(tensors)
    }
}

/// Checks that numbers are as many as a shape says.
fn check_count(name: &str, shape: &[usize], found: usize) -> Result<(), Problem> {
    let count = shape.iter().try_fold(1_usize, |count, &n| count.checked_mul(n));
    if count == Some(found) {
        return Ok(());
    }
    Err(Problem::of_tensor(name, "numbers", format!("those of {shape:?}"), found))
}

/// Takes the entry of the layout out of the metadata, and checks it.
pub(crate) fn check_format(metadata: &mut BTreeMap<String, String>) -> Result<(), Problem> {
    match metadata.remove(FORMAT_KEY) {
        Some(format) if format == FORMAT => Ok(()),
        other => {
            let found = other.map_or("nothing".into(), |format| format!("{format:?}"));
            Err(Problem::mismatch("format in the metadata", FORMAT, found))
        }
    }
}

/// Checks that an array without a description is of real numbers.
pub(crate) fn check_real(name: &str, array: &Array) -> Result<(), Problem> {
    if matches!(array.dtype, Dtype::F32 | Dtype::Bf16) {
        return Ok(());
    }
    let found = format!("{} without a description in the metadata", array.dtype);
    Err(Problem::of_tensor(name, "type", "F32 or BF16", found))
}

/// The arrays of a tensor in a file.
fn array_names(name: &str, tensor: &Tensor) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    if let Tensor::Ternary(matrix) = tensor {
        let suffixes = Description::of(matrix).scale_suffixes();
        names.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    names
}

fn describe(tensor: &Tensor) -> String {
    match tensor {
        Tensor::Real { shape, .. } | Tensor::Bf16 { shape, .. } => format!("{shape:?}"),
        Tensor::Ternary(matrix) => format!("ternary [{}, {}]", matrix.rows(), matrix.cols()),
    }
}
