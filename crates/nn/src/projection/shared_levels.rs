//! [`SharedLevels`]: one set of levels for several matrices.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ternary_core::{Levels, Quantizer, Real, Weights, mutant};

use super::bit_linear::codes;
use super::learned::{Learned, MOST, largest};
use super::{BitLinearOptions, LearnedLevels};
use crate::compute::Compute;
use crate::error::{InLayer, Result};
use crate::gradients::Gradients;
use crate::module::{Memory, Module, Tensor, Update, Values, ValuesMut};
use crate::parameters::{ParameterId, Parameters};

/// Which matrices have their levels, and with them the scale α, in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ScaleSync {
    /// None: each matrix has its own.
    #[default]
    PerMatrix,
    /// The gate, up and down projections of an expert, or of a feed-forward net.
    PerExpert,
    /// Those of all experts of a block, and both projections of its per-layer embedding.
    PerBlock,
}

impl ScaleSync {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PerMatrix, Self::PerExpert, Self::PerBlock];
}

impl fmt::Display for ScaleSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PerMatrix => "per-matrix",
            Self::PerExpert => "per-expert",
            Self::PerBlock => "per-block",
        })
    }
}

/// The text is none of [`ScaleSync::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected per-matrix, per-expert or per-block, found {0:?}")]
pub struct UnknownScaleSync(String);

impl FromStr for ScaleSync {
    type Err = UnknownScaleSync;

    fn from_str(text: &str) -> Result<Self, UnknownScaleSync> {
        let known = Self::ALL.into_iter().find(|sync| sync.to_string() == text);
        known.ok_or_else(|| UnknownScaleSync(text.to_owned()))
    }
}

/// The levels of a group of matrices, as if their latent weights were one matrix: a rule is fitted to all
/// of them together, or one set of parameters, under one identity, is learned with the gradients of all.
///
/// Whoever owns the group holds this beside the members ([`FeedForward`](crate::FeedForward),
/// [`Block`](crate::Block)); the members are [`BitLinear`](crate::BitLinear)s with
/// [`BitLinearOptions::is_shared`], and get the levels with each [`Update`].
#[derive(Debug, Clone)]
pub struct SharedLevels {
    name: String,
    quantizer: Arc<dyn Quantizer>,
    average: f32,
    learned: Option<(LearnedLevels, Learned)>,
    levels: Vec<Levels>,
    lambda: f32,
}

impl SharedLevels {
    /// The levels of a group called `name` whose members have these options; what is learned is declared
    /// as `{name}.scale` or, for TTQ, as its parameters are called.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for options that cannot be shared,
    /// [`Error::Parameter`](crate::Error::Parameter) for a name that is taken.
    pub fn declare(
        name: &str,
        options: &BitLinearOptions,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        BitLinearOptions { is_shared: true, ..options.clone() }.check(name)?;
        let declare = |levels| Ok((levels, Learned::declare(name, levels, 1, parameters)?));
        Ok(Self {
            name: name.to_owned(),
            quantizer: options.quantizer.clone(),
            average: options.scale_average,
            learned: options.learned.map(declare).transpose()?,
            levels: Vec::new(),
            lambda: 1.0,
        })
    }

    /// The levels, once they were fitted.
    pub fn levels(&self) -> Option<Levels> {
        self.levels.first().copied()
    }

    /// Fits the levels to the latent weights of all members, or takes the learned ones as they are now,
    /// and returns the update that tells the members.
    ///
    /// # Errors
    /// Latent weights or learned levels that are not finite.
    pub(crate) fn fit<T: Real>(
        &mut self,
        members: &[&dyn Module<T>],
        update: Update,
    ) -> Result<Update> {
        let mut all = Vec::new();
        let mut result = Ok(());
        each_latent(members, &mut |tensor, latent| {
            if result.is_ok() {
                result = latent.check_finite().in_layer(tensor.name);
                latent.for_each_chunk(|chunk| all.extend_from_slice(chunk));
            }
        });
        result?;
        if all.is_empty() {
            return Ok(update);
        }
        let weights = Weights::F32(&all);
        let rule = match &mut self.learned {
            Some((levels, learned)) => {
                if !learned.is_set() {
                    let start = Learned::start(*levels, 1, weights.len(), weights);
                    learned.set(start.in_layer(&self.name)?);
                }
                learned.current().in_layer(&self.name)?.into()
            }
            None => self.quantizer.clone(),
        };
        codes::fit(&*rule, self.average, weights, &mut self.levels, 1).in_layer(&self.name)?;
        self.lambda = update.lambda;
        Ok(Update { levels: self.levels(), ..update })
    }

