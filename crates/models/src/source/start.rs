//! Weights to train from that are given, and random ones where none are.

use nn::{Compute, Lookup, Parameters, Projection, ScaleSync, SharedLevels};

use super::{Initial, Role, WeightSource};
use crate::error::{Error, Result};
use crate::numbers::Numbers;

/// The values of a tensor by its name and shape, or nothing.
pub type Given<'a, E> = dyn FnMut(&str, &[usize]) -> Result<Option<Vec<f32>>, E> + 'a;

/// Weights to train from that are given by the names of their tensors, and random ones where none are.
pub struct Start<'a, E> {
    /// Where there are none, and how all are kept.
    pub initial: Initial,
    /// What is given.
    pub values: &'a mut Given<'a, E>,
}

impl<E: From<Error>> Start<'_, E> {
    /// What is given for a tensor, as many numbers as it has.
    fn given(&mut self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, E> {
        let given = (self.values)(name, shape)?;
        let (expected, found) = (shape.iter().product(), given.as_ref().map(Vec::len));
        match found.filter(|&found| found != expected) {
            Some(found) => {
                let (layer, what) = (name.to_owned(), "numbers that are given");
                Err(Error::from(nn::Error::Shape { layer, what, expected, found }).into())
            }
            None => Ok(given),
        }
    }

    fn weight(&mut self, name: &str, shape: [usize; 2]) -> Result<Option<Vec<f32>>, E> {
        self.given(&format!("{name}.weight"), &shape)
    }
}

impl<T: Compute, E: From<Error>> WeightSource<T> for Start<'_, E> {
    type Error = E;

    fn projection(
        &mut self,
        name: &str,
        shape: [usize; 2],
        role: Role,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Projection<T>>, E> {
        let given = self.weight(name, shape)?;
        let layer = self.initial.projection(name, shape, role, given, parameters);
        Ok(layer.map_err(Error::from)?)
    }

    fn table(
        &mut self,
        name: &str,
        shape: [usize; 2],
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Lookup<T>>, E> {
        let given = self.weight(name, shape)?;
        Ok(self.initial.table(name, shape, given, parameters).map_err(Error::from)?)
    }

    fn levels(
        &mut self,
        scope: ScaleSync,
        name: &str,
        parameters: &mut Parameters,
    ) -> Result<Option<SharedLevels>, E> {
        Ok(self.initial.levels(scope, name, parameters)?)
    }

    fn numbers(
        &mut self,
        name: &str,
        shape: &[usize],
        kind: Numbers,
        parameters: &mut Parameters,
    ) -> Result<Vec<T>, E> {
        let given = self.given(name, shape)?;
        Ok(given.map_or_else(
            || kind.initial(shape, self.initial.seed, parameters),
            |values| values.into_iter().map(T::from_f32).collect(),
        ))
    }
}

impl<E> std::fmt::Debug for Start<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start").field("initial", &self.initial).finish_non_exhaustive()
    }
}
