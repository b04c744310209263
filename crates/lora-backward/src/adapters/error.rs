//! What can be wrong with adapters.

use std::ops::Range;

/// An adapter that no projection can have, or that those of a model do not fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// A rank that its matrices cannot have.
    #[error(
        "{module}: rank: expected 1 to {most}, the larger side of a projection of {inputs} to {outputs}, found {found}"
    )]
    Rank {
        /// The projection.
        module: String,
        /// The largest rank that says something.
        most: usize,
        /// Numbers in a row of its inputs.
        inputs: usize,
        /// Numbers in a row of its outputs.
        outputs: usize,
        /// The rank found.
        found: usize,
    },
    /// A matrix of another size than the rank and the projection have.
    #[error(
        "{module}: {matrix}: expected {rows} rows of {columns} numbers, found {found} numbers in all"
    )]
    Size {
        /// The projection.
        module: String,
        /// `lora_A` or `lora_B`.
        matrix: &'static str,
        /// Rows that fit.
        rows: usize,
        /// Numbers in a row that fit.
        columns: usize,
        /// Numbers found.
        found: usize,
    },
    /// A number that is NaN or infinite.
    #[error("{module}: {what}: expected finite numbers, found {value} at index {index}")]
    NonFinite {
        /// The projection.
        module: String,
        /// `lora_A`, `lora_B` or `alpha`.
        what: &'static str,
        /// Index of the first of them.
        index: usize,
        /// That number.
        value: f64,
    },
    /// Rows of weights that an adapter does not have.
    #[error(
        "adapter of weights [{outputs}, {inputs}]: expected numbers of rows {rows:?}, found {found} numbers"
    )]
    Rows {
        /// Rows of the weights.
        outputs: usize,
        /// Numbers in a row.
        inputs: usize,
        /// The rows asked for.
        rows: Range<usize>,
        /// Numbers handed in.
        found: usize,
    },
    /// A share of dropped inputs that is none.
    #[error("dropout: expected a share from 0 to below 1, found {found}")]
    Dropout {
        /// The share found.
        found: f64,
    },
    /// Two adapters for one projection.
    #[error("{module}: expected one adapter, found a second")]
    Twice {
        /// The projection.
        module: String,
    },
    /// A layer that the model does not have.
    #[error(
        "{module}: expected one of the layers 0 to {last}, found layer {layer}: the adapter belongs to a deeper model"
    )]
    Layer {
        /// The projection.
        module: String,
        /// Its layer.
        layer: usize,
        /// The last layer of the model that has projections.
        last: usize,
    },
    /// A projection that other layers of the model have, of another kind than this one.
    #[error(
        "{module}: layer {layer} is {found} and has no {part}; layers with it: {with}: choose among those"
    )]
    Kind {
        /// The projection.
        module: String,
        /// Its layer.
        layer: usize,
        /// Its name within the layer.
        part: String,
        /// What the layer is instead.
        found: String,
        /// The layers that have one.
        with: String,
    },
    /// A projection that no layer of the model has.
    #[error(
        "{module}: expected a projection of the model, such as {example}, found none of that name"
    )]
    Unknown {
        /// The projection.
        module: String,
        /// Some that the model has.
        example: String,
    },
    /// A projection of another shape.
    #[error(
        "{module} ({place}): {what}: expected {expected}, found {found}: the adapter belongs to another model"
    )]
    Shape {
        /// The projection.
        module: String,
        /// Its layer and what kind that is.
        place: String,
        /// `inputs` or `outputs`.
        what: &'static str,
        /// The size that the model has.
        expected: usize,
        /// The size that the adapter has.
        found: usize,
    },
    /// A layer refused: a name that is taken, shapes that do not fit.
    #[error(transparent)]
    Part(#[from] nn::Error),
    /// Adapters for a model that has some, or a call that needs them where there are none.
    #[error("adapters: expected {expected}, found {found}")]
    State {
        /// What is needed, in words.
        expected: &'static str,
        /// What there is, in words.
        found: &'static str,
    },
}
