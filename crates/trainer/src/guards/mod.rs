//! What watches over a run and stops it. All are values that a checkpoint can hold, and none looks at a clock.
//!
//! | guard | sees | says |
//! |---|---|---|
//! | [`NonFiniteGuard`] | whether a step was bad | too many in a row |
//! | [`SpikeWatch`] | the loss of each step | that it is far above the usual |
//! | [`StopCondition`] | what a run measures | that a number crossed its line |
//! | [`Patience`] | the held-out loss of each evaluation | that no better one comes |
//! | [`Span`] | nothing | how long a run may take |

mod finite;
mod patience;
mod span;
mod spike;
mod stop;

pub use finite::{NonFiniteGuard, TooMany};
pub use patience::Patience;
pub use span::Span;
pub use spike::{Spike, SpikeWatch};
pub use stop::{Metric, Reading, StopCondition};
