//! How gradients change weights. An optimiser sees named slices and nothing else.
//!
//! | optimiser | keeps of each weight | weights move along |
//! |---|---|---|
//! | [`AdamW`] | two numbers | the mean of gradients, by the root of their mean square |
//! | [`Sgd`] | one number, or none | the mean of gradients |
//! | [`Lamb`] | two numbers | AdamW's direction, as long as the tensor is large |
//! | [`Muon`] | one number, two outside of matrices | the mean of gradients with all its singular values made 1 |

mod adamw;
mod clip;
mod groups;
mod lamb;
mod method;
mod muon;
mod orthogonal;
mod sgd;
mod state;

pub use adamw::{AdamW, AdamWOptions};
pub use clip::clip_factor;
pub use groups::{Group, Groups, LevelRates, Shares, UnknownPattern, is_decayed};
pub use lamb::Lamb;
pub use method::Method;
pub use muon::{Muon, MuonOptions};
pub use sgd::{Sgd, SgdOptions};
pub use state::{State, StateArray, StateError};

use ternary_core::Real;

/// An optimiser: an update of each tensor in each step.
///
/// An update has two halves, because some methods must know a whole tensor before they change any of it, while
/// weights of few bits are handed over in runs that are widened one at a time:
///
/// ```
/// use trainer::optimiser::{AdamW, AdamWOptions, Moment, Optimiser};
///
/// let options = AdamWOptions { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };
/// let mut optimiser: Box<dyn Optimiser> = Box::new(AdamW::new(options, [("projection.weight", &[2][..])]));
/// let mut weights = [1.0_f32, 1.0];
/// let moment = Moment {
///     tensor: 0,
///     learning_rate: 0.5,
///     weight_decay: 0.0,
///     gradient: &[3.0, -0.1],
///     gradient_factor: 1.0,
///     weights: &|see| see(&weights),
/// };
/// optimiser.begin(moment).apply(0, &mut weights);
/// // The first step of every weight is one learning rate long.
/// assert_eq!(weights, [0.5, 1.5]);
/// ```
///
/// The bits of an update depend on neither runs nor threads. A run updates weights in `f32`; what [`AdamW`] computes, it
/// computes in `f64` as well, to be held to reference numbers.
pub trait Optimiser<T: Real = f32>: std::fmt::Debug + Send {
    /// Begins the next update of a tensor: moves its state on by one.
    ///
    /// # Panics
    /// When there is no tensor of this index, or it has not one gradient for each weight; and [`Muon`] where the
    /// environment asks for an instruction set that is not there.
    fn begin<'a>(&'a mut self, moment: Moment<'a, '_, T>) -> Box<dyn TensorStep<T> + 'a>;

    /// What it keeps from step to step.
    fn state(&self) -> &State<T>;

    /// The same, to be restored.
    fn state_mut(&mut self) -> &mut State<T>;
}

/// One tensor in one step.
#[derive(Clone, Copy)]
pub struct Moment<'a, 'w, T: Real = f32> {
    /// Its place among the tensors that the optimiser was made for.
    pub tensor: usize,
    /// η.
    pub learning_rate: f64,
    /// λ, decoupled from the gradient: a weight loses η·λ of itself.
    pub weight_decay: f64,
    /// Its gradient.
    pub gradient: &'a [T],
    /// What each gradient is multiplied by as it is read: the clip.
    pub gradient_factor: f64,
    /// Calls what it is given with all weights in runs, the first one first, as often as it is asked to.
    pub weights: &'w ReadWeights<'w, T>,
}

/// Hands over weights in runs.
pub type ReadWeights<'a, T = f32> = dyn Fn(&mut dyn FnMut(&[T])) + 'a;

/// The second half of an update.
pub trait TensorStep<T = f32> {
    /// Changes a run of weights, the first of which is the tensor's weight `start`; every weight once.
    ///
    /// # Panics
    /// When the run exceeds the tensor.
    fn apply(&mut self, start: usize, weights: &mut [T]);
}

/// Weights that one task updates.
const RUN: usize = 1 << 14;

#[cfg(test)]
mod testing;
