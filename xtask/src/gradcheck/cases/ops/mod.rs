//! The cases of the ops.

mod attention;
mod linear;
mod loss;
mod numbers;
mod rows;

use crate::gradcheck::case::Case;

/// The cases of all ops.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    [attention::all(), linear::all(), loss::all(), numbers::all(), rows::all()]
        .into_iter()
        .flatten()
        .collect()
}
