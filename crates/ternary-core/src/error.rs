//! What can go wrong, with what was expected and what was found.

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Each variant carries what was expected and what was found.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A slice does not have the length that the shape asks for.
    #[error("{what}: expected {expected} elements, found {found}")]
    Length {
        /// The slice, by its role in the call.
        what: &'static str,
        /// Elements that the shape asks for.
        expected: usize,
        /// Elements that were handed in.
        found: usize,
    },
    /// Two operands do not fit each other.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// The property that differs.
        what: &'static str,
        /// What the call needs.
        expected: String,
        /// What was handed in.
        found: String,
    },
    /// `rows · columns` (or a byte count made from it) does not fit a `usize`.
    #[error("a matrix of {rows} x {cols} does not fit this machine's address space")]
    ShapeOverflow {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
    },
    /// A block or group does not divide the row.
    #[error("{what}: a block of {block} does not divide a row of {found}")]
    Block {
        /// The layout or granularity that has blocks.
        what: &'static str,
        /// Elements in a block.
        block: usize,
        /// The length that was to be divided.
        found: usize,
    },
    /// A number is NaN or infinite where a finite one is needed.
    #[error("{what}: expected finite numbers, found {value} at index {index}")]
    NonFinite {
        /// The slice, by its role in the call.
        what: &'static str,
        /// Index of the first offender.
        index: usize,
        /// The offender.
        value: f64,
    },
    /// A number lies outside its range.
    #[error("{what}: expected {expected}, found {value} at index {index}")]
    OutOfRange {
        /// The parameter or slice.
        what: &'static str,
        /// The allowed range, in words.
        expected: &'static str,
        /// Index of the first offender (0 for a single parameter).
        index: usize,
        /// The offender.
        value: f64,
    },
    /// A byte of a packed form is the image of no trits.
    #[error("{format}: byte {code:#04x} at position {position} is no code")]
    InvalidCode {
        /// The packed format.
        format: &'static str,
        /// Offset of the byte in the packed data.
        position: usize,
        /// The byte found.
        code: u8,
    },
    /// A dot product has more terms than its integer accumulator can hold exactly.
    #[error("{what}: an exact sum has at most {limit} terms, found {found}")]
    TooManyTerms {
        /// The product.
        what: &'static str,
        /// The largest exact length.
        limit: usize,
        /// The length found.
        found: usize,
    },
    /// An instruction set was asked for that this processor lacks or that does not exist.
    #[error("instruction set {requested:?} is not available: this processor has {available}")]
    IsaUnavailable {
        /// What was asked for.
        requested: String,
        /// What there is, best first, separated by commas.
        available: String,
    },
    /// One layer of a network failed.
    #[error("layer {name:?}: {source}")]
    Layer {
        /// The layer's name.
        name: String,
        /// What was wrong with it.
        source: Box<Self>,
    },
}

/// Checks a slice's length against the shape.
pub(crate) fn check_length(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Length { what, expected, found }) }
}
