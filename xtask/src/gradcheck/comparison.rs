//! The second kind of case: two computations of the same numbers, such as the `f32` fast path and the
//! generic path in `f64`, or a rule that is no derivative of anything and its naive oracle.

use super::case::{Case, Kind, Outcome, Row};

/// The relative error of one rounding to `f32`: 2⁻²⁴.
pub(crate) const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;

/// Two arrays that must be the same, and by how much each entry may be off.
pub(crate) struct Pair {
    /// The array.
    pub(crate) array: String,
    /// What the code under test computed.
    pub(crate) found: Vec<f64>,
    /// What it should be.
    pub(crate) expected: Vec<f64>,
    /// The bound of each entry.
    pub(crate) allowed: Vec<f64>,
}

impl Pair {
    /// Numbers of the fast path beside those of the generic one. A sum of `k` products of magnitude Σ|aᵢbᵢ| =
    /// `magnitude` that rounds in `f32` is off by at most (k + 1)·2⁻²⁴·Σ|aᵢbᵢ| to first order, in any
    /// order of summation.
    pub(crate) fn sums(
        array: impl Into<String>,
        fast: &[f32],
        exact: &[f64],
        k: usize,
        magnitude: impl Fn(usize) -> f64,
    ) -> Self {
        let rounding = (k + 1) as f64 * ROUNDING;
        Self {
            array: array.into(),
            found: fast.iter().map(|&value| f64::from(value)).collect(),
            expected: exact.to_vec(),
            allowed: (0..exact.len()).map(|i| rounding * magnitude(i)).collect(),
        }
    }
}

type Compute = dyn Fn() -> Outcome<Vec<Pair>> + Send + Sync;

/// A case that compares two computations.
pub(crate) struct Comparison {
    name: String,
    covers: Vec<&'static str>,
    compute: Box<Compute>,
}

impl Comparison {
    /// `compute` runs both.
    pub(crate) fn new(
        name: impl Into<String>,
        covers: &[&'static str],
        compute: impl Fn() -> Outcome<Vec<Pair>> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), covers: covers.to_vec(), compute: Box::new(compute) }
    }
}

impl Case for Comparison {
    fn name(&self) -> &str {
        &self.name
    }

    fn covers(&self) -> &[&'static str] {
        &self.covers
    }

    fn run(&self) -> Outcome<Vec<Row>> {
        let rows = (self.compute)()?.into_iter().map(|Pair { array, found, expected, allowed }| {
            Row::compare(array, Kind::Comparison, &found, &expected, |i| allowed[i], |_| 0.0)
        });
        Ok(rows.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(wrong: f32) -> Vec<Row> {
        Comparison::new("dot", &["dot"], move || {
            let (a, b) = ([0.1_f32, -0.7, 0.3], [0.9_f32, 0.2, 0.4]);
            let terms = || a.iter().zip(&b).map(|(&a, &b)| f64::from(a) * f64::from(b));
            let fast = a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>() + wrong;
            let magnitude: f64 = terms().map(f64::abs).sum();
            Ok(vec![Pair::sums("y", &[fast], &[terms().sum()], 3, |_| magnitude)])
        })
        .run()
        .unwrap()
    }

    #[test]
    fn rounding_passes_and_more_than_rounding_fails() {
        assert!(dot(0.0)[0].passed);
        assert!(!dot(1e-5)[0].passed);
        assert!(!dot(f32::NAN)[0].passed);
    }
}
