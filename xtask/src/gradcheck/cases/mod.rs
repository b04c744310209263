//! The checks of every op, projection, layer and estimator.

mod delta_net;
mod delta_net_ops;
mod delta_rule;
mod estimators;
mod hybrid_block;
mod layers;
mod learned;
mod lora;
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
        delta_net::all(),
        delta_net_ops::all(),
        delta_rule::all(),
        hybrid_block::all(),
        lora::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
