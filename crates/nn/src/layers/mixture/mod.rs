//! [`BitMoe`]: a router, and experts of which each row takes a few.

mod dispatch;
mod ternary;
#[cfg(test)]
mod tests;

use std::mem::{size_of, size_of_val};

use ternary_core::mutant;

use self::dispatch::Dispatch;
use super::{Context, FeedForward, Layer, Sequences, check_rows};
use crate::compute::Compute;
use crate::error::{Error, Result, check_size};
use crate::gradients::Gradients;
use crate::input::Input;
use crate::module::{Memory, Module};
use crate::ops::vector::{add_scaled, inner};
use crate::ops::{
    Routes, balance_loss, balance_loss_backward, routed_shares, top_k, top_k_backward, z_loss,
    z_loss_backward,
};
use crate::projection::Projection;
use crate::tape::{Passing, Tape};

pub use ternary::{ExpertWeights, TernaryExpert, TernaryMoe};

/// How a [`BitMoe`] routes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixtureOptions {
    /// Experts that each row takes.
    pub used: usize,
    /// Coefficient of the [`balance_loss`]; 0 for none.
    pub balance: f64,
    /// Coefficient of the [`z_loss`]; 0 for none.
    pub z: f64,
}

/// An expert of all rows, and the projection to one number that gates it.
#[derive(Debug)]
pub struct SharedExpert<T> {
    /// The expert.
    pub expert: FeedForward<T>,
    /// From the width to the one score of a row, whose sigmoid weighs the expert.
    pub gate: Box<dyn Projection<T>>,
}

/// A mixture of experts (Mixtral, arXiv 2401.04088; the gated shared expert as in Qwen's):
///
/// ```text
/// w = top_k(router(x)),    y = Σ wₑ · expertₑ(x) + σ(gate(x)) · shared(x)      e chosen, ascending
/// ```
///
/// The experts' projections may be of any kind; router and gate are to be [`Dense`](crate::Dense), whose numbers
/// are not quantised. Ties and scores that are not finite are [`top_k`]'s. No row is dropped, and a row's result
/// does not depend on the others. A recording forward adds balance · [`balance_loss`] + z · [`z_loss`] to the
/// tape's [auxiliary loss](Tape::auxiliary_loss), and the backward its gradient. An expert without rows leaves
/// its gradients untouched ([`Gradients::is_touched`]).
#[derive(Debug)]
pub struct BitMoe<T, E = FeedForward<T>> {
    name: String,
    router: Box<dyn Projection<T>>,
    experts: Vec<E>,
    shared: Option<SharedExpert<T>>,
    options: MixtureOptions,
}

impl<T: Compute, E: Layer<T>> BitMoe<T, E> {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`Error::Shape`] for parts that do not fit each other, [`Error::Setting`] for options out of range.
    pub fn new(
        name: &str,
        router: Box<dyn Projection<T>>,
        experts: Vec<E>,
        shared: Option<SharedExpert<T>>,
        options: MixtureOptions,
    ) -> Result<Self> {
        check_size(name, "outputs of the router", experts.len(), router.outputs())?;
        for expert in &experts {
            check_size(name, "width of an expert", router.inputs(), expert.width())?;
        }
        if let Some(SharedExpert { expert, gate }) = &shared {
            check_size(name, "width of the shared expert", router.inputs(), expert.width())?;
            check_size(name, "inputs of the shared expert's gate", router.inputs(), gate.inputs())?;
            check_size(name, "outputs of the shared expert's gate", 1, gate.outputs())?;
        }
        let wrong = |what, expected, found: String| {
            Err(Error::Setting { layer: name.to_owned(), what, expected, found })
        };
        if options.used == 0 || options.used > experts.len() {
            let found = format!("{} of {}", options.used, experts.len());
            return wrong("experts of a row", "1 to the number of experts", found);
        }
        for coefficient in [options.balance, options.z] {
            if !(coefficient >= 0.0 && coefficient.is_finite()) {
                let found = coefficient.to_string();
                return wrong("coefficient of a router loss", "0 or more", found);
            }
        }
        Ok(Self { name: name.to_owned(), router, experts, shared, options })
    }

    /// The experts that are chosen among.
    pub fn experts(&self) -> &[E] {
        &self.experts
    }

    /// An error of the router's scores, with the layer in the place of the op.
    fn named(&self, error: Error) -> Error {
        match error {
            Error::Setting { what, expected, found, .. } => {
                Error::Setting { layer: self.name.clone(), what, expected, found }
            }
            other => other,
        }
    }

    /// Adds the auxiliary losses of a recording forward, and saves what their gradients need.
    fn add_losses(
        &self,
        scores: Vec<T>,
        probabilities: Vec<T>,
        chosen: &[u32],
        tape: &mut Tape<T>,
    ) -> Result<()> {
        let MixtureOptions { balance, z, .. } = self.options;
        if balance > 0.0 && tape.is_recording() {
            let mut shares = tape.take(self.experts.len());
            routed_shares(chosen, &mut shares)?;
            tape.add_auxiliary_loss(balance * balance_loss(&probabilities, &shares)?);
            tape.save(shares);
            tape.save(probabilities);
        } else {
            tape.give(probabilities);
        }
        if z > 0.0 && tape.is_recording() {
            tape.add_auxiliary_loss(z * z_loss(&scores, self.experts.len())?);
            tape.save(scores);
        } else {
            tape.give(scores);
        }
        Ok(())
    }

    /// Takes off what [`Self::add_losses`] saved, and adds the gradients.
    fn losses_backward(&self, d_scores: &mut [T], tape: &mut Tape<T>) -> Result<()> {
        let MixtureOptions { balance, z, .. } = self.options;
        let upstream = mutant!("BitMoe/auxiliary weight left out", tape.auxiliary_weight(), 1.0);
        if z > 0.0 {
            let scores = tape.restore(&self.name)?;
            let weight = mutant!("BitMoe/z gradient lost", T::from_f64(z * upstream), T::ZERO);
            z_loss_backward(&scores, self.experts.len(), weight, d_scores)?;
            tape.give(scores);
        }
        if balance > 0.0 {
            let probabilities = tape.restore(&self.name)?;
            let shares = tape.restore(&self.name)?;
            let weight = T::from_f64(balance * upstream);
            let weight = mutant!("BitMoe/balance gradient lost", weight, T::ZERO);
            balance_loss_backward(&probabilities, &shares, weight, d_scores)?;
            tape.give(probabilities);
            tape.give(shares);
        }
        Ok(())
    }
}

