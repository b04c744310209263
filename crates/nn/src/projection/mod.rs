//! Projections: rows to rows by a matrix of weights.
//!
//! | type | weights | trains |
//! |---|---|---|
//! | [`Dense`] | real | yes |
//! | [`Bf16Linear`] | real, in `bf16` | frozen |
//! | [`TernaryLinear`] | packed trits | frozen |
//! | [`BitLinear`] | packed trits and their latent weights | yes |
//! | [`GridLinear`] | packed trits without latent weights | yes |

mod activations;
mod bf16_linear;
mod bias;
mod bit_linear;
mod dense;
mod grid_linear;
mod learned;
mod shared_levels;
mod ternary_linear;
mod ternary_product;

use std::any::Any;
use std::fmt::Debug;

use ternary_core::TernaryMatrix;

use crate::compute::Compute;
use crate::error::{Error, InLayer, Result, check_size};
use crate::gradients::Gradients;
use crate::input::Input;
use crate::module::Module;
use crate::tape::Tape;

pub use activations::Activations;
pub use bf16_linear::Bf16Linear;
pub use bit_linear::{BitLinear, BitLinearOptions, ShadowPrecision};
pub use dense::Dense;
pub use grid_linear::GridLinear;
pub use learned::{LearnedLevels, LearnedRule};
pub use shared_levels::{ScaleSync, SharedLevels};
pub use ternary_linear::TernaryLinear;

/// Rows of `inputs` numbers to rows of `outputs` numbers: y = x · Wᵀ (+ b).
///
/// A projection is what attention, feed-forward nets, experts and adapters hold, so whatever implements
/// this trait stands in any of these places. It is [`Any`], so that whoever put one there knows it again.
///
/// What a forward saves on the tape its backward takes off first thing: layers call the backwards of their projections
/// in the reverse order of the forwards.
pub trait Projection<T: Compute>: Module<T> + Any + Debug + Send + Sync {
    /// The name that its parameters begin with.
    fn name(&self) -> &str;

    /// Numbers in a row of inputs.
    fn inputs(&self) -> usize;

    /// Numbers in a row of outputs.
    fn outputs(&self) -> usize;

    /// Writes the outputs over `y` and marks on `input` what the backward needs of it. What it needs
    /// beyond that it saves on the tape.
    ///
    /// # Errors
    /// Shapes that do not fit; numbers that are not finite where they are quantised.
    fn forward(&self, input: &mut Input<T>, y: &mut [T], tape: &mut Tape<T>) -> Result<()>;

    /// Adds the gradient of the inputs to `dx`, and those of the parameters to `gradients`.
    ///
    /// # Errors
    /// Shapes that do not fit; a tape without the forward's things.
    fn backward(
        &self,
        input: &Input<T>,
        dy: &[T],
        dx: Option<&mut [T]>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()>;

    /// As [`Projection::backward`], but writes the gradient of the inputs over whatever `dx` held: one pass less
    /// over it than zeros that are added to.
    ///
    /// # Errors
    /// As [`Projection::backward`].
    fn backward_setting(
        &self,
        input: &Input<T>,
        dy: &[T],
        dx: &mut [T],
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<()> {
        dx.fill(T::ZERO);
        self.backward(input, dy, Some(dx), tape, gradients)
    }
}

/// A projection whose rows of weights can be looked up: an embedding, and the head that is tied to it.
pub trait Lookup<T: Compute>: Projection<T> {
    /// Writes a row of the weights for each token over `y`, as the forward multiplies by them.
    ///
    /// # Errors
    /// [`Error::Token`] for a token that the table does not have, [`Error::Shape`] for another size of `y`.
    fn look_up(&self, tokens: &[u32], y: &mut [T]) -> Result<()>;

    /// The gradient of the weights that [`Lookup::look_up`] gives, to add to; none when they are frozen.
    fn weight_gradient<'a>(&self, gradients: &'a mut Gradients<T>) -> Option<&'a mut [T]>;
}

/// Checks the sizes of a forward.
fn check_forward<T: Compute>(
    projection: &(impl Projection<T> + ?Sized),
    input: &Input<T>,
    y: &[T],
) -> Result<()> {
    check_size(projection.name(), "columns of inputs", projection.inputs(), input.cols())?;
    check_size(projection.name(), "outputs", input.rows() * projection.outputs(), y.len())
}

/// Checks the sizes of a backward.
fn check_backward<T: Compute>(
    projection: &(impl Projection<T> + ?Sized),
    input: &Input<T>,
    dy: &[T],
    dx: Option<&[T]>,
) -> Result<()> {
    let (name, rows) = (projection.name(), input.rows());
    check_size(name, "columns of inputs", projection.inputs(), input.cols())?;
    check_size(name, "gradients of outputs", rows * projection.outputs(), dy.len())?;
    let found = dx.map_or(rows * projection.inputs(), <[T]>::len);
    check_size(name, "gradients of inputs", rows * projection.inputs(), found)
}

/// Checks the tokens and the size of a look-up.
fn check_look_up<T: Compute>(
    projection: &(impl Projection<T> + ?Sized),
    tokens: &[u32],
    y: &[T],
) -> Result<()> {
    let (name, width) = (projection.name(), projection.inputs());
    check_size(name, "rows of tokens", tokens.len() * width, y.len())?;
    let vocabulary = projection.outputs();
    match tokens.iter().position(|&token| token as usize >= vocabulary) {
        Some(position) => {
            let (layer, token) = (name.to_owned(), tokens[position]);
            Err(Error::Token { layer, position, vocabulary, token })
        }
        None => Ok(()),
    }
}

/// Writes a row of ternary weights.
fn decode_row<T: Compute>(
    weight: &TernaryMatrix,
    row: usize,
    y: &mut [T],
) -> ternary_core::Result<()> {
    weight.visit_row(row, |col, weight| y[col] = T::from_f32(weight))
}

/// Checks a look-up; `decode` writes the row of a token.
fn look_up_rows<T: Compute>(
    projection: &(impl Projection<T> + ?Sized),
    tokens: &[u32],
    y: &mut [T],
    decode: impl Fn(usize, &mut [T]) -> ternary_core::Result<()>,
) -> Result<()> {
    check_look_up(projection, tokens, y)?;
    let width = projection.inputs();
    for (&token, y) in tokens.iter().zip(y.chunks_exact_mut(width.max(1))) {
        decode(token as usize, y).in_layer(projection.name())?;
    }
    Ok(())
}
