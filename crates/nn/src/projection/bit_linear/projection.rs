//! Forward and backward of [`BitLinear`].

use ternary_core::kernels::{DenseOperand, Store};
use ternary_core::{Levels, mutant};

use super::{BitLinear, ShadowPrecision};
use crate::compute::Compute;
use crate::error::{InLayer, Result};
use crate::gradients::Gradients;
use crate::input::Input;
use crate::module::{Memory, Module, Tensor, Update, Values, ValuesMut};
use crate::ops::linear;
use crate::parameters::ParameterId;
use crate::projection::bias::add_to_rows;
use crate::projection::learned::Learned;
use crate::projection::ternary_product::TernaryProduct;
use crate::projection::{
    Activations, Lookup, Projection, check_backward, check_forward, decode_row, look_up_rows,
};
use crate::tape::Tape;

/// Weights whose gradient an estimator sees at a time.
const CHUNK: usize = 512;

impl<T: Compute, P: ShadowPrecision> Module<T> for BitLinear<P> {
    fn visit(&self, visit: &mut dyn FnMut(Tensor<'_, T>)) {
        let latent = self.shadow.as_deref().map(P::weights);
        let activations = self.options.activations;
        let added = self.added(1.0);
        let (matrix, bias) = (&self.base, added.as_deref());
        let values = Values::Ternary { matrix, latent, activations, bias };
        let id = latent.map(|_| self.id);
        visit(Tensor { name: &self.weight_name, id, values });
        let learned = self.learned.iter().filter(|_| self.shadow.is_some());
        for parameter in learned.flat_map(Learned::parameters) {
            let values = Values::Training(&parameter.values);
            visit(Tensor { name: &parameter.name, id: Some(parameter.id), values });
        }
        if let Some(bias) = &self.bias {
            let values = Values::Training(&bias.values);
            visit(Tensor { name: &bias.name, id: Some(bias.id), values });
        }
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(ParameterId, ValuesMut<'_, T>)) {
        if let Some(shadow) = &mut self.shadow {
            visit(self.id, P::values_mut(shadow));
            for parameter in self.learned.iter_mut().flat_map(Learned::parameters_mut) {
                visit(parameter.id, ValuesMut::F32(&mut parameter.values));
            }
        }
        if let Some(bias) = &mut self.bias {
            visit(bias.id, ValuesMut::F32(&mut bias.values));
        }
    }

    fn visit_identities(&mut self, visit: &mut dyn FnMut(&mut ParameterId)) {
        visit(&mut self.id);
        let learned = self.learned.iter_mut().flat_map(Learned::parameters_mut);
        learned.for_each(|parameter| visit(&mut parameter.id));
        self.dead.iter_mut().for_each(|dead| visit(&mut dead.id));
        self.bias.iter_mut().for_each(|bias| visit(&mut bias.id));
    }

    fn finish_gradients(&self, gradients: &mut Gradients<T>) -> Result<()> {
        if let Some(shadow) = self.shadow.as_ref().filter(|_| gradients.is_touched(self.id)) {
            if let Some(learned) =
                mutant!("BitLinear/learned levels left out", &self.learned, &None)
            {
                let (levels, base) = (&self.levels, &self.base);
                let latent = self.latent();
                learned.add_gradients(self.id, latent, levels, base, self.lambda, gradients);
            }
            if let Some(dw) = gradients.get_mut(self.id) {
                self.pass(shadow, dw);
            }
            if let Some(dead) = mutant!("BitLinear/dead bias left out of dW", &self.dead, &None) {
                dead.finish(self.id, &self.base, self.lambda, gradients);
            }
        }
        Ok(())
    }

    fn requantize(&mut self, update: Update) -> Result<()> {
        self.decide_codes(update)
    }

    fn visit_levels(&self, visit: &mut dyn FnMut(&str, &[Levels])) {
        if self.shadow.is_some() {
            visit(&self.weight_name, &self.levels);
        }
    }

    fn visit_levels_mut(&mut self, visit: &mut dyn FnMut(&str, &mut [Levels])) {
        if self.shadow.is_some() {
            visit(&self.weight_name, &mut self.levels);
        }
    }

    fn decide_again(&mut self, update: Update) -> Result<()> {
        self.decide_by_levels(update)
    }

    fn drop_latent(&mut self) {
        self.drop_shadow();
    }

    fn memory(&self) -> Memory {
        self.allocated()
    }
}

impl<P: ShadowPrecision> BitLinear<P> {
    /// dW = (1 − λ)·dQ + λ·estimator(dQ), in place.
    fn pass<T: Compute>(&self, shadow: &[P], gradient: &mut [T]) {
        let lambda = T::from_f32(self.lambda);
        let each = gradient.len().checked_div(self.levels.len()).unwrap_or(0).max(1);
        let groups = shadow.chunks(each).zip(gradient.chunks_mut(each));
        let (mut latent, mut before) = ([T::ZERO; CHUNK], [T::ZERO; CHUNK]);
        for ((shadow, gradient), &levels) in groups.zip(&self.levels) {
            for (shadow, gradient) in shadow.chunks(CHUNK).zip(gradient.chunks_mut(CHUNK)) {
                let (latent, before) = (&mut latent[..shadow.len()], &mut before[..shadow.len()]);
                for (latent, &shadow) in latent.iter_mut().zip(shadow) {
                    *latent = T::from_f32(shadow.to_f32());
                }
                before.copy_from_slice(gradient);
                T::estimate(self.options.estimator(), latent, levels, self.progress, gradient);
                if self.lambda < 1.0 {
                    for (gradient, &before) in gradient.iter_mut().zip(&*before) {
                        *gradient = mutant!(
                            "BitLinear/ramp left out of dW",
                            before + lambda * (*gradient - before),
                            *gradient
                        );
                    }
                }
            }
        }
    }

    /// The soft weights as numbers of the layer.
    fn soft<T: Compute>(&self, tape: &mut Tape<T>) -> Vec<T> {
        let mut weights = tape.take(self.soft.len());
        for (weight, &soft) in weights.iter_mut().zip(&self.soft) {
            *weight = T::from_f32(soft);
        }
        weights
    }

    /// The product with Q(W).
    fn product(&self) -> TernaryProduct<'_> {
        let Self { name: layer, base: weight, options, .. } = self;
        TernaryProduct { layer, weight, activations: options.activations }
    }

    fn soft_forward<T: Compute>(
        &self,
        input: &mut Input<T>,
        y: &mut [T],
        tape: &mut Tape<T>,
    ) -> Result<()> {
        if self.options.activations == Activations::Int8 {
            input.quantized(&self.name, tape)?;
        }
        let (product, weights) = (self.product(), self.soft(tape));
        let shape = product.shape(input.rows());
        let result = product.see(input, tape, |seen| linear(shape, seen, &weights, y));
        tape.give(weights);
        result
    }

    /// dx += dy · (the weights of the forward); with [`Store::Set`] dx is overwritten.
    fn input_gradient<T: Compute>(
        &self,
        rows: usize,
        dy: &[T],
        dx: &mut [T],
        store: Store,
        tape: &mut Tape<T>,
    ) -> Result<()> {
        if self.is_hard() {
            let product = self.product();
            return mutant!(
                "BitLinear/dx without α",
                product.input_gradient(rows, dy, dx, store),
                {
                    let alpha = T::from_f32(self.base.scales().positive()[0]);
                    let dy: Vec<T> = dy.iter().map(|&dy| dy / alpha).collect();
                    product.input_gradient(rows, &dy, dx, store)
                }
            );
        }
        let weights = self.soft(tape);
        let mut product = || {
            let dy = DenseOperand::new(dy, rows, self.base.rows())?;
            let w = DenseOperand::new(&weights, self.base.rows(), self.base.cols())?;
            T::product(dy, w.transposed(), dx, store)
        };
        let result = product().in_layer(&self.name);
        tape.give(weights);
        result
    }
}

impl<T: Compute, P: ShadowPrecision> Projection<T> for BitLinear<P> {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.base.cols()
    }

