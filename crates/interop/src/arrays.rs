//! Tensors as arrays of a container, and back.

use std::borrow::Cow;

use half::{bf16, f16};
use ternary_core::{PackedTrits, Real, Scales, TernaryMatrix};

use crate::description::Description;
use crate::error::Problem;
use crate::safetensors::{Array, Container, Dtype, Part};

/// The array of real numbers.
pub(crate) fn real_part<'a>(name: String, shape: &[usize], values: &'a [f32]) -> Part<'a> {
    let bytes = || Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect());
    Part { name, dtype: Dtype::F32, shape: shape.to_vec(), bytes: Box::new(bytes) }
}

/// The array of real numbers in `bf16`.
pub(crate) fn bf16_part<'a>(name: String, shape: &[usize], values: &'a [bf16]) -> Part<'a> {
    let bytes = || Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect());
    Part { name, dtype: Dtype::Bf16, shape: shape.to_vec(), bytes: Box::new(bytes) }
}

/// The arrays of a ternary matrix.
pub(crate) fn matrix_parts<'a>(
    name: &str,
    matrix: &'a TernaryMatrix,
    description: &Description,
) -> Vec<Part<'a>> {
    let codes = || Cow::Owned(matrix.codes().to_row_major());
    let mut parts = vec![Part {
        name: name.to_owned(),
        dtype: Dtype::U8,
        shape: description.codes_shape(),
        bytes: Box::new(codes),
    }];
    let scales = [matrix.scales().negative(), matrix.scales().positive()];
    let shape = description.scales_shape().expect("the granularity of a matrix fits it");
    for (suffix, values) in description.scale_suffixes().iter().zip(scales) {
        parts.push(real_part(format!("{name}{suffix}"), &shape, values));
    }
    parts
}

/// Puts a matrix together from its description and the arrays that belong to it, which are taken out.
pub(crate) fn read_matrix<F: AsRef<[u8]>>(
    name: &str,
    text: &str,
    container: &mut Container<F>,
) -> Result<TernaryMatrix, Problem> {
    let core = |source| Problem::Tensor { tensor: name.to_owned(), source };
    let description: Description = text.parse().map_err(|()| {
        let expected = "ROWSxCOLUMNS PACKING GRANULARITY SIGNS";
        Problem::of_tensor(name, "description", expected, format!("{text:?}"))
    })?;
    let layout = description.layout().map_err(core)?;
    let codes = take_array(name, Dtype::U8, &description.codes_shape(), container)?;
    let shape = description.scales_shape().map_err(core)?;
    let mut scales = Vec::new();
    for suffix in description.scale_suffixes() {
        let name = format!("{name}{suffix}");
        let array = take_array(&name, Dtype::F32, &shape, container)?;
        scales.push(read_reals(&name, array.dtype, container.bytes(&array))?);
    }
    let granularity = description.granularity;
    let first = scales.remove(0);
    let scales = match scales.pop() {
        None => Scales::symmetric(granularity, first),
        Some(positive) => Scales::asymmetric(granularity, first, positive),
    };
    let codes = PackedTrits::from_row_major(layout, container.bytes(&codes)).map_err(core)?;
    TernaryMatrix::new(codes, scales.map_err(core)?).map_err(core)
}

fn take_array<F>(
    name: &str,
    dtype: Dtype,
    shape: &[usize],
    container: &mut Container<F>,
) -> Result<Array, Problem> {
    let missing = || Problem::Missing { what: "tensor", name: name.to_owned() };
    let array = container.arrays.remove(name).ok_or_else(missing)?;
    if array.dtype == dtype && array.shape == shape {
        return Ok(array);
    }
    let found = format!("{} {:?}", array.dtype, array.shape);
    Err(Problem::of_tensor(name, "type and shape", format!("{dtype} {shape:?}"), found))
}

/// The numbers of an array, which must be finite: what is not exact in `T` is rounded to the nearest.
pub(crate) fn read_reals<T: Real>(
    name: &str,
    dtype: Dtype,
    bytes: &[u8],
) -> Result<Vec<T>, Problem> {
    let values = match dtype {
        Dtype::F64 => numbers(bytes, |bytes| T::from_f64(f64::from_le_bytes(bytes))),
        Dtype::F32 => numbers(bytes, |bytes| T::from_f32(f32::from_le_bytes(bytes))),
        Dtype::F16 => numbers(bytes, |bytes| T::from_f32(f16::from_le_bytes(bytes).to_f32())),
        Dtype::Bf16 => numbers(bytes, |bytes| T::from_f32(bf16::from_le_bytes(bytes).to_f32())),
        other => {
            return Err(Problem::of_tensor(name, "type", "F64, F32, F16 or BF16", other));
        }
    };
    check_finite(name, &values)?;
    Ok(values)
}

fn numbers<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|&bytes| number(bytes)).collect()
}

/// Checks that all numbers of a tensor are finite.
pub(crate) fn check_finite<T: Real>(name: &str, values: &[T]) -> Result<(), Problem> {
    check_each(name, values, T::to_f64)
}

/// The numbers of an array in `bf16`, which must be finite.
pub(crate) fn read_bf16(name: &str, bytes: &[u8]) -> Result<Vec<bf16>, Problem> {
    let values = numbers(bytes, bf16::from_le_bytes);
    check_finite_bf16(name, &values)?;
    Ok(values)
}

/// The same in `f16`.
pub(crate) fn read_f16(name: &str, bytes: &[u8]) -> Result<Vec<f16>, Problem> {
    let values = numbers(bytes, f16::from_le_bytes);
    check_each(name, &values, f16::to_f64)?;
    Ok(values)
}

/// Checks that numbers in `bf16` are finite.
pub(crate) fn check_finite_bf16(name: &str, values: &[bf16]) -> Result<(), Problem> {
    check_each(name, values, bf16::to_f64)
}

fn check_each<T: Copy>(name: &str, values: &[T], widen: impl Fn(T) -> f64) -> Result<(), Problem> {
    let index = values.iter().position(|&value| !widen(value).is_finite());
    let Some(index) = index else { return Ok(()) };
    let value = widen(values[index]);
    let source = ternary_core::Error::NonFinite { what: "numbers", index, value };
    Err(Problem::Tensor { tensor: name.to_owned(), source })
}
