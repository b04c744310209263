//! [`Source`]: the tensors of a directory as the weights of a decoder.

use std::collections::BTreeSet;
use std::path::PathBuf;

use models::{Base, Matrix, Numbers, Role, WeightSource};
use nn::{Activations, Compute, Lookup, Parameters, Projection};

use super::config::{Biases, Config};
use super::names::{ExpertMatrix, HEAD, Prefix, is_skipped};
use super::shards::{Shards, View};
use super::{Change, Weights};
use crate::arrays::read_reals;
use crate::decoder::{BIAS, WEIGHT};
use crate::error::{Error, Problem};
use crate::frozen::{self, Numbers as FileNumbers};

/// Names of tensors that a message about left ones holds.
const NAMED: usize = 5;

/// The tensors of a directory, each converted when a decoder asks for it.
pub(super) struct Source<'a, T> {
    shards: &'a Shards,
    prefix: Prefix,
    biases: Biases,
    experts: usize,
    is_tied: bool,
    weights: Weights,
    base: Base,
    change: &'a mut Change<'a, T>,
    /// Names in files of what was asked for.
    taken: BTreeSet<String>,
}

/// Where the numbers of a tensor are.
struct Found<'a> {
    /// Its name in the files.
    name: String,
    view: View<'a>,
    /// Its part of the view.
    bytes: &'a [u8],
}

/// What is wrong, and in which file if not in that which lists the tensors.
#[derive(Debug)]
pub(super) struct Fault {
    path: Option<PathBuf>,
    problem: Problem,
}

impl Fault {
    fn of(view: View<'_>, problem: Problem) -> Self {
        Self { path: Some(view.path.to_owned()), problem }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self { path: None, problem }
    }
}

impl From<models::Error> for Fault {
    fn from(error: models::Error) -> Self {
        Problem::from(error).into()
    }
}

impl<'a, T: Compute> Source<'a, T> {
    pub(super) fn new(
        shards: &'a Shards,
        config: &Config,
        (weights, base): (Weights, Base),
        change: &'a mut Change<'a, T>,
    ) -> Result<Self, Error> {
        let prefix = Prefix::of(|name| shards.get(name).is_some());
        Ok(Self {
            shards,
            prefix: prefix.map_err(|problem| problem.in_file(shards.path()))?,
            biases: config.biases,
            experts: config.decoder.mixture.as_ref().map_or(0, |mixture| mixture.experts),
            is_tied: config.decoder.tied_head,
            weights,
            base,
            change,
            taken: BTreeSet::new(),
        })
    }

    /// Says in which file it is.
    pub(super) fn locate(&self, Fault { path, problem }: Fault) -> Error {
        problem.in_file(path.as_deref().unwrap_or(self.shards.path()))
    }

    /// Checks that every tensor was asked for, but for those that are of no use.
    pub(super) fn finish(self) -> Result<(), Error> {
        let shards = self.shards;
        if self.is_tied {
            self.check_tied_head().map_err(|fault| self.locate(fault))?;
        }
        let is_left = |name: &&str| {
            !(self.taken.contains(*name) || is_skipped(name) || (self.is_tied && *name == HEAD))
        };
        let left: Vec<_> = shards.names().filter(is_left).collect();
        match left[..] {
            [] => Ok(()),
            [name] => {
                let problem = Problem::LeftOver { what: "tensor", name: name.to_owned() };
                Err(self.locate(problem.into()))
            }
            _ => {
                let mut found = left.iter().take(NAMED).map(|name| format!("{name:?}"));
                let mut found = found.by_ref().collect::<Vec<_>>().join(", ");
                if left.len() > NAMED {
                    found.push_str(&format!(" and {} more", left.len() - NAMED));
                }
                let expected = "none that belong to nothing";
                Err(self.locate(Problem::mismatch("tensors", expected, found).into()))
            }
        }
    }

    /// A head that is tied to the embedding may be in the file as well, the same in all bits.
    fn check_tied_head(&self) -> Result<(), Fault> {
        let table = self.shards.get(&self.prefix.in_files("model.embed_tokens.weight"));
        let (Some(head), Some(table)) = (self.shards.get(HEAD), table) else { return Ok(()) };
        let is_same = head.array.dtype == table.array.dtype
            && head.array.shape == table.array.shape
            && head.bytes == table.bytes;
        head.release();
        table.release();
        if is_same {
            return Ok(());
        }
        let expected = "those of the embedding, as tie_word_embeddings says";
        Err(Fault::of(head, Problem::of_tensor(HEAD, "numbers", expected, "others")))
    }

