//! Layers and networks under trained ternary quantisation, with what they weigh.
//!
//! The rule and its parameters are [`Ttq`](crate::quantize::Ttq) and
//! [`TtqParameters`](crate::quantize::TtqParameters); here latent weights join them. Gradients live with
//! the estimators.
//!
//! ```
//! use ternary_core::quantize::TtqParameters;
//! use ternary_core::ttq::{TtqLayer, TtqNetwork};
//! use ternary_core::{Granularity, Packing};
//!
//! let latent = vec![0.5, -0.01, -1.0, 0.25];
//! let threshold = TtqParameters::DEFAULT_THRESHOLD;
//! let layer = TtqLayer::initialised(2, 2, latent, Granularity::Tensor, threshold)?;
//! let weights = layer.quantize_scaled(Packing::TwoBit)?;
//! assert_eq!(weights.to_f32(), [0.375, 0.0, -1.0, 0.375]);
//!
//! let mut network = TtqNetwork::new();
//! network.push("fc", layer)?;
//! assert_eq!(network.statistics(Packing::TwoBit)?.total.sparsity, 0.25);
//! # Ok::<(), ternary_core::Error>(())
//! ```

mod layer;
mod network;

pub use layer::{TtqLayer, TtqStatistics};
pub use network::{TtqNetwork, TtqNetworkStatistics};
