//! The checks of every op, projection, layer and estimator.

mod estimators;

use super::case::Case;

/// All of them.
pub(crate) fn all() -> Vec<Box<dyn Case>> {
    estimators::all()
}
