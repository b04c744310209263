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
//!
//! [`Fogzo`] goes on from any of them: it measures the loss along the gradient that an estimator gives.

mod clipped;
mod error;
mod estimator;
mod fogzo;
mod identity;
mod method;
mod progress;

pub use clipped::Clipped;
pub use error::{Error, Result};
pub use estimator::{AnyEstimator, Estimator};
pub use fogzo::{Fogzo, Slopes, Span};
pub use identity::Identity;
pub use method::Method;
pub use progress::Progress;
pub use ternary_core::Levels;
