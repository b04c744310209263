//! Adapters that train beside a model that stays as it is.
//!
//! | module | holds |
//! |---|---|
//! | `targets` | where adapters are, as settings spell it |
//! | `attach` | the adapters that a configuration asks for, put into a model |
//! | `merge` | one model of a model and its adapters |
//! | `rate` | the learning rates of their factors |

mod attach;
mod merge;
mod rate;
mod targets;

pub(crate) use attach::{attach, open, targets};
pub use merge::{MergeRequest, Merged, merge};
pub(crate) use rate::rate;
pub use targets::{LayerList, Targets};
