//! The checks of every op, projection, layer and estimator.

mod estimators;
mod op;
mod ops;

use super::case::Case;

/// All of them.
pub(crate) fn all() -> Vec<Box<dyn Case>> {
    [estimators::all(), ops::all()].into_iter().flatten().collect()
}
