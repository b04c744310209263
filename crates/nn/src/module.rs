//! What every part of a model has in common: parameters, memory, and what happens once an update.

use half::bf16;
use ste::Progress;
use ternary_core::{Levels, Real, TernaryMatrix, Weights};

use crate::error::Result;
use crate::gradients::Gradients;
use crate::parameters::ParameterId;
use crate::projection::Activations;

/// A part of a model. A part made of parts only says which; the rest follows.
pub trait Module<T: Real> {
    /// Calls `visit` with each part this one is made of.
    fn each_part(&self, _visit: &mut dyn FnMut(&dyn Module<T>)) {}

    /// The same, to change them.
    fn each_part_mut(&mut self, _visit: &mut dyn FnMut(&mut dyn Module<T>)) {}

    /// Calls `visit` with every tensor, in a fixed order.
    fn visit(&self, visit: &mut dyn FnMut(Tensor<'_, T>)) {
        self.each_part(&mut |part| part.visit(visit));
    }

    /// Calls `visit` with the values of every parameter, for an optimiser to change.
    fn visit_mut(&mut self, visit: &mut dyn FnMut(ParameterId, ValuesMut<'_, T>)) {
        self.each_part_mut(&mut |part| part.visit_mut(visit));
    }

    /// Calls `visit` with every identity that it keeps, for whoever freezes a model
    /// ([`Parameters::frozen`](crate::Parameters::frozen)) to replace.
    fn visit_identities(&mut self, visit: &mut dyn FnMut(&mut ParameterId)) {
        self.each_part_mut(&mut |part| part.visit_identities(visit));
    }

    /// Once all gradients of an update are added up: turns dL/dq of quantised weights into gradients of
    /// the latent ones, by the estimator.
    ///
    /// # Errors
    /// The first error of a part.
    fn finish_gradients(&self, gradients: &mut Gradients<T>) -> Result<()> {
        finish_each(self, gradients)
    }

    /// Once the optimiser changed the latent weights: decides the codes anew.
    ///
    /// # Errors
    /// The first error of a part: latent weights that are not finite.
    fn requantize(&mut self, update: Update) -> Result<()> {
        requantize_each(self, update)
    }

    /// Calls `visit` with the name and the levels of whatever keeps levels from one requantisation to the
    /// next, in a fixed order: what decides the codes beside the parameters.
    fn visit_levels(&self, visit: &mut dyn FnMut(&str, &[Levels])) {
        self.each_part(&mut |part| part.visit_levels(visit));
    }

    /// The same, to change them.
    fn visit_levels_mut(&mut self, visit: &mut dyn FnMut(&str, &mut [Levels])) {
        self.each_part_mut(&mut |part| part.visit_levels_mut(visit));
    }

    /// Decides the codes by the levels as they are: none is fitted, and none is averaged. Once parameters
    /// and levels are again what they were after a requantisation, this gives the codes of that one.
    ///
    /// # Errors
    /// As [`Module::requantize`].
    fn decide_again(&mut self, update: Update) -> Result<()> {
        let mut result = Ok(());
        self.each_part_mut(&mut |part| {
            if result.is_ok() {
                result = part.decide_again(update);
            }
        });
        result
    }

    /// Forgets what only training needs: latent weights, and the parameters that learned levels come from.
    /// What computes with ternary weights then stays as it is, with the same bits.
    fn drop_latent(&mut self) {
        self.each_part_mut(&mut |part| part.drop_latent());
    }

    /// What its tensors hold on the heap.
    fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        self.each_part(&mut |part| memory += part.memory());
        memory
    }
}

/// [`Module::finish_gradients`] of each part.
pub(crate) fn finish_each<T: Real>(
    module: &(impl Module<T> + ?Sized),
    gradients: &mut Gradients<T>,
) -> Result<()> {
    let mut result = Ok(());
    module.each_part(&mut |part| {
        if result.is_ok() {
            result = part.finish_gradients(gradients);
        }
    });
    result
}

/// [`Module::requantize`] of each part.
pub(crate) fn requantize_each<T: Real>(
    module: &mut (impl Module<T> + ?Sized),
    update: Update,
) -> Result<()> {
    let mut result = Ok(());
    module.each_part_mut(&mut |part| {
        if result.is_ok() {
            result = part.requantize(update);
        }
    });
    result
}

/// A tensor of a model.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a, T> {
    /// Its name, such as `layers.0.mlp.up_proj.weight`.
    pub name: &'a str,
    /// Its identity, unless it is frozen.
    pub id: Option<ParameterId>,
    /// Its numbers.
    pub values: Values<'a, T>,
}

