//! [`Source`]: the tensors of a directory as the weights of a decoder.

use std::collections::BTreeSet;
use std::path::PathBuf;

use models::{Numbers, Role, WeightSource};
use nn::{Compute, Dense, Lookup, Parameters, Projection};

use super::config::{Biases, Config};
use super::names::{ExpertMatrix, HEAD, Prefix, is_skipped};
use super::shards::{Shards, View};
use super::{Change, Weights};
use crate::arrays::read_reals;
use crate::decoder::{BIAS, WEIGHT, with_bias};
use crate::error::{Error, Problem};

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
    change: &'a mut Change<'a, T>,
    /// Names in files of what was asked for.
    taken: BTreeSet<String>,
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

impl From<nn::Error> for Fault {
    fn from(error: nn::Error) -> Self {
        models::Error::from(error).into()
    }
}

impl<'a, T: Compute> Source<'a, T> {
    pub(super) fn new(
        shards: &'a Shards,
        config: &Config,
        weights: Weights,
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
        if is_same {
            return Ok(());
        }
        let expected = "those of the embedding, as tie_word_embeddings says";
        Err(Fault::of(head, Problem::of_tensor(HEAD, "numbers", expected, "others")))
    }

    /// The numbers of a tensor, by its name here.
    fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>, Fault> {
        let in_files = self.prefix.in_files(name);
        let mut values = match self.shards.get(&in_files) {
            Some(view) => {
                check_shape(&in_files, shape, view)?;
                let values = numbers(&in_files, view, view.bytes)?;
                self.taken.insert(in_files);
                values
            }
            None => self.read_expert(&in_files, shape)?,
        };
        (self.change)(name, shape, &mut values);
        Ok(values)
    }

    /// The numbers of a matrix of an expert out of a tensor of all experts.
    fn read_expert(&mut self, in_files: &str, shape: &[usize]) -> Result<Vec<T>, Fault> {
        let missing = || Problem::Missing { what: "tensor", name: in_files.to_owned() };
        let matrix = ExpertMatrix::of(in_files).ok_or_else(missing)?;
        let fused = matrix.fused();
        let view = self.shards.get(&fused).ok_or_else(missing)?;
        let (matrices, place) = matrix.place();
        let &[rows, columns] = shape else { return Err(missing().into()) };
        check_shape(&fused, &[self.experts, matrices * rows, columns], view)?;
        let bytes = rows * columns * view.array.dtype.bytes();
        let start = (matrix.index * matrices + place) * bytes;
        let slice = view.bytes.get(start..start + bytes).ok_or_else(missing)?;
        let values = numbers(&fused, view, slice)?;
        self.taken.insert(fused);
        Ok(values)
    }

    /// What is declared next can learn, or not.
    fn freeze(&self, parameters: &mut Parameters) {
        match self.weights {
            Weights::Frozen => parameters.freeze(),
            Weights::Trained => parameters.thaw(),
        }
    }

    fn dense(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Dense<T>, Fault> {
        self.freeze(parameters);
        let values = self.read(&format!("{name}{WEIGHT}"), &shape)?;
        Ok(Dense::from_weight(name, shape[1], values, parameters)?)
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

fn numbers<T: Compute>(name: &str, view: View<'_>, bytes: &[u8]) -> Result<Vec<T>, Fault> {
    read_reals(name, view.array.dtype, bytes).map_err(|problem| Fault::of(view, problem))
}

impl<T: Compute> WeightSource<T> for Source<'_, T> {
    type Error = Fault;

    fn projection(
        &mut self,
        name: &str,
        shape: [usize; 2],
        _: Role,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Projection<T>>, Fault> {
        let layer = self.dense(name, shape, parameters)?;
        Ok(Box::new(match self.bias(name, shape[0])? {
            Some(bias) => with_bias(layer, &bias, parameters)?,
            None => layer,
        }))
    }

    fn table(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Lookup<T>>, Fault> {
        Ok(Box::new(self.dense(name, shape, parameters)?))
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
