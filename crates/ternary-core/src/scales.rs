//! Scales: the real numbers that turn trits into weights.
//!
//! A weight is `+positive` where its trit is +1, `−negative` where it is −1 and `0` elsewhere. A
//! symmetric scale has one number α for both signs. [`Granularity`] says how many weights share one:
//!
//! ```text
//!            per tensor            per row               per group of 4
//!          ┌───────────────┐     ┌───────────────┐     ┌───────┬───────┐
//!  row 0   │               │     │       α₀      │     │  α₀   │  α₁   │
//!  row 1   │       α₀      │     ├───────────────┤     ├───────┼───────┤
//!          │               │     │       α₁      │     │  α₂   │  α₃   │
//!          └───────────────┘     └───────────────┘     └───────┴───────┘
//! ```

use std::num::NonZeroUsize;

use crate::error::{Error, Result, check_length};

/// How many weights share one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// One scale for the whole matrix.
    Tensor,
    /// One scale for each row (output).
    Row,
    /// One scale for each run of this many columns of a row. It must divide the row.
    Group(NonZeroUsize),
}

impl Granularity {
    /// A group of `columns` columns.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when `columns` is zero.
    pub fn group(columns: usize) -> Result<Self> {
        NonZeroUsize::new(columns).map(Self::Group).ok_or(Error::OutOfRange {
            what: "group size",
            expected: "at least one column",
            index: 0,
            value: 0.0,
        })
    }

    /// Columns of one row that share a scale: the group, or the whole row.
    ///
    /// # Errors
    /// [`Error::Block`] when a group does not divide `cols`.
    pub fn columns_per_scale(self, cols: usize) -> Result<usize> {
        match self {
            Self::Tensor | Self::Row => Ok(cols),
            Self::Group(block) if cols % block == 0 => Ok(block.get()),
            Self::Group(block) => {
                Err(Error::Block { what: "group scales", block: block.get(), found: cols })
            }
        }
    }

    /// Scales (of each sign) that a `rows × cols` matrix needs.
    ///
    /// # Errors
    /// [`Error::Block`] when a group does not divide `cols`, [`Error::ShapeOverflow`].
    pub fn count(self, rows: usize, cols: usize) -> Result<usize> {
        let block = self.columns_per_scale(cols)?;
        let count = match self {
            Self::Tensor => Some(1),
            Self::Row => Some(rows),
            Self::Group(_) => rows.checked_mul(cols / block),
        };
        // The three numbers that a group of a learned rule has must be addressable.
        count
            .filter(|count| isize::try_from(count.saturating_mul(16)).is_ok())
            .ok_or(Error::ShapeOverflow { rows, cols })
    }

    /// Index of the scale of row `row` and scale segment `segment` (which group of the row), where
    /// a row has `segments` of them.
    #[inline]
    pub fn index(self, row: usize, segment: usize, segments: usize) -> usize {
        match self {
            Self::Tensor => 0,
            Self::Row => row,
            Self::Group(_) => row * segments + segment,
        }
    }
}

/// The numbers of one [`Scales`]: one α, or a pair, for each scaling group.
#[derive(Debug, Clone, PartialEq)]
enum Values {
    Symmetric(Vec<f32>),
    Asymmetric { negative: Vec<f32>, positive: Vec<f32> },
}

/// One or two non-negative numbers for each scaling group of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Scales {
    granularity: Granularity,
    values: Values,
}

impl Scales {
    /// Symmetric scales: weight = α · trit.
    ///
    /// # Errors
    /// [`Error::NonFinite`] or [`Error::OutOfRange`] for a NaN, infinite or negative scale.
    pub fn symmetric(granularity: Granularity, alpha: Vec<f32>) -> Result<Self> {
        check_scales("scales", &alpha)?;
        Ok(Self { granularity, values: Values::Symmetric(exact(alpha)) })
    }

    /// Asymmetric scales (TTQ): weight = `positive` for +1 and `−negative` for −1.
    ///
    /// # Errors
    /// As [`Scales::symmetric`], and [`Error::Length`] when the two differ in length.
    pub fn asymmetric(
        granularity: Granularity,
        negative: Vec<f32>,
        positive: Vec<f32>,
    ) -> Result<Self> {
        check_length("positive scales", negative.len(), positive.len())?;
        check_scales("negative scales", &negative)?;
        check_scales("positive scales", &positive)?;
        let values = Values::Asymmetric { negative: exact(negative), positive: exact(positive) };
        Ok(Self { granularity, values })
    }

