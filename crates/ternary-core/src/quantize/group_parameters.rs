//! Learned parameters, one set for each scaling group.

use crate::error::{Error, Result, check_length};
use crate::scales::Granularity;
use crate::weights::Weights;

/// One `T` for each scaling group, in the order of [`Granularity::index`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GroupParameters<T> {
    granularity: Granularity,
    values: Vec<T>,
}

impl<T: Copy> GroupParameters<T> {
    /// Parameters that `check` (given the group and its parameter) accepts.
    pub(super) fn new(
        granularity: Granularity,
        values: Vec<T>,
        check: impl Fn(usize, T) -> Result<()>,
    ) -> Result<Self> {
        values.iter().enumerate().try_for_each(|(group, &value)| check(group, value))?;
        Ok(Self { granularity, values })
    }

    /// What `start` gives for the weights of each group of a `rows × cols` matrix.
    pub(super) fn initialised(
        granularity: Granularity,
        rows: usize,
        cols: usize,
        weights: Weights<'_>,
        start: impl Fn(Weights<'_>) -> Result<T>,
    ) -> Result<Self> {
        let count = granularity.count(rows, cols)?;
        let elements = rows.checked_mul(cols).ok_or(Error::ShapeOverflow { rows, cols })?;
        check_length("latent weights", elements, weights.len())?;
        weights.check_finite()?;
        // The weights of a group are contiguous whatever the granularity.
        let size = elements.checked_div(count).unwrap_or(0);
        let groups = (0..count).map(|group| weights.slice(group * size..(group + 1) * size));
        Ok(Self { granularity, values: groups.map(start).collect::<Result<_>>()? })
    }

    pub(super) fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// The parameter of one group.
    pub(super) fn get(&self, group: usize) -> Result<T> {
        self.values.get(group).copied().ok_or_else(|| Error::Mismatch {
            what: "scaling group",
            expected: format!("an index below {}", self.values.len()),
            found: group.to_string(),
        })
    }

    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    pub(super) fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }
}

/// Checks that a learned scale is positive and finite.
pub(super) fn check_scale(what: &'static str, group: usize, scale: f32) -> Result<()> {
    let value = f64::from(scale);
    if !scale.is_finite() {
        return Err(Error::NonFinite { what, index: group, value });
    }
    if scale <= 0.0 {
        let expected = "a number above 0";
        return Err(Error::OutOfRange { what, expected, index: group, value });
    }
    Ok(())
}
