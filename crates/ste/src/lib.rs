//! How a gradient passes a ternary quantiser.
//!
//! The true derivative of a quantiser is zero or a jump, so training replaces it: an [`Estimator`] turns
//! dL/dq, the gradient of the quantised weights, into a gradient of the latent ones. Each names, as
//! code, the function whose derivative it returns ([`Estimator::surrogate`]); the project's gradient
//! check holds it to that.
//!
//! ```
//! use ste::{Method, Progress};
//! use ternary_core::Levels;
//!
//! let method: Method = "clipped-hard".parse()?;
//! let estimator = method.estimator();
//! // Beyond twice the threshold, here 1, the hard variant passes nothing.
//! let mut gradient = [3.0_f32, 3.0];
//! let levels = Levels::symmetric(0.5, 1.0);
//! ste::Estimator::pass(&*estimator, &[0.9, -1.1], levels, Progress::DONE, &mut gradient);
//! assert_eq!(gradient, [3.0, 0.0]);
//! # Ok::<(), ste::Error>(())
//! ```
//!
//! | estimator | dq/dw | differentiates |
//! |---|---|---|
//! | [`Identity`] | 1 | w |
//! | [`Clipped`] | 1 up to twice the threshold, less beyond | its integral |
//! | [`Seq`], [`Lsq`] | 1 up to the clip | the clip |
//! | [`Ttq`] | W_n, 1, W_p by the trit | its integral |
//!
//! The last three belong to quantisers that learn their levels, and give the gradients of those too
//! ([`ParameterGradient`]).

mod clipped;
mod error;
mod estimator;
mod identity;
mod learned;
mod lsq;
mod method;
mod progress;
mod seq;
mod ttq;

pub use clipped::Clipped;
pub use error::{Error, Result};
pub use estimator::{AnyEstimator, Estimator};
pub use identity::Identity;
pub use learned::{Group, ParameterGradient, Point};
pub use lsq::Lsq;
pub use method::Method;
pub use progress::Progress;
pub use seq::Seq;
pub use ternary_core::Levels;
pub use ttq::Ttq;
