//! The checks of every op, projection, layer and estimator.

mod estimators;
mod layers;
mod learned;
mod mixture;
mod op;
mod ops;
mod part;
mod projections;
mod shared_levels;

use super::case::Case;

/// All of them.
pub(crate) fn all() -> Vec<Box<dyn Case>> {
    [
        estimators::all(),
        learned::all(),
        shared_levels::all(),
        ops::all(),
        projections::all(),
        layers::all(),
        mixture::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
