//! What a case is, and what it reports.

use std::error::Error;

/// What a case's own functions return: any error fails the case.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// One check of some ops or types.
pub(crate) trait Case: Send + Sync {
    /// What tells it from all others.
    fn name(&self) -> &str;
    /// The ops and types that it checks, by the names that the scan of the source gives them.
    fn covers(&self) -> &[&'static str];
    /// Runs it: a row for each array.
    ///
    /// # Errors
    ///
    /// What kept it from being compared at all.
    fn run(&self) -> Outcome<Vec<Row>>;
}

/// What was compared in a row, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every entry of an analytic gradient against the numeric one.
    Gradient,
    /// A gradient that is declared to be exactly zero.
    Zero,
    /// A gradient added to a buffer that holds something, against one added to zeros.
    Added,
    /// ⟨u, Jv⟩ against ⟨Jᵀu, v⟩.
    Transpose,
    /// Two computations of the same numbers.
    Comparison,
}

impl Kind {
    /// The word for it in reports.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Gradient => "gradient",
            Self::Zero => "zero",
            Self::Added => "added",
            Self::Transpose => "transpose",
            Self::Comparison => "comparison",
        }
    }
}

/// How one array of a case compares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The array.
    pub(crate) array: String,
    /// What was compared.
    pub(crate) kind: Kind,
    /// Entries compared: all of them.
    pub(crate) entries: usize,
    /// The largest error.
    pub(crate) largest_error: f64,
    /// What is allowed at the entry that comes nearest to it, or exceeds it the most.
    pub(crate) allowed: f64,
    /// The largest error as a share of what is allowed; infinite where a number is not finite.
    pub(crate) worst: f64,
    /// Whether every entry is within what is allowed.
    pub(crate) passed: bool,
    /// The entry and what it was compared with, where it is not.
    pub(crate) fault: Option<String>,
}

impl Row {
    /// Compares `found` with `expected` entry by entry; `allowed(i)` is the bound of entry `i`, and
    /// `uncertainty(i)`, how far `expected[i]` may be off itself, must lie within it too.
    pub(crate) fn compare(
        array: impl Into<String>,
        kind: Kind,
        found: &[f64],
        expected: &[f64],
        allowed: impl Fn(usize) -> f64,
        uncertainty: impl Fn(usize) -> f64,
    ) -> Self {
        let mut row = Self {
            array: array.into(),
            kind,
            entries: expected.len(),
            largest_error: 0.0,
            allowed: 0.0,
            worst: 0.0,
            passed: true,
            fault: None,
        };
        if found.len() != expected.len() {
            return row.fail(format!("has {} entries, not {}", found.len(), expected.len()));
        }
        for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let (error, allowed, uncertainty) =
                ((found - expected).abs(), allowed(i), uncertainty(i));
            if !(error.is_finite() && allowed.is_finite() && uncertainty.is_finite()) {
                return row.fail(format!(
                    "entry {i}: {found:e}, expected {expected:e} ± {uncertainty:e}: not finite"
                ));
            }
            let larger = error.max(uncertainty);
            let share = if larger == 0.0 { 0.0 } else { larger / allowed };
            row.largest_error = row.largest_error.max(error);
            if i == 0 || share > row.worst {
                (row.worst, row.allowed) = (share, allowed);
                if larger > allowed {
                    row.passed = false;
                    row.fault = Some(format!(
                        "entry {i}: {found:e}, expected {expected:e} ± {uncertainty:.1e}, \
                         off by {error:.1e}, allowed {allowed:.1e}"
                    ));
                }
            }
        }
        row
    }

    /// The row as one that failed for a reason of its own.
    pub(crate) fn fail(mut self, fault: String) -> Self {
        (self.passed, self.worst, self.fault) = (false, f64::INFINITY, Some(fault));
        self
    }
}

/// The largest magnitude; 0 of nothing.
pub(crate) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(found: &[f64], expected: &[f64], allowed: f64) -> Row {
        Row::compare("x", Kind::Comparison, found, expected, |_| allowed, |_| 0.0)
    }

    #[test]
    fn every_entry_is_held_to_its_bound() {
        let row = compare(&[1.0, 2.5], &[1.0, 2.0], 0.5);
        assert!(row.passed && row.fault.is_none());
        assert_eq!((row.entries, row.largest_error, row.worst), (2, 0.5, 1.0));
        let row = compare(&[1.0, 2.5, 4.0], &[1.0, 2.0, 3.0], 0.4);
        assert!(!row.passed);
        assert_eq!((row.largest_error, row.worst), (1.0, 2.5));
        assert!(row.fault.unwrap().starts_with("entry 2"));
    }

    #[test]
    fn an_expectation_that_is_less_certain_than_the_bound_fails() {
        let row = Row::compare("x", Kind::Gradient, &[1.0], &[1.0], |_| 1e-8, |_| 1e-7);
        assert!(!row.passed);
    }

    #[test]
    fn what_is_not_finite_fails_wherever_it_stands() {
        let nan = f64::NAN;
        for row in [
            compare(&[nan], &[1.0], 1.0),
            compare(&[1.0], &[nan], 1.0),
            compare(&[1.0], &[1.0], nan),
            compare(&[f64::INFINITY], &[1.0], f64::INFINITY),
            compare(&[f64::INFINITY], &[f64::INFINITY], 1.0),
            Row::compare("x", Kind::Gradient, &[1.0], &[1.0], |_| 1.0, |_| nan),
        ] {
            assert!(!row.passed && row.worst.is_infinite(), "{row:?}");
        }
    }

    #[test]
    fn missing_entries_fail() {
        assert!(!compare(&[1.0], &[1.0, 1.0], 1.0).passed);
    }

    #[test]
    fn nothing_allowed_and_nothing_off_passes() {
        assert!(compare(&[0.0, 1.0], &[0.0, 1.0], 0.0).passed);
        assert!(!compare(&[0.0, 1e-300], &[0.0, 0.0], 0.0).passed);
    }
}
