//! Any part of a model with its parameters frozen, and adapters beside some of its projections.

use nn::{Compute, Dropout, Gradients, Module, Parameters, Projection, Tape, ValuesMut};

use super::{Targets, attach};
use crate::gradcheck::case::Outcome;
use crate::gradcheck::cases::part::{Built, Part};

#[derive(Clone)]
pub(super) struct Adapted<P> {
    pub(super) part: P,
    pub(super) targets: Targets,
    pub(super) dropout: f64,
}

impl<P: Part> Adapted<P> {
    pub(super) fn new(part: P, targets: Targets) -> Self {
        Self { part, targets, dropout: 0.0 }
    }

    /// The values of what is frozen, which `f32` can hold.
    fn frozen(&self, array: &str, shape: &[usize]) -> Vec<f64> {
        let values = self.part.values(&format!("frozen/{array}"), array, shape);
        values.into_iter().map(|value| f64::from(value as f32)).collect()
    }
}

impl<P: Part> Part for Adapted<P> {
    fn input(&self) -> Option<[usize; 2]> {
        self.part.input()
    }

    fn sums(&self) -> Vec<usize> {
        // Twice the way of a projection: once through it, once through its adapter.
        let own = self.part.sums();
        let ranks = self.targets.iter().map(|(_, rank)| *rank);
        own.iter().copied().chain(own.iter().copied()).chain(ranks).collect()
    }

    fn values(&self, seed: &str, array: &str, shape: &[usize]) -> Vec<f64> {
        self.part.values(seed, array, shape)
    }

    fn is_zero(&self, array: &str) -> bool {
        self.part.is_zero(array)
    }

    /// Those of the part, whose first arrays are frozen.
    fn selections(&self, arrays: &[Vec<f64>]) -> Outcome<Vec<i64>> {
        let mut parameters = Parameters::new();
        self.part.build::<f64>(&mut parameters)?;
        let of = |id| self.frozen(parameters.name(id), parameters.shape(id));
        let frozen = parameters.ids().map(of);
        let own: Vec<_> = arrays.iter().take(1).cloned().chain(frozen).collect();
        self.part.selections(&own)
    }

    fn build<T: Compute>(&self, parameters: &mut Parameters) -> nn::Result<Box<dyn Built<T>>> {
        parameters.freeze();
        let mut built = self.part.build::<T>(parameters)?;
        parameters.thaw();
        built.module().visit_mut(&mut |id, own| {
            if let ValuesMut::Real(own) = own {
                let values = self.frozen(parameters.name(id), parameters.shape(id));
                own.iter_mut().zip(values).for_each(|(own, value)| *own = T::from_f64(value));
            }
        });
        let (mut attached, mut result) = (0, Ok(()));
        built.each_projection_mut(&mut |place| {
            let target = self.targets.iter().find(|(name, _)| *name == place.name());
            if let (true, Some(&(_, rank))) = (result.is_ok(), target) {
                result = attach(place, rank, self.dropout, parameters);
                attached += 1;
            }
        });
        result?;
        nn::check_size("adapted part", "projections with adapters", self.targets.len(), attached)?;
        Ok(Box::new(Dropping(built)))
    }
}

/// A part on a tape that says which inputs are dropped.
pub(super) struct Dropping<T>(pub(super) Box<dyn Built<T>>);

impl<T: Compute> Built<T> for Dropping<T> {
    fn module(&mut self) -> &mut dyn Module<T> {
        self.0.module()
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        self.0.each_projection_mut(visit);
    }

    fn forward(&self, x: &[T], tape: &mut Tape<T>) -> nn::Result<Vec<T>> {
        tape.set_dropout(Some(Dropout { seed: 3, step: 4, first_row: 5 }));
        self.0.forward(x, tape)
    }

    fn backward(
        &self,
        dy: &[T],
        dx: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> nn::Result<()> {
        self.0.backward(dy, dx, tape, gradients)
    }
}
