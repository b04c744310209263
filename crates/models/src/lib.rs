//! One configurable decoder, built from the layers of `nn`. It knows no file and no training loop.
//!
//! ```
//! use models::{Batch, Decoder, DecoderConfig, Initial, Shadow, WeightKind};
//! use nn::{BitLinearOptions, ScaleSync, Gradients, Sequences, Tape};
//!
//! let kind = WeightKind::Ternary {
//!     options: BitLinearOptions::default(),
//!     shadow: Shadow::F32,
//!     embedding: false,
//!     head: false,
//!     sync: ScaleSync::PerMatrix,
//! };
//! let config = DecoderConfig { layers: 1, ..DecoderConfig::tiny() };
//! let model = Decoder::<f32>::build(config, &mut Initial { seed: 1, kind })?;
//! let mut gradients = Gradients::zeros(model.parameters());
//! let batch = Batch {
//!     sequences: Sequences { count: 1, length: 4 },
//!     tokens: &[104, 111, 104, 111],
//!     targets: &[111, 104, 111, 104],
//! };
//! let loss = model.loss_and_gradients(batch, &mut Tape::recording(), &mut gradients)?;
//! assert!(loss.mean > 4.0 && gradients.norm() > 0.0);
//! # Ok::<(), models::Error>(())
//! ```
//!
//! | item | is |
//! |---|---|
//! | [`DecoderConfig`], [`DeltaNets`], [`Mixture`] | the shape |
//! | [`Decoder`] | embedding, blocks, norm and head, with forward and backward |
//! | [`Decoder::attach`] | adapters put into its projections, beside what is then frozen |
//! | [`Objective`], [`Teacher`] | what it learns for, where that is more than the mean loss of a batch |
//! | [`Cache`] | what it has seen, to go on token by token |
//! | [`Base`], [`Matrix`] | how the matrices of a model are kept that stays as it is, and one of them |
//! | [`WeightSource`] | where weights come from: [`Initial`] random ones, [`Start`] given ones, or a file |

pub use lora_backward;
pub use nn;

mod adapted;
mod build;
mod cache;
mod config;
mod decoder;
mod error;
mod numbers;
mod places;
mod scoring;
mod source;

pub use cache::Cache;
pub use config::{DecoderConfig, DeltaNets, Mixture};
pub use decoder::{Batch, Decoder};
pub use error::{Error, Result};
pub use numbers::Numbers;
pub use scoring::{Learnt, Objective, Teacher};
pub use source::{Base, Given, Initial, Matrix, Role, Shadow, Start, WeightKind, WeightSource};
