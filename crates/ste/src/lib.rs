//! How a gradient passes a ternary quantiser.
//!
//! The true derivative of a quantiser is zero or a jump, so training replaces it: an [`Estimator`] turns
//! dL/dq, the gradient of the quantised weights, into a gradient of the latent ones. Each names, as
//! code, the function whose derivative it returns ([`Estimator::surrogate`]); the project's gradient
//! check holds it to that. What an estimator does may depend on the [`Progress`] of the run, and some
//! *relax* the forward: they compute with something softer than the quantised weights until the run is
//! nearly over. A [`Mode`] is an estimator by name, with its rule and its [`Ramp`].
//!
//! ```
//! use ste::{Mode, Progress};
//! use ternary_core::Levels;
//!
//! let mode: Mode = "clipped-hard".parse()?;
//! let estimator = mode.estimator();
//! // Beyond twice the threshold, here 1, the hard variant passes nothing.
//! let mut gradient = [3.0_f32, 3.0];
//! let levels = Levels::symmetric(0.5, 1.0);
//! ste::Estimator::pass(&*estimator, &[0.9, -1.1], levels, Progress::DONE, &mut gradient);
//! assert_eq!(gradient, [3.0, 0.0]);
//! # Ok::<(), ste::Error>(())
//! ```
//!
//! | mode | estimator | dq/dw | differentiates | forward |
//! |---|---|---|---|---|
//! | `vanilla`, `twn`, `progressive`, `tequila`, `cage` | [`Identity`] | 1 | w | Q(w) |
//! | `unscaled` | [`Unscaled`] | α | α·w | Q(w) |
//! | `clipped`, `clipped-hard` | [`Clipped`] | 1 up to twice the threshold, less beyond | its integral | Q(w) |
//! | `trust` | [`TrustMask`] | 1 near a level, 0 elsewhere | its integral | Q(w) |
//! | `reste` | [`Reste`] | high near a threshold, more so as the run goes on | a power function | Q(w) |
//! | `ewgs` | [`Ewgs`] | 1, and more away from the level than towards it | nothing | Q(w) |
//! | `tempered` | [`Tempered`] | exact | two sigmoids | the same, then Q(w) |
//! | `hestia` | [`Hestia`] | exact, 1 at the end | a softmax over the levels | the same, then Q(w) |
//! | `staged` | [`Staged`] | 1 | w | 8, 4 and 3 bits, then Q(w) |
//! | `seq`, `lsq` | [`Seq`], [`Lsq`] | 1 up to the clip | the clip | Q(w) |
//! | `ttq` | [`Ttq`] | W_n, 1, W_p by the trit | its integral | Q(w) |
//!
//! Under `tequila` the weights that are zero are a bias of their output too, whose gradient they get beside
//! that of the estimator; under `cage` a [`Pull`] beside the optimiser draws latent weights to the grid.
//! [`Fogzo`] goes on from any of them: it measures the loss along the gradient that an estimator gives.
//! The last three belong to quantisers that learn their levels, and give the gradients of those too
//! ([`ParameterGradient`]).

mod clipped;
mod error;
mod estimator;
mod ewgs;
mod fogzo;
mod hestia;
mod identity;
mod learned;
mod lsq;
mod mode;
mod progress;
mod pull;
mod ramp;
mod reste;
mod scale;
mod seq;
mod staged;
mod tempered;
mod trust_mask;
mod ttq;
mod unscaled;

pub use clipped::Clipped;
pub use error::{Error, Result};
pub use estimator::{AnyEstimator, Estimator};
pub use ewgs::Ewgs;
pub use fogzo::{Fogzo, Slopes, Span};
pub use hestia::Hestia;
pub use identity::Identity;
pub use learned::{Group, ParameterGradient, Point};
pub use lsq::Lsq;
pub use mode::Mode;
pub use progress::Progress;
pub use pull::Pull;
pub use ramp::{Ramp, Shape};
pub use reste::Reste;
pub use seq::Seq;
pub use staged::Staged;
pub use tempered::Tempered;
pub use ternary_core::Levels;
pub use trust_mask::TrustMask;
pub use ttq::Ttq;
pub use unscaled::Unscaled;