    /// One α for the whole matrix.
    ///
    /// # Errors
    /// As [`Scales::symmetric`].
    pub fn tensor(alpha: f32) -> Result<Self> {
        Self::symmetric(Granularity::Tensor, vec![alpha])
    }

    /// How many weights share a scale.
    pub fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// Number of scaling groups.
    pub fn len(&self) -> usize {
        self.negative().len()
    }

    /// Whether there is no scaling group at all (a matrix without rows).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both signs share one number.
    pub fn is_symmetric(&self) -> bool {
        matches!(self.values, Values::Symmetric(_))
    }

    /// Magnitudes of the weights whose trit is −1, a number for each scaling group.
    pub fn negative(&self) -> &[f32] {
        match &self.values {
            Values::Symmetric(alpha) => alpha,
            Values::Asymmetric { negative, .. } => negative,
        }
    }

    /// Magnitudes of the weights whose trit is +1, a number for each scaling group.
    pub fn positive(&self) -> &[f32] {
        match &self.values {
            Values::Symmetric(alpha) => alpha,
            Values::Asymmetric { positive, .. } => positive,
        }
    }

    /// The numbers of each sign; the negative ones only where they are apart.
    pub(crate) fn parts_mut(&mut self) -> (Option<&mut [f32]>, &mut [f32]) {
        match &mut self.values {
            Values::Symmetric(alpha) => (None, alpha),
            Values::Asymmetric { negative, positive } => (Some(negative), positive),
        }
    }

    /// The weight that trit `trit` stands for in scaling group `group`.
    ///
    /// # Panics
    /// When `group` is out of range.
    #[inline]
    pub fn value(&self, group: usize, trit: i8) -> f32 {
        match trit {
            1 => self.positive()[group],
            -1 => -self.negative()[group],
            _ => 0.0,
        }
    }

    /// Checks that there is a scale for each scaling group of a `rows × cols` matrix.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Block`] or [`Error::ShapeOverflow`].
    pub fn check_shape(&self, rows: usize, cols: usize) -> Result<()> {
        check_length("scales", self.granularity.count(rows, cols)?, self.len())
    }

    /// Bytes on the heap.
    pub fn size_bytes(&self) -> usize {
        let numbers = if self.is_symmetric() { self.len() } else { 2 * self.len() };
        numbers * size_of::<f32>()
    }
}

/// Drops spare capacity, so that [`Scales::size_bytes`] is what is allocated.
fn exact(values: Vec<f32>) -> Vec<f32> {
    values.into_boxed_slice().into_vec()
}

/// Checks that every scale is a finite number of at least 0.
pub(crate) fn check_scales(what: &'static str, values: &[f32]) -> Result<()> {
    for (index, &value) in values.iter().enumerate() {
        let value = f64::from(value);
        if !value.is_finite() {
            return Err(Error::NonFinite { what, index, value });
        }
        if value < 0.0 {
            return Err(Error::OutOfRange {
                what,
                expected: "numbers of at least 0",
                index,
                value,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_does_not_divide_the_row_is_refused() {
        let group = Granularity::group(3).unwrap();
        assert_eq!(
            group.count(2, 8),
            Err(Error::Block { what: "group scales", block: 3, found: 8 })
        );
        assert_eq!(group.count(2, 9), Ok(6));
        assert!(Granularity::group(0).is_err());
    }

    #[test]
    fn non_finite_and_negative_scales_are_refused_with_their_index() {
        let bad = Scales::symmetric(Granularity::Row, vec![1.0, f32::NAN]);
        assert!(matches!(bad, Err(Error::NonFinite { index: 1, .. })));
        let bad = Scales::asymmetric(Granularity::Row, vec![1.0, 2.0], vec![1.0, -0.5]);
        assert!(matches!(bad, Err(Error::OutOfRange { index: 1, .. })));
        let bad = Scales::asymmetric(Granularity::Row, vec![1.0], vec![]);
        assert!(matches!(bad, Err(Error::Length { .. })));
    }

    #[test]
    fn an_asymmetric_scale_gives_each_sign_its_own_magnitude() {
        let scales = Scales::asymmetric(Granularity::Tensor, vec![2.0], vec![3.0]).unwrap();
        assert_eq!([-1, 0, 1].map(|t| scales.value(0, t)), [-2.0, 0.0, 3.0]);
        assert_eq!(scales.size_bytes(), 8);
    }
}