    fn outputs(&self) -> usize {
        self.base.rows()
    }

    fn forward(&self, input: &mut Input<T>, y: &mut [T], tape: &mut Tape<T>) -> Result<()> {
        check_forward(self, input, y)?;
        if !self.is_hard() {
            self.soft_forward(input, y, tape)?;
        } else {
            self.product().forward(input, y, tape)?;
        }
        if self.shadow.is_some() && !self.id.is_frozen() {
            self.product().keep(input);
        }
        let lambda = mutant!("BitLinear/ramp left out of the dead bias", self.lambda, 1.0);
        self.added(lambda).map_or(Ok(()), |added| add_to_rows(&added, y, tape))
    }

    fn backward(
        &self,
        input: &Input<T>,
        dy: &[T],
        dx: Option<&mut [T]>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        check_backward(self, input, dy, dx.as_deref())?;
        if let Some(dx) = mutant!("BitLinear/dx left out", dx, None) {
            let store = mutant!("BitLinear/dx overwritten", Store::Add, Store::Set);
            self.input_gradient(input.rows(), dy, dx, store, tape)?;
        }
        self.parameter_gradients(input, dy, tape, gradients)
    }

    fn backward_setting(
        &self,
        input: &Input<T>,
        dy: &[T],
        dx: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        check_backward(self, input, dy, Some(dx))?;
        self.input_gradient(input.rows(), dy, dx, Store::Set, tape)?;
        self.parameter_gradients(input, dy, tape, gradients)
    }
}

impl<P: ShadowPrecision> BitLinear<P> {
    /// Adds the gradients of the weights and of what is added to the outputs.
    fn parameter_gradients<T: Compute>(
        &self,
        input: &Input<T>,
        dy: &[T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        if let Some(dw) = self.shadow.as_ref().and_then(|_| gradients.get_mut(self.id)) {
            self.product().weight_gradient(input, dy, dw, tape)?;
            if let Some(dead) = &self.dead {
                dead.backward(dy, gradients)?;
            }
        }
        match mutant!("BitLinear/bias gradient left out", &self.bias, &None) {
            Some(bias) => bias.backward(dy, gradients),
            None => Ok(()),
        }
    }
}

impl<T: Compute, P: ShadowPrecision> Lookup<T> for BitLinear<P> {
    fn look_up(&self, tokens: &[u32], y: &mut [T]) -> Result<()> {
        let cols = self.base.cols();
        look_up_rows(self, tokens, y, |row, y| {
            if self.is_hard() {
                return decode_row(&self.base, row, y);
            }
            for (y, &soft) in y.iter_mut().zip(&self.soft[row * cols..]) {
                *y = T::from_f32(soft);
            }
            Ok(())
        })
    }

    fn weight_gradient<'a>(&self, gradients: &'a mut Gradients<T>) -> Option<&'a mut [T]> {
        self.shadow.as_ref().and_then(|_| gradients.get_mut(self.id))
    }
}