    /// The numbers of a tensor, by its name here.
    fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>, Fault> {
        let found = self.find(name, shape)?;
        let values = read_reals(&found.name, found.view.array.dtype, found.bytes);
        found.view.release();
        let mut values = values.map_err(|problem| Fault::of(found.view, problem))?;
        (self.change)(name, shape, &mut values);
        Ok(values)
    }

    /// Where the numbers of a tensor are, by its name here: from now on it was asked for.
    fn find(&mut self, name: &str, shape: &[usize]) -> Result<Found<'a>, Fault> {
        let (shards, in_files) = (self.shards, self.prefix.in_files(name));
        let found = match shards.get(&in_files) {
            Some(view) => {
                check_shape(&in_files, shape, view)?;
                Found { name: in_files, view, bytes: view.bytes }
            }
            None => self.find_expert(&in_files, shape)?,
        };
        self.taken.insert(found.name.clone());
        Ok(found)
    }

    /// The same of a matrix of an expert in a tensor of all experts.
    fn find_expert(&self, in_files: &str, shape: &[usize]) -> Result<Found<'a>, Fault> {
        let missing = || Problem::Missing { what: "tensor", name: in_files.to_owned() };
        let matrix = ExpertMatrix::of(in_files).ok_or_else(missing)?;
        let (shards, name) = (self.shards, matrix.fused());
        let view = shards.get(&name).ok_or_else(missing)?;
        let (matrices, place) = matrix.place();
        let &[rows, columns] = shape else { return Err(missing().into()) };
        check_shape(&name, &[self.experts, matrices * rows, columns], view)?;
        let bytes = rows * columns * view.array.dtype.bytes();
        let start = (matrix.index * matrices + place) * bytes;
        let bytes = view.bytes.get(start..start + bytes).ok_or_else(missing)?;
        Ok(Found { name, view, bytes })
    }

    /// What is declared next can learn, or not.
    fn freeze(&self, parameters: &mut Parameters) {
        match self.weights {
            Weights::Frozen => parameters.freeze(),
            Weights::Trained => parameters.thaw(),
        }
    }

    fn matrix(
        &mut self,
        name: &str,
        shape: [usize; 2],
        role: Role,
        parameters: &mut Parameters,
    ) -> Result<Matrix<T>, Fault> {
        self.freeze(parameters);
        let (weight, base) = (format!("{name}{WEIGHT}"), self.base.of(role));
        if base == Base::F32 {
            let values = self.read(&weight, &shape)?;
            return Ok(Matrix::dense(name, shape[1], values, parameters)?);
        }
        let Found { name: tensor, view, bytes } = self.find(&weight, &shape)?;
        let numbers = FileNumbers { tensor: &tensor, dtype: view.array.dtype, bytes };
        let activations = Activations::default();
        let matrix = frozen::read(name, shape, base, activations, numbers, parameters);
        view.release();
        matrix.map_err(|problem| Fault::of(view, problem))
    }

    /// The bias of a projection, which is there exactly where the configuration says so.
    fn bias(&mut self, name: &str, outputs: usize) -> Result<Option<Vec<T>>, Fault> {
        let bias = format!("{name}{BIAS}");
        if self.biases.has(name) {
            return self.read(&bias, &[outputs]).map(Some);
        }
        let in_files = self.prefix.in_files(&bias);
        match self.shards.get(&in_files) {
            None => Ok(None),
            Some(view) => {
                let found = format!("{:?}", view.array.shape);
                let expected = "none by the configuration";
                Err(Fault::of(view, Problem::of_tensor(&in_files, "bias", expected, found)))
            }
        }
    }
}

fn check_shape(name: &str, expected: &[usize], view: View<'_>) -> Result<(), Fault> {
    let found = &view.array.shape;
    if found == expected {
        return Ok(());
    }
    let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
    Err(Fault::of(view, Problem::of_tensor(name, "shape", expected, found)))
}

impl<T: Compute> WeightSource<T> for Source<'_, T> {
    type Error = Fault;

    fn projection(
        &mut self,
        name: &str,
        shape: [usize; 2],
        role: Role,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Projection<T>>, Fault> {
        let matrix = self.matrix(name, shape, role, parameters)?;
        Ok(match self.bias(name, shape[0])? {
            Some(bias) => matrix.with_bias(&bias, parameters)?.projection(),
            None => matrix.projection(),
        })
    }

    fn table(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Lookup<T>>, Fault> {
        Ok(self.matrix(name, shape, Role::Head, parameters)?.table())
    }

    fn numbers(
        &mut self,
        name: &str,
        shape: &[usize],
        _: Numbers,
        parameters: &mut Parameters,
    ) -> Result<Vec<T>, Fault> {
        self.freeze(parameters);
        self.read(name, shape)
    }
}
