//! Shapes on the command line.

use std::fmt;
use std::str::FromStr;

/// A weight matrix by its inputs and outputs: written `KxN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Inputs: the columns of the matrix.
    pub(crate) k: usize,
    /// Outputs: its rows.
    pub(crate) n: usize,
}

impl Shape {
    /// The shapes measured when none is named: projections of models of 2 to 8 billion weights.
    pub(crate) const DEFAULT: [Self; 5] = [
        Self { k: 2560, n: 2560 },
        Self { k: 2560, n: 6912 },
        Self { k: 6912, n: 2560 },
        Self { k: 4096, n: 4096 },
        Self { k: 4096, n: 14336 },
    ];

    /// The smallest of [`Shape::DEFAULT`], which the goals for reading from DRAM leave out: so few
    /// microseconds that starting counts.
    pub(crate) const SMALLEST: Self = Self::DEFAULT[0];

    /// Weights of the matrix.
    pub(crate) fn weights(self) -> usize {
        self.k * self.n
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.k, self.n)
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (k, n) = text.split_once('x').ok_or_else(|| format!("expected KxN, found {text:?}"))?;
        let (k, n) = (parse_positive(k)?, parse_positive(n)?);
        // An f32 copy of the matrix must be addressable.
        match k.checked_mul(n).and_then(|weights| weights.checked_mul(8)) {
            Some(bytes) if isize::try_from(bytes).is_ok() => Ok(Self { k, n }),
            _ => Err(format!("a matrix of {text} does not fit this machine's address space")),
        }
    }
}

/// A positive number in plain digits.
pub(crate) fn parse_positive(text: &str) -> Result<usize, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && number > 0 => Ok(number),
        Err(_) if digits => Err(format!("{text} does not fit this machine's address space")),
        _ => Err(format!("expected a positive number, found {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_inputs_by_outputs() {
        let shape: Shape = "2560x6912".parse().unwrap();
        assert_eq!(shape, Shape { k: 2560, n: 6912 });
        assert_eq!(shape.to_string(), "2560x6912");
    }

    #[test]
    fn anything_else_is_an_error_that_shows_what_was_found() {
        for text in ["", "x", "5", "0x5", "5x0", "axb", "5xb", "+5x5", "5x5x5", "5 x5", "-1x5"] {
            let error = text.parse::<Shape>().unwrap_err();
            assert!(error.contains("expected"), "{text:?}: {error}");
        }
        let huge = usize::MAX.to_string();
        for text in [format!("{huge}x1"), format!("{huge}0x1"), "4294967296x4294967296".into()] {
            let error = text.parse::<Shape>().unwrap_err();
            assert!(error.contains("does not fit"), "{text:?}: {error}");
        }
    }
}
