//! The cases of the ops.

mod attention;
mod linear;
mod loss;
mod numbers;
mod routing;
mod rows;

use crate::gradcheck::case::Case;

/// The cases of all ops.
pub(super) fn all() -> Vec<Box<dyn Case>> {
    let cases =
        [attention::all(), linear::all(), loss::all(), numbers::all(), routing::all(), rows::all()];
    cases.into_iter().flatten().collect()
}
