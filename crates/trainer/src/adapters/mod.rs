//! Adapters that train beside a model that stays as it is.
//!
//! | module | holds |
//! |---|---|
//! | `targets` | where adapters are, as settings spell it |
//! | `attach` | the adapters that a configuration asks for, put into a model |
//! | `rate` | the learning rates of their factors |

mod attach;
mod rate;
mod targets;

pub(crate) use attach::{attach, open, targets};
pub(crate) use rate::rate;
pub use targets::{LayerList, Targets};
