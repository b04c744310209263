//! Layers with an explicit forward and a hand-written backward: ternary and dense projections, attention,
//! feed-forward nets, norms and losses.
//!
//! There is no graph. A forward leaves on a [`Tape`] what its backward needs, a backward takes it off and
//! adds to [`Gradients`], one flat store of all parameters. Everything is generic over `f32`, which
//! runs the kernels of `ternary-core`, and `f64`, which runs the plain formulas that the gradient check
//! holds them to.
//!
//! ```
//! use nn::{BitLinear, BitLinearOptions, Gradients, Input, Module, Parameters, Projection, Tape, Update};
//!
//! let mut parameters = Parameters::new();
//! let options = BitLinearOptions::default();
//! let mut layer = BitLinear::<f32>::random("layer", [2, 64], 0.1, 7, options, &mut parameters)?;
//! let mut gradients = Gradients::<f32>::zeros(&parameters);
//! let mut tape = Tape::recording();
//!
//! let mut y = [0.0; 2];
//! for step in 1..=50 {
//!     let mut x = tape.take(64);
//!     x.fill(1.0);
//!     let mut input = Input::new("layer", x, 64)?;
//!     layer.forward(&mut input, &mut y, &mut tape)?;
//!     // Half the squared distance to the target (1, −1).
//!     let dy = [y[0] - 1.0, y[1] + 1.0];
//!     gradients.clear();
//!     layer.backward(&input, &dy, None, &mut tape, &mut gradients)?;
//!     tape.recycle(input);
//!     Module::<f32>::finish_gradients(&layer, &mut gradients)?;
//!     let gradient = gradients.values().to_vec();
//!     layer.shadow_mut().unwrap().iter_mut().zip(gradient).for_each(|(w, g)| *w -= 0.01 * g);
//!     layer.decide_codes(Update::hard(7, step))?;
//! }
//! assert!((y[0] - 1.0).abs() < 0.2 && (y[1] + 1.0).abs() < 0.2, "{y:?}");
//! # Ok::<(), nn::Error>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | here | [`Projection`]s: [`Dense`], [`Bf16Linear`], [`TernaryLinear`], [`BitLinear`], [`GridLinear`]; [`Layer`]s: [`Attention`], [`FeedForward`], [`BitMoe`], [`TernaryMoe`], [`RmsNorm`], [`Block`], [`Embedding`], [`PerLayerEmbedding`] |
//! | here | [`Tape`], [`Input`], [`Gradients`], [`Parameters`] and their identities, [`Module`], [`SharedLevels`], [`Dropout`] |
//! | here | [`visit_state`] and [`restore`]: what training changes, as named arrays and back |
//! | [`ops`] | the functions that layers are made of, each beside its backward |
//! | [`ste`], [`ternary_core`] | the crates below, for estimators, quantisers and packed weights |

pub use {ste, ternary_core};

mod compute;
mod dropout;
mod error;
mod gradients;
mod input;
mod layers;
mod module;
mod noise;
pub mod ops;
mod parameters;
mod projection;
mod simd;
mod snapshot;
mod tape;
mod update;

pub use compute::Compute;
pub use dropout::Dropout;
pub use error::{Error, Result, check_size};
pub use gradients::{Gradients, sum_of_squares};
pub use input::Input;
pub use layers::{
    Attention, AttentionGate, AttentionOptions, AttentionProjections, BitMoe, Block, Context,
    Embedding, ExpertWeights, FeedForward, FeedForwardProjections, Layer, MixtureOptions,
    Nonlinearity, PerLayerEmbedding, Recurrence, RmsNorm, Sequences, SharedExpert, State,
    TernaryExpert, TernaryMoe,
};
pub use module::{Memory, Module, Tensor, Update, Values, ValuesMut};
pub use noise::Draw;
pub use parameters::{ParameterId, Parameters};
pub use projection::{
    Activations, Bf16Linear, BitLinear, BitLinearOptions, Dense, GridLinear, LearnedLevels,
    LearnedRule, Lookup, Projection, ScaleSync, ShadowPrecision, SharedLevels, TernaryLinear,
};
pub use snapshot::{Numbers, NumbersMut, restore, visit_state};
pub use tape::{Passing, Tape};
pub use update::Rounding;
