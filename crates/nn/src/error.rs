//! What can go wrong in a layer, with what was expected and what was found.

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A buffer or dimension does not fit a layer.
    #[error("{layer}: {what}: expected {expected}, found {found}")]
    Shape {
        /// The layer or op.
        layer: String,
        /// What does not fit.
        what: &'static str,
        /// The size that fits.
        expected: usize,
        /// The size handed in.
        found: usize,
    },
    /// A setting that a layer cannot have.
    #[error("{layer}: {what}: expected {expected}, found {found}")]
    Setting {
        /// The layer or op.
        layer: String,
        /// The setting.
        what: &'static str,
        /// What is allowed, in words.
        expected: &'static str,
        /// What was asked for.
        found: String,
    },
    /// A token that the vocabulary does not have.
    #[error("{layer}: token at position {position}: expected one of {vocabulary}, found {token}")]
    Token {
        /// The layer or op.
        layer: String,
        /// Index into the tokens handed in.
        position: usize,
        /// Entries of the vocabulary.
        vocabulary: usize,
        /// The token found.
        token: u32,
    },
    /// A number is NaN or infinite where a finite one is needed.
    #[error("{layer}: {what}: expected finite numbers, found {value} at index {index}")]
    NonFinite {
        /// The layer or op.
        layer: String,
        /// The array.
        what: &'static str,
        /// Index of the first offender.
        index: usize,
        /// The offender.
        value: f64,
    },
    /// A name that is declared already, or one that is not.
    #[error("parameter {name:?} {problem}")]
    Parameter {
        /// The parameter's name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A backward asked the tape for something other than what the forward left there.
    #[error(
        "{layer}: the tape holds {found} where the backward needs {expected}: run the forward first, on a recording tape"
    )]
    Tape {
        /// The layer or op.
        layer: String,
        /// What the backward needs.
        expected: &'static str,
        /// What is on the tape.
        found: &'static str,
    },
    /// A product or a quantiser failed.
    #[error("{layer}: {source}")]
    Core {
        /// The layer or op.
        layer: String,
        /// What was wrong.
        source: ternary_core::Error,
    },
}

/// Names the layer in an error of the core.
pub(crate) trait InLayer<T> {
    fn in_layer(self, layer: &str) -> Result<T>;
}

impl<T> InLayer<T> for ternary_core::Result<T> {
    fn in_layer(self, layer: &str) -> Result<T> {
        self.map_err(|source| Error::Core { layer: layer.to_owned(), source })
    }
}

/// Checks a size against what a layer needs.
///
/// # Errors
/// [`Error::Shape`] with the name of the layer.
pub fn check_size(layer: &str, what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        Ok(())
    } else {
        Err(Error::Shape { layer: layer.to_owned(), what, expected, found })
    }
}
