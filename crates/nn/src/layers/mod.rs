//! Layers: rows of a batch of sequences to rows of the same width.
//!
//! | layer | forward |
//! |---|---|
//! | [`RmsNorm`] | x / rms(x) · gain |
//! | [`Attention`] | projections, rotary angles, causal attention with grouped heads, output projection |
//! | [`FeedForward`] | SwiGLU, squared ReLU or GELU between projections |
//! | [`BitMoe`], [`TernaryMoe`] | a router, and a few experts for each row |
//! | [`PerLayerEmbedding`] | a row of each token, gated by the stream, between projections |
//! | [`Block`] | x + attention(norm(x)), then x + feed-forward(norm(x)), then the per-layer embedding |
//! | [`Embedding`] | tokens to rows; its table may serve as the head |

mod attention;
mod block;
mod context;
mod embedding;
mod feed_forward;
mod mixture;
mod norm;
mod per_layer;

use std::fmt::Debug;

use crate::compute::Compute;
use crate::error::{Error, Result, check_size};
use crate::gradients::Gradients;
use crate::module::Module;
use crate::projection::Projection;
use crate::tape::Tape;

pub use attention::{Attention, AttentionGate, AttentionOptions, AttentionProjections};
pub use block::Block;
pub use context::{Context, Recurrence, State};
pub use embedding::Embedding;
pub use feed_forward::{FeedForward, FeedForwardProjections, Nonlinearity};
pub use mixture::{BitMoe, ExpertWeights, MixtureOptions, SharedExpert, TernaryExpert, TernaryMoe};
pub use norm::RmsNorm;
pub use per_layer::PerLayerEmbedding;

/// How the rows of a batch divide into sequences: all of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequences {
    /// How many sequences.
    pub count: usize,
    /// Rows (tokens) of each.
    pub length: usize,
}

impl Sequences {
    /// Rows in all of them.
    pub fn rows(self) -> usize {
        self.count * self.length
    }
}

/// A layer from rows to rows of the same width. Buffers move through it: a forward takes its input and
/// gives its output, a backward takes the gradient of the output and gives that of the input.
pub trait Layer<T: Compute>: Module<T> + Debug + Send + Sync {
    /// Numbers in a row.
    fn width(&self) -> usize;

    /// The output, with what the backward needs saved on the tape.
    ///
    /// # Errors
    /// Sizes that do not fit the layer; numbers that are not finite where they are quantised.
    fn forward(&self, x: Vec<T>, context: Context<'_>, tape: &mut Tape<T>) -> Result<Vec<T>>;

    /// The gradient of the input. Those of the parameters are added to `gradients`.
    ///
    /// # Errors
    /// Sizes that do not fit; a tape without the forward's things.
    fn backward(
        &self,
        dy: Vec<T>,
        context: Context<'_>,
        tape: &mut Tape<T>,
        gradients: &mut Gradients<T>,
    ) -> Result<Vec<T>>;

    /// Calls `visit` with each projection, in a fixed order, and with what kind of layer it belongs to: `attention`,
    /// `feed-forward`, `expert`, `shared expert`, `router`, `per-layer embedding`, or what a layer from outside says.
    fn each_projection(&self, _visit: &mut dyn FnMut(&'static str, &dyn Projection<T>)) {}

    /// Calls `visit` with each of them in the same order, to be replaced by one of the same shape: by what adapts
    /// it, say.
    fn each_projection_mut(&mut self, _visit: &mut dyn FnMut(&mut Box<dyn Projection<T>>)) {}

    /// What the layer carries through this many sequences, before their first tokens.
    fn state(&self, _sequences: usize) -> State<T> {
        State::default()
    }

    /// The forward of rows that come after those which `state` has seen. Nothing is kept for a backward.
    ///
    /// # Errors
    /// As [`Layer::forward`]; a state of another layer or of other sequences, a tape that records. The state is
    /// not to be used after an error.
    fn resume(
        &self,
        x: Vec<T>,
        context: Context<'_>,
        _state: &mut State<T>,
        tape: &mut Tape<T>,
    ) -> Result<Vec<T>> {
        self.forward(x, context, tape)
    }
}

/// Checks that `x` holds the rows of `sequences`.
fn check_rows<T>(
    layer: &str,
    what: &'static str,
    width: usize,
    Context { sequences, mask, .. }: Context<'_>,
    x: &[T],
) -> Result<()> {
    let rows = sequences.count.checked_mul(sequences.length);
    let Some(expected) = rows.and_then(|rows| rows.checked_mul(width)) else {
        return Err(Error::Setting {
            layer: layer.to_owned(),
            what: "rows of a batch",
            expected: "as many as memory can hold",
            found: format!("{} sequences of {}", sequences.count, sequences.length),
        });
    };
    if let Some(mask) = mask {
        check_size(layer, "rows of the mask", sequences.rows(), mask.len())?;
    }
    check_size(layer, what, expected, x.len())
}