impl<T: Compute, E: Layer<T>> Module<T> for BitMoe<T, E> {
    fn each_part(&self, visit: &mut dyn FnMut(&dyn Module<T>)) {
        visit(&*self.router);
        self.experts.iter().for_each(|expert| visit(expert));
        if let Some(SharedExpert { expert, gate }) = &self.shared {
            visit(expert);
            visit(&**gate);
        }
    }

    fn each_part_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Module<T>)) {
        visit(&mut *self.router);
        self.experts.iter_mut().for_each(|expert| visit(expert));
        if let Some(SharedExpert { expert, gate }) = &mut self.shared {
            visit(expert);
            visit(&mut **gate);
        }
    }

    fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        self.each_part(&mut |part| memory += part.memory());
        let gate = self.shared.as_ref().map_or(0, |shared| size_of_val(&*shared.gate));
        let experts = self.experts.capacity() * size_of::<E>();
        memory.other += self.name.capacity() + size_of_val(&*self.router) + gate + experts;
        memory
    }
}

impl<T: Compute, E: Layer<T>> Layer<T> for BitMoe<T, E> {
    fn width(&self) -> usize {
        self.router.inputs()
    }

    fn each_projection(&self, visit: &mut dyn FnMut(&'static str, &dyn Projection<T>)) {
        visit("router", &*self.router);
        for expert in &self.experts {
            expert.each_projection(&mut |_, projection| visit("expert", projection));
        }
        if let Some(SharedExpert { expert, gate }) = &self.shared {
            expert.each_projection(&mut |_, projection| visit("shared expert", projection));
            visit("router", &**gate);
        }
    }

    fn each_projection_mut(&mut self, visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {
        visit(&mut self.router);
        self.experts.iter_mut().for_each(|expert| expert.each_projection_mut(visit));
        if let Some(SharedExpert { expert, gate }) = &mut self.shared {
            expert.each_projection_mut(visit);
            visit(gate);
        }
    }

    fn forward(&self, x: Vec<T>, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>> {
        check_rows(&self.name, "inputs", self.width(), context, &x)?;
        let (rows, width, k) = (context.sequences.rows(), self.width(), self.options.used);
        let mut input = Input::new(&self.name, x, width)?;
        let mut scores = tape.take(rows * self.experts.len());
        self.router.forward(&mut input, &mut scores, tape)?;
        tape.tell(|| self.router.name().to_owned(), Passing::Forward, &scores);
        let mut probabilities = tape.take(scores.len());
        let (mut weights, mut chosen) = (tape.take(rows * k), tape.take_tokens(rows * k));
        let routes = Routes {
            probabilities: &mut probabilities,
            chosen: &mut chosen,
            weights: &mut weights,
        };
        top_k(&scores, self.experts.len(), k, routes).map_err(|error| self.named(error))?;
        let dispatch = Dispatch::new(&chosen, self.experts.len(), tape);

        // −0 is what a sum can begin with and still be its first term, bit for bit.
        let mut y = tape.take(rows * width);
        y.fill(-T::ZERO);
        for (index, expert) in self.experts.iter().enumerate() {
            let slots = dispatch.slots(index);
            if slots.is_empty() {
                continue;
            }
            let mut gathered = tape.take(slots.len() * width);
            let x = input.values(&self.name)?;
            for (to, &slot) in gathered.chunks_mut(width).zip(slots) {
                let row = slot as usize / k;
                to.copy_from_slice(&x[row * width..(row + 1) * width]);
            }
            tape.number_rows(slots.iter().map(|&slot| slot / k as u32));
            let output = expert.forward(gathered, alone(slots.len()), tape)?;
            tape.number_rows_in_order();
            for (from, &slot) in output.chunks(width).zip(slots) {
                let row = slot as usize / k;
                add_scaled(&mut y[row * width..(row + 1) * width], weights[slot as usize], from);
            }
            tape.save(output);
        }
        if let Some(SharedExpert { expert, gate }) = &self.shared {
            let mut copy = tape.take(rows * width);
            copy.copy_from_slice(input.values(&self.name)?);
            let output = expert.forward(copy, context, tape)?;
            let mut gates = tape.take(rows);
            gate.forward(&mut input, &mut gates, tape)?;
            gates.iter_mut().for_each(|gate| *gate = T::ONE / (T::ONE + (-*gate).exp()));
            for ((y, from), &gate) in y.chunks_mut(width).zip(output.chunks(width)).zip(&gates) {
                add_scaled(y, gate, from);
            }
            tape.save(output);
            tape.save(gates);
        }
        self.add_losses(scores, probabilities, &chosen, tape)?;
        tape.save(weights);
        tape.save_tokens(&chosen);
        tape.give_tokens(chosen);
        dispatch.save(tape);
        tape.save_input(input);
        Ok(y)
    }

    fn backward(
        &self,
        dy: Vec<T>,
        context: Context<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>> {
        check_rows(&self.name, "gradients of outputs", self.width(), context, &dy)?;
        let (rows, width, k) = (context.sequences.rows(), self.width(), self.options.used);
        let input = tape.restore_input(&self.name)?;
        let dispatch = Dispatch::restore(&self.name, tape)?;
        let chosen = tape.restore_tokens(&self.name)?;
        let weights = tape.restore(&self.name)?;
        let mut d_scores = tape.zeros(rows * self.experts.len());
        self.losses_backward(&mut d_scores, tape)?;
        let mut dx = tape.zeros(rows * width);

        if let Some(SharedExpert { expert, gate }) = &self.shared {
            let gates = tape.restore(&self.name)?;
            let output = tape.restore(&self.name)?;
            let mut d_output = tape.zeros(rows * width);
            let mut d_gates = tape.take(rows);
            for (row, (d_gate, &gate)) in d_gates.iter_mut().zip(&gates).enumerate() {
                let columns = row * width..(row + 1) * width;
                let (dy, output) = (&dy[columns.clone()], &output[columns.clone()]);
                let slope = gate * (T::ONE - gate);
                *d_gate = inner(dy, output) * mutant!("BitMoe/slope of the gate", slope, gate);
                let gate = mutant!("BitMoe/gate left out of the shared expert", gate, T::ONE);
                add_scaled(&mut d_output[columns], gate, dy);
            }
            let gate_dx = mutant!("BitMoe/gate left out of dx", Some(&mut dx[..]), None);
            gate.backward(&input, &d_gates, gate_dx, tape, gradients)?;
            let d_shared = expert.backward(d_output, context, tape, gradients)?;
            mutant!(
                "BitMoe/shared expert left out of dx",
                add_scaled(&mut dx, T::ONE, &d_shared),
                ()
            );
            [gates, output, d_gates, d_shared].into_iter().for_each(|buffer| tape.give(buffer));
        }
        // Every slot belongs to an expert, so all of it is written.
        let mut d_weights = tape.take(rows * k);
        for (index, expert) in self.experts.iter().enumerate().rev() {
            let slots = dispatch.slots(index);
            if slots.is_empty() {
                continue;
            }
            let output = tape.restore(&self.name)?;
            let mut d_output = tape.zeros(slots.len() * width);
            let pairs = output.chunks(width).zip(d_output.chunks_mut(width));
            for ((output, d_output), &slot) in pairs.zip(slots) {
                let row = slot as usize / k;
                let dy = &dy[row * width..(row + 1) * width];
                d_weights[slot as usize] = inner(dy, output);
                let weight = weights[slot as usize];
                add_scaled(d_output, mutant!("BitMoe/weight left out", weight, T::ONE), dy);
            }
            let d_rows = expert.backward(d_output, alone(slots.len()), tape, gradients)?;
            for (from, &slot) in d_rows.chunks(width).zip(slots) {
                let row = slot as usize / k;
                let row = mutant!("BitMoe/scattered to the next row", row, (row + 1) % rows);
                add_scaled(&mut dx[row * width..(row + 1) * width], T::ONE, from);
            }
            tape.give(output);
            tape.give(d_rows);
        }
        mutant!("BitMoe/router gradient lost", { d_weights.fill(T::ZERO) });
        let shape = [self.experts.len(), k];
        top_k_backward(&chosen, &weights, &d_weights, shape, &mut d_scores)?;
        self.router.backward(&input, &d_scores, Some(&mut dx), tape, gradients)?;
        tape.recycle(input);
        dispatch.recycle(tape);
        tape.give_tokens(chosen);
        [weights, d_weights, d_scores, dy].into_iter().for_each(|buffer| tape.give(buffer));
        Ok(dx)
    }
}

/// Rows that belong to no sequence.
fn alone(rows: usize) -> Context<'static> {
    Sequences { count: rows, length: 1 }.into()
}
