//! What was checked, and what came of it.

use std::fmt;

use crate::fixtures::distance::relative_error;
use crate::parity::Outcome;

/// All checks in their order.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Check>);

#[derive(Debug)]
struct Check {
    name: String,
    passed: bool,
    /// By how much, or why not.
    told: String,
}

/// What passes, and what was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) passed: bool,
    pub(super) told: String,
}

impl Finding {
    /// Whether numbers are near others: relative to the largest of those.
    pub(super) fn near(found: &[f64], expected: &[f64], allowed: f64) -> Self {
        let (numbers, expected_numbers) = (found.len(), expected.len());
        if numbers != expected_numbers || numbers == 0 {
            let told = format!("expected {expected_numbers} numbers, found {numbers}");
            return Self { passed: false, told };
        }
        let error = relative_error(found, expected);
        let told = format!("{numbers} numbers, off by {error:.1e} of {allowed:.0e}");
        // What is no number is not below anything.
        Self { passed: error <= allowed, told }
    }

    /// Whether each of some numbers is near another, relative to that: `count` of them.
    pub(super) fn each_near(found: &[f64], expected: &[f64], count: usize, allowed: f64) -> Self {
        let (numbers, expected_numbers) = (found.len(), expected.len());
        if numbers != count || expected_numbers != count {
            let told = format!("expected {count} numbers, found {numbers} and {expected_numbers}");
            return Self { passed: false, told };
        }
        let error = |(found, expected): (&f64, &f64)| (found - expected).abs() / expected.abs();
        let errors: Vec<f64> = found.iter().zip(expected).map(error).collect();
        let worst = errors.iter().copied().fold(0.0, f64::max);
        let told = format!("{numbers} numbers, each off by at most {worst:.1e} of {allowed:.0e}");
        Self { passed: errors.iter().all(|&error| error <= allowed), told }
    }
}

impl Checks {
    /// Runs a check; one that ends with an error has failed.
    pub(super) fn add(&mut self, name: String, check: impl FnOnce() -> Outcome<Finding>) {
        let Finding { passed, told } = check().unwrap_or_else(|error| {
            // The first line says what is wrong, the rest where.
            let told = error.to_string().lines().next().unwrap_or_default().to_owned();
            Finding { passed: false, told }
        });
        self.0.push(Check { name, passed, told });
    }

    pub(super) fn failed(&self) -> usize {
        self.0.iter().filter(|check| !check.passed).count()
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        for Check { name, passed, told } in &self.0 {
            let verdict = if *passed { "ok    " } else { "FAILED" };
            writeln!(f, "{verdict}  {name:<width$}  {told}")?;
        }
        writeln!(f, "{} passed, {} failed", self.0.len() - self.failed(), self.failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_near_within_what_is_allowed_of_the_largest_and_only_as_many_as_expected() {
        let near = |found: &[f64], allowed| Finding::near(found, &[1.0, -4.0], allowed).passed;
        assert!(near(&[1.0, -4.0], 0.0) && near(&[1.25, -4.0], 0.0625));
        assert!(!near(&[1.25, -4.0], 0.0624) && !near(&[1.0], 1.0) && !near(&[], 1.0));
        assert!(!near(&[1.0, f64::NAN], 1.0));
        assert!(!Finding::near(&[], &[], 1.0).passed);
    }

    #[test]
    fn each_of_some_numbers_is_held_to_itself_and_to_their_count() {
        let near = |found: &[f64]| Finding::each_near(found, &[1.0, -4.0], 2, 0.0625).passed;
        assert!(near(&[1.0, -4.0]) && near(&[1.0625, -4.25]));
        // A sixteenth of the largest is more than one of the smallest.
        assert!(!near(&[1.25, -4.0]) && !near(&[1.0, f64::NAN]) && !near(&[1.0]));
        assert!(!Finding::each_near(&[1.0, 2.0], &[1.0, 2.0], 3, 1.0).passed);
        assert!(!Finding::each_near(&[], &[], 20, 1.0).passed);
    }

    #[test]
    fn checks_that_fail_or_end_with_an_error_are_counted_and_told() {
        let mut checks = Checks::default();
        let finding = |passed| Ok(Finding { passed, told: "told".into() });
        checks.add("first".into(), || finding(true));
        checks.add("the second".into(), || finding(false));
        checks.add("third".into(), || Err("no file\nin the folder".into()));
        let expected = "\
ok      first       told
FAILED  the second  told
FAILED  third       no file
1 passed, 2 failed
";
        assert_eq!((checks.to_string().as_str(), checks.failed()), (expected, 2));
    }
}
