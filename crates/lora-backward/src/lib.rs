//! What hybrid language models have beside attention: gated delta nets; and low-rank adapters (LoRA) beside any
//! projection. All with hand-written backwards.
//!
//! ```
//! use lora_backward::ops::{DeltaRows, DeltaShape, delta_rule};
//! use nn::Sequences;
//!
//! let shape = DeltaShape {
//!     sequences: Sequences { count: 1, length: 2 },
//!     key_heads: 1,
//!     value_heads: 1,
//!     key_width: 1,
//!     value_width: 1,
//! };
//! // What the first token writes under its key, the second reads back, half decayed.
//! let rows = DeltaRows {
//!     query: &[0.0_f64, 1.0],
//!     key: &[1.0, 0.0],
//!     value: &[3.0, 9.0],
//!     decay: &[0.0, 0.5_f64.ln()],
//!     write: &[1.0, 1.0],
//! };
//! let (mut state, mut y) = ([0.0], [0.0; 2]);
//! delta_rule(shape, rows, &mut state, None, &mut y)?;
//! assert!((y[1] - 1.5).abs() < 1e-12 && (state[0] - 1.5).abs() < 1e-12);
//! # Ok::<(), lora_backward::Error>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | here | [`GatedDeltaNet`], a layer that holds projections |
//! | here | [`Lora`], a projection with an adapter beside it |
//! | here | [`Adapters`] of a model, each an [`Adapter`] with its [`Scaling`], and the [`Place`]s where they can be |
//! | [`ops`] | functions on slices, each beside its backward |
//! | [`nn`] | the crate below, for layers, tapes and gradients |

pub use nn;
pub use nn::{Error, Result};

mod adapters;
mod layers;
pub mod ops;

pub use adapters::{
    Adapter, AdapterError, Adapters, Place, Scaling, check_dropout, check_rank, layer_and_part,
};
pub use layers::{
    AdapterMode, DeltaNetInputs, DeltaNetOptions, DeltaNetProjections, DeltaNetState,
    DeltaNetWeights, GatedDeltaNet, Lora,
};