/// The numbers of a tensor.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a, T> {
    /// Numbers as they are.
    Real(&'a [T]),
    /// Numbers kept in `f32` in a model of any type.
    Single(&'a [f32]),
    /// Numbers in `f32` that only training needs: what they decide is in the weights or their bias.
    Training(&'a [f32]),
    /// Frozen weights in `bf16`, row-major.
    Bf16 {
        /// The numbers.
        values: &'a [bf16],
        /// Outputs and inputs.
        shape: [usize; 2],
        /// What is added to each output, `{name}.bias`.
        bias: Option<&'a [f32]>,
    },
    /// A quantised weight: its codes and scales, and the latent weights while they are kept.
    Ternary {
        /// What the forward computes with.
        matrix: &'a TernaryMatrix,
        /// What the optimiser changes.
        latent: Option<Weights<'a>>,
        /// How activations enter the product with it.
        activations: Activations,
        /// What inference adds to each output: all biases of the projection in one, `{name}.bias`.
        bias: Option<&'a [f32]>,
    },
}

/// The values of a parameter, for an optimiser.
#[derive(Debug)]
pub enum ValuesMut<'a, T> {
    /// Numbers of the model's type.
    Real(&'a mut [T]),
    /// Latent weights in `f32`.
    F32(&'a mut [f32]),
    /// Latent weights in `bf16`.
    Bf16(&'a mut [bf16]),
    /// Ternary weights without latent ones, whose scales stay.
    Ternary(&'a mut TernaryMatrix),
}

/// Which update a requantisation belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// Seed of the run, for what is stochastic.
    pub seed: u64,
    /// Updates so far: 0 for the weights that training starts from.
    pub step: u32,
    /// Updates of the whole run, for what changes with its progress.
    pub total: u32,
    /// λ of the ramp w + λ·(Q(w) − w) from latent to ternary weights; 1 is hard quantisation.
    pub lambda: f32,
    /// Whether layers that decide codes under noise do so now.
    pub is_noisy: bool,
    /// The levels of the group, for matrices that [share](crate::SharedLevels) theirs: whoever owns the
    /// group sets them for its members.
    pub levels: Option<Levels>,
}

impl Update {
    /// Hard quantisation at a step that may be the last: every schedule has arrived.
    pub fn hard(seed: u64, step: u32) -> Self {
        Self { seed, step, total: step, lambda: 1.0, is_noisy: true, levels: None }
    }

    /// How far the run is.
    pub fn progress(self) -> Progress {
        Progress { step: self.step, total: self.total }
    }

    /// The same without noise: for the codes that are kept when training ends.
    #[must_use]
    pub fn without_noise(self) -> Self {
        Self { is_noisy: false, ..self }
    }
}

/// Bytes on the heap, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Packed codes and their scales.
    pub packed: usize,
    /// Latent weights.
    pub latent: usize,
    /// Everything else: dense weights, biases, gains, averages, weights of a ramp.
    pub other: usize,
}

impl Memory {
    /// All of it.
    pub fn total(self) -> usize {
        self.packed + self.latent + self.other
    }
}

impl std::ops::AddAssign for Memory {
    fn add_assign(&mut self, more: Self) {
        self.packed += more.packed;
        self.latent += more.latent;
        self.other += more.other;
    }
}
