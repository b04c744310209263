//! What the arrays of a ternary matrix do not say themselves, in a line of the metadata.
//!
//! ```text
//! 3x10 two-bit group-5 asymmetric
//! │ │  │       │       └ symmetric: NAME_scale; asymmetric: NAME_scale_negative, NAME_scale_positive
//! │ │  │       └ how many weights share a scale: tensor, row or group-COLUMNS
//! │ │  └ how a byte holds trits: two-bit or five-trits
//! rows x columns
//! ```

use std::fmt;
use std::str::FromStr;

use ternary_core::{Granularity, Layout, Packing, TernaryMatrix};

/// What the name of an array of scales may end with.
pub(crate) const SCALE_SUFFIXES: [&str; 3] = ["_scale", "_scale_negative", "_scale_positive"];

/// Everything about a ternary matrix but its trits and scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) packing: Packing,
    pub(crate) granularity: Granularity,
    pub(crate) symmetric: bool,
}

impl Description {
    pub(crate) fn of(matrix: &TernaryMatrix) -> Self {
        Self {
            rows: matrix.rows(),
            cols: matrix.cols(),
            packing: matrix.packing(),
            granularity: matrix.scales().granularity(),
            symmetric: matrix.scales().is_symmetric(),
        }
    }

    /// Where the trits live in memory.
    pub(crate) fn layout(&self) -> ternary_core::Result<Layout> {
        let segment = self.granularity.columns_per_scale(self.cols)?;
        Layout::new(self.rows, self.cols, segment, self.packing)
    }

    /// The shape of the codes: bytes of the rows.
    pub(crate) fn codes_shape(&self) -> Vec<usize> {
        vec![self.rows, self.packing.row_major_bytes(self.cols)]
    }

    /// The shape of the scales: as many dimensions as tell them apart.
    ///
    /// # Errors
    /// A group that does not divide the row.
    pub(crate) fn scales_shape(&self) -> ternary_core::Result<Vec<usize>> {
        let columns = self.granularity.columns_per_scale(self.cols)?;
        Ok(match self.granularity {
            Granularity::Tensor => vec![],
            Granularity::Row => vec![self.rows],
            Granularity::Group(_) => vec![self.rows, self.cols / columns],
        })
    }

    /// What the names of its scales end with.
    pub(crate) fn scale_suffixes(&self) -> &'static [&'static str] {
        if self.symmetric { &SCALE_SUFFIXES[..1] } else { &SCALE_SUFFIXES[1..] }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packing = match self.packing {
            Packing::TwoBit => "two-bit",
            Packing::FiveTrits => "five-trits",
        };
        write!(f, "{}x{} {packing} ", self.rows, self.cols)?;
        match self.granularity {
            Granularity::Tensor => write!(f, "tensor")?,
            Granularity::Row => write!(f, "row")?,
            Granularity::Group(columns) => write!(f, "group-{columns}")?,
        }
        write!(f, " {}", if self.symmetric { "symmetric" } else { "asymmetric" })
    }
}

impl FromStr for Description {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<_> = text.split(' ').collect();
        let &[shape, packing, granularity, signs] = &words[..] else { return Err(()) };
        let (rows, cols) = shape.split_once('x').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        let packing = match packing {
            "two-bit" => Packing::TwoBit,
            "five-trits" => Packing::FiveTrits,
            _ => return Err(()),
        };
        let granularity = match granularity {
            "tensor" => Granularity::Tensor,
            "row" => Granularity::Row,
            _ => {
                let columns = granularity.strip_prefix("group-").ok_or(())?;
                Granularity::group(number(columns)?).map_err(|_| ())?
            }
        };
        let (rows, cols) = (number(rows)?, number(cols)?);
        let symmetric = signs == "symmetric";
        let description = Self { rows, cols, packing, granularity, symmetric };
        // A description has one spelling: no sign, no leading zero.
        if description.to_string() == text { Ok(description) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read_as_it_was_written_and_in_no_other_spelling() {
        for granularity in [Granularity::Tensor, Granularity::Row, Granularity::group(5).unwrap()] {
            for packing in Packing::ALL {
                for symmetric in [true, false] {
                    let (rows, cols) = (3, 10);
                    let wanted = Description { rows, cols, packing, granularity, symmetric };
                    assert_eq!(wanted.to_string().parse(), Ok(wanted));
                }
            }
        }
        let example = "3x10 two-bit group-5 asymmetric";
        assert_eq!(example.parse::<Description>().unwrap().to_string(), example);
        for wrong in [
            "",
            "3x10 two-bit group-5",
            "3x10 two-bit group-5 asymmetric ",
            "3x10  two-bit group-5 asymmetric",
            "+3x10 two-bit group-5 asymmetric",
            "3x010 two-bit group-5 asymmetric",
            "3x-1 two-bit group-5 asymmetric",
            "3x18446744073709551616 two-bit group-5 asymmetric",
            "3x10 two-bit group-0 asymmetric",
            "3x10 two-bit group asymmetric",
            "3x10 two-bit tensor lopsided",
            "3x10 one-bit tensor symmetric",
        ] {
            assert_eq!(wrong.parse::<Description>(), Err(()), "{wrong:?}");
        }
    }
}
