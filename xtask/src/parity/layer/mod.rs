//! Cases of one Gated DeltaNet layer.

mod build;
mod forms;
mod parts;
mod reference;
mod seen;

use std::path::Path;

use nn::Compute;
use serde_json::Value;

use self::reference::Found;
use super::folder::{Folder, Read};
use super::measure::{Measurement, Tolerance};
use super::{Outcome, library};
use crate::fixtures::distance::largest;
use crate::fixtures::layer::{CASE, INPUTS, LayerCase, REFERENCE, same_shapes};

/// Of the largest number of a tensor.
const F64: f64 = 1e-10;
const F32: f64 = 1e-4;
/// Of the largest gradient of a case, where the reference is zeros alone: what is left of a few terms as large as
/// that, each rounded to 6·10⁻⁸ of itself, when they cancel.
const F32_OF_ZEROS: f64 = 1e-6;

/// Runs a case: everything in its folder is read, and all that the reference has is compared.
pub(super) fn run(path: &Path) -> Outcome<Vec<Measurement>> {
    let mut folder = Folder::open(path)?;
    let case: LayerCase = folder.json(CASE)?;
    let mut inputs = folder.tensors(INPUTS)?;
    let mut reference = folder.tensors(REFERENCE)?;
    case.check(inputs.all())?;
    same_shapes(&case.ref_shapes, reference.all())?;

    let mut rows = Vec::new();
    let largest = largest_gradient(&reference);
    let wide = Tolerance { check: "f64", relative: F64, of_zeros: F64 * largest };
    let single = Tolerance { check: "f32", relative: F32, of_zeros: F32_OF_ZEROS * largest };
    rows.extend(against_reference::<f64>(&case, &mut inputs, &mut reference, wide)?);
    rows.extend(against_reference::<f32>(&case, &mut inputs, &mut reference, single)?);
    rows.extend(forms::measurements(&case, &mut inputs)?);
    let recorded = case.checks.get("library_f32_rel_err").unwrap_or(&Value::Null);
    library::checked(&mut folder, recorded, &reference)?;
    inputs.finish()?;
    reference.finish()?;
    folder.finish()?;
    Ok(rows)
}

fn largest_gradient(reference: &Read) -> f64 {
    let gradients = reference.all().iter().filter(|(name, _)| name.starts_with("grad."));
    gradients.map(|(_, tensor)| largest(&tensor.values)).fold(0.0, f64::max)
}

fn against_reference<T: Compute>(
    case: &LayerCase,
    inputs: &mut Read,
    reference: &mut Read,
    tolerance: Tolerance,
) -> Outcome<Vec<Measurement>> {
    let mut rows = Vec::new();
    compare("", &reference::found::<T>(case, inputs)?, reference, tolerance, &mut rows)?;
    if case.intermediates {
        for (op, found) in parts::found::<T>(case, inputs, reference)? {
            compare(&format!("{op}: "), &found, reference, tolerance, &mut rows)?;
        }
    }
    Ok(rows)
}

fn compare(
    of: &str,
    found: &Found,
    reference: &mut Read,
    tolerance: Tolerance,
    rows: &mut Vec<Measurement>,
) -> Outcome<()> {
    for (name, found) in found {
        let expected = &reference.get(name)?.values;
        rows.push(Measurement::new(format!("{of}{name}"), found, expected, tolerance));
    }
    Ok(())
}
