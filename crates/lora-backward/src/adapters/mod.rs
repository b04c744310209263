//! Adapters in memory: what low-rank adaptation adds to a model, by the names of its projections.
//!
//! | type | is |
//! |---|---|
//! | [`Scaling`] | the factor of B·A·x |
//! | [`Adapter`] | A and B of one projection |
//! | [`Adapters`] | those of a model, by name |
//! | [`Place`] | a projection that can have one, as a model tells it |
//! | [`AdapterError`] | what can be wrong with them |

mod adapter;
mod error;
mod place;
mod scaling;
mod set;

pub use adapter::{Adapter, check_dropout, check_rank};
pub use error::AdapterError;
pub use place::{Place, layer_and_part};
pub use scaling::Scaling;
pub use set::Adapters;
