//! Projections that tell what passes through them: how a check sees inside a layer that shows only its output.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use nn::ternary_core::Real;
use nn::{Compute, Gradients, Input, Module, Projection, Result, Tape};

/// What has passed, by its name.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

impl Seen {
    fn put<T: Real>(&self, name: String, values: &[T]) {
        let values = values.iter().map(|value| value.to_f64()).collect();
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(name, values);
    }

    /// Takes what has passed.
    pub(super) fn take(&self) -> BTreeMap<String, Vec<f64>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// A projection that tells its outputs, `{name}`, their gradient, `grad.{name}`, and the same of its inputs,
/// `{name} in` and `grad.{name} in`.
#[derive(Debug)]
pub(super) struct Watched<T> {
    projection: Box<dyn Projection<T>>,
    seen: Seen,
}

impl<T: Compute> Watched<T> {
    pub(super) fn new(projection: Box<dyn Projection<T>>, seen: &Seen) -> Self {
        Self { projection, seen: seen.clone() }
    }
}

impl<T: Compute> Module<T> for Watched<T> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        visit(&*self.projection);
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        visit(&mut *self.projection);
    }
}

impl<T: Compute> Projection<T> for Watched<T> {
    fn name(&self) -> &str {
        self.projection.name()
    }

    fn inputs(&self) -> usize {
        self.projection.inputs()
    }

    fn outputs(&self) -> usize {
        self.projection.outputs()
    }

    fn forward(&self, input: &mut Input<T>, y: &mut [T], tape: &mut Tape<T>) -> Result<()> {
        self.projection.forward(input, y, tape)?;
        self.seen.put(self.name().to_owned(), y);
        self.seen.put(format!("{} in", self.name()), input.values(self.name())?);
        Ok(())
    }

    fn backward(
        &self,
        input: &Input<T>,
        dy: &[T],
        dx: Option<&mut [T]>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        self.seen.put(format!("grad.{}", self.name()), dy);
        let Some(dx) = dx else {
            return self.projection.backward(input, dy, None, tape, gradients);
        };
        let before: Vec<T> = dx.to_vec();
        self.projection.backward(input, dy, Some(&mut *dx), tape, gradients)?;
        let added: Vec<T> = dx.iter().zip(before).map(|(&after, before)| after - before).collect();
        self.seen.put(format!("grad.{} in", self.name()), &added);
        Ok(())
    }
}
