//! The factors of adapters as arrays of a container, and back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use lora_backward::{Adapter, Scaling};
use ternary_core::Real;

use crate::arrays::read_reals;
use crate::error::Problem;
use crate::safetensors::{Array, Container, Dtype, Part};

/// The longest name of a module: those of models have a hundred bytes at most.
const MAX_NAME_BYTES: usize = 4096;

/// How a format keeps a matrix of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// As it is: A `[rank, inputs]`, B `[outputs, rank]`.
    Same,
    /// The other way round: A `[inputs, rank]`, B `[rank, outputs]`.
    Transposed,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Factor {
    A,
    B,
}

/// Where in a file the factors of a module are.
#[derive(Debug, Default)]
pub(super) struct Pair {
    /// What the file calls the module.
    pub(super) path: String,
    a: Option<String>,
    b: Option<String>,
}

/// The factors of all modules, by our names of those.
#[derive(Debug, Default)]
pub(super) struct Pairs(pub(super) BTreeMap<String, Pair>);

impl Pairs {
    /// Adds a tensor, which is a factor of the module that the file calls `path`. A name of a module that is longer than
    /// any model has is refused, as each may be compared to thousands.
    pub(super) fn add(
        &mut self,
        module: String,
        path: &str,
        factor: Factor,
        tensor: &str,
    ) -> Result<(), Problem> {
        if path.len() > MAX_NAME_BYTES {
            let begins: String = path.chars().take(32).collect();
            let expected = format!("at most {MAX_NAME_BYTES} bytes");
            let found = format!("{}, which begin {begins:?}", path.len());
            return Err(Problem::mismatch("name of a module", expected, found));
        }
        let pair = match self.0.entry(module) {
            Entry::Vacant(entry) => entry.insert(Pair { path: path.to_owned(), a: None, b: None }),
            Entry::Occupied(entry) => entry.into_mut(),
        };
        let place = if factor == Factor::A { &mut pair.a } else { &mut pair.b };
        match place.replace(tensor.to_owned()) {
            None => Ok(()),
            Some(other) => {
                let what = format!("{factor:?} of {path:?}");
                Err(Problem::mismatch(what, "one tensor", format!("{other:?} and {tensor:?}")))
            }
        }
    }

    /// What the file calls the modules.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|pair| pair.path.as_str())
    }
}

impl Pair {
    /// Reads both factors, which must have the rank that is expected `by` what says so.
    pub(super) fn read<T: Real, F: AsRef<[u8]>>(
        &self,
        module: &str,
        container: &Container<F>,
        layout: Layout,
        (rank, scaling): (usize, Scaling),
        by: &str,
    ) -> Result<Adapter<T>, Problem> {
        let ((a_name, a), (b_name, b)) =
            match (array(&self.a, container), array(&self.b, container)) {
                (Some(a), Some(b)) => (a, b),
                (Some((name, _)), None) => return Err(alone(name, "B")),
                (None, Some((name, _))) => return Err(alone(name, "A")),
                (None, None) => {
                    let name = self.path.clone();
                    return Err(Problem::Missing { what: "factors of", name });
                }
            };
        let ([a_rank, inputs], [outputs, b_rank]) = (shape(a_name, a)?, shape(b_name, b)?);
        let ([a_rank, inputs], [outputs, b_rank]) = match layout {
            Layout::Same => ([a_rank, inputs], [outputs, b_rank]),
            Layout::Transposed => ([inputs, a_rank], [b_rank, outputs]),
        };
        for (name, found) in [(a_name, a_rank), (b_name, b_rank)] {
            if found != rank {
                return Err(Problem::of_tensor(
                    name,
                    "rank",
                    format!("{rank}, as {by} says"),
                    found,
                ));
            }
        }
        let read = |name: &str, array: &Array| {
            let values = read_reals::<T>(name, array.dtype, container.bytes(array))?;
            Ok::<_, Problem>(match layout {
                Layout::Same => values,
                Layout::Transposed => transposed(&values, array.shape[0], array.shape[1]),
            })
        };
        let factors = [read(a_name, a)?, read(b_name, b)?];
        Ok(Adapter::new(module, [outputs, inputs], rank, factors, scaling)?)
    }
}

/// The tensor of a name; it is in the container that the name is from.
fn array<'a, F>(
    name: &'a Option<String>,
    container: &'a Container<F>,
) -> Option<(&'a str, &'a Array)> {
    let name = name.as_deref()?;
    Some((name, container.arrays.get(name)?))
}

fn alone(name: &str, other: &str) -> Problem {
    Problem::of_tensor(name, "partner", format!("the {other} of the same module"), "none")
}

fn shape(name: &str, array: &Array) -> Result<[usize; 2], Problem> {
    <[usize; 2]>::try_from(&array.shape[..]).map_err(|_| {
        let found = format!("{:?}", array.shape);
        Problem::of_tensor(name, "shape", "rows and columns of one matrix", found)
    })
}

/// A factor as an array to write, in numbers of `dtype`.
pub(super) fn part<'a, T: Real>(
    name: String,
    [rows, columns]: [usize; 2],
    values: &'a [T],
    layout: Layout,
    dtype: Dtype,
) -> Part<'a> {
    let (shape, values) = match layout {
        Layout::Same => ([rows, columns], Cow::Borrowed(values)),
        Layout::Transposed => ([columns, rows], Cow::Owned(transposed(values, rows, columns))),
    };
    let bytes = move || {
        Cow::Owned(if dtype == Dtype::F64 {
            values.iter().flat_map(|value| value.to_f64().to_le_bytes()).collect()
        } else {
            values.iter().flat_map(|value| value.to_f32().to_le_bytes()).collect()
        })
    };
    Part { name, dtype, shape: shape.to_vec(), bytes: Box::new(bytes) }
}

/// A matrix the other way round.
fn transposed<T: Real>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    let column = |column| values.iter().copied().skip(column).step_by(columns).take(rows);
    (0..columns).flat_map(column).collect()
}