    /// Adds the gradients of what is learned, while the entries of the members are still dL/dq.
    pub(crate) fn add_gradients<T: Real>(
        &self,
        members: &[&dyn Module<T>],
        gradients: &mut Gradients<T>,
    ) {
        let (Some((_, learned)), Some(levels)) = (&self.learned, self.levels()) else { return };
        let (mut numbers, mut most) = (0, 0.0_f32);
        each_latent(members, &mut |_, latent| {
            numbers += latent.len();
            most = most.max(largest(latent));
        });
        let (mut sums, mut is_touched) = ([0.0; MOST], false);
        each_latent(members, &mut |tensor, latent| {
            if let (Some(id), Values::Ternary { matrix, .. }) = (tensor.id, tensor.values) {
                if !gradients.is_touched(id) {
                    return;
                }
                is_touched = true;
                let (trits, upstream) = (matrix.to_trits(), gradients.get(id));
                mutant!("Block/shared levels: gradient of the last member alone", {
                    sums = [0.0; MOST]
                });
                learned.add_sums(latent, &trits, upstream, (levels, most), &mut sums);
            }
        });
        if !is_touched {
            return;
        }
        let numbers = mutant!("Block/shared levels: factor of one weight", numbers, 1);
        mutant!("Block/shared levels: gradient twice", {
            learned.add_group(0, &sums, numbers, self.lambda, gradients);
        });
        learned.add_group(0, &sums, numbers, self.lambda, gradients);
    }
}

/// Calls `visit` with each ternary tensor that has latent weights.
fn each_latent<T: Real>(
    members: &[&dyn Module<T>],
    visit: &mut dyn FnMut(Tensor<'_, T>, Weights<'_>),
) {
    for member in members {
        member.visit(&mut |tensor| {
            if let Values::Ternary { latent: Some(latent), .. } = tensor.values {
                visit(tensor, latent);
            }
        });
    }
}

impl<T: Compute> Module<T> for SharedLevels {
    fn visit(&self, visit: &mut dyn FnMut(Tensor<'_, T>)) {
        let learned = self.learned.iter().filter(|(_, learned)| learned.is_set());
        for parameter in learned.flat_map(|(_, learned)| learned.parameters()) {
            let values = Values::Training(&parameter.values);
            visit(Tensor { name: &parameter.name, id: Some(parameter.id), values });
        }
    }

    fn visit_mut(&mut self, visit: &mut dyn FnMut(ParameterId, ValuesMut<'_, T>)) {
        let learned = self.learned.iter_mut().filter(|(_, learned)| learned.is_set());
        for parameter in learned.flat_map(|(_, learned)| learned.parameters_mut()) {
            visit(parameter.id, ValuesMut::F32(&mut parameter.values));
        }
    }

    fn visit_identities(&mut self, visit: &mut dyn FnMut(&mut ParameterId)) {
        let learned = self.learned.iter_mut().flat_map(|(_, learned)| learned.parameters_mut());
        learned.for_each(|parameter| visit(&mut parameter.id));
    }

    fn visit_levels(&self, visit: &mut dyn FnMut(&str, &[Levels])) {
        visit(&self.name, &self.levels);
    }

    fn visit_levels_mut(&mut self, visit: &mut dyn FnMut(&str, &mut [Levels])) {
        visit(&self.name, &mut self.levels);
    }

    /// The members have the levels of the group among theirs.
    fn decide_again(&mut self, update: Update) -> Result<()> {
        self.lambda = update.lambda;
        Ok(())
    }

    fn drop_latent(&mut self) {
        if let Some((_, learned)) = &mut self.learned {
            learned.clear();
        }
        self.levels = Vec::new();
    }

    fn memory(&self) -> Memory {
        let learned = self.learned.as_ref().map_or(0, |(_, learned)| learned.size_bytes());
        let levels = self.levels.capacity() * size_of::<Levels>();
        Memory { other: self.name.capacity() + levels + learned, ..Memory::default() }
    }
}
