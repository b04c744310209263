//! Ratios of times, row by row.

use std::collections::BTreeSet;
use std::fmt;

use super::rows::{Identity, Times};

/// How the times of one row compare.
#[derive(Debug, Clone, PartialEq)]
struct Ratio {
    identity: Identity,
    /// Median times in microseconds.
    us: [f64; 2],
    /// Median over the rounds of time A / time B: above 1, B is faster.
    median: f64,
    /// Smallest and largest ratio of a round.
    spread: [f64; 2],
    /// Whether the bench trusted every time.
    steady: bool,
}

/// How two revisions compare.
#[derive(Debug, PartialEq)]
pub(crate) struct Comparison {
    ratios: Vec<Ratio>,
    /// Rows without a partner in some round.
    unpaired: Vec<Identity>,
}

impl Comparison {
    /// Compares rounds of (A, B). A row counts when every round has it on both sides.
    pub(crate) fn of(rounds: &[(Times, Times)]) -> Self {
        let reports = || rounds.iter().flat_map(|(a, b)| [a, b]);
        let identities: BTreeSet<&Identity> = reports().flat_map(Times::keys).collect();
        let mut comparison = Self { ratios: Vec::new(), unpaired: Vec::new() };
        for identity in identities {
            let pairs = rounds.iter().map(|(a, b)| Some((*a.get(identity)?, *b.get(identity)?)));
            let Some(pairs) = pairs.collect::<Option<Vec<_>>>() else {
                comparison.unpaired.push(identity.clone());
                continue;
            };
            let ratios = sorted(pairs.iter().map(|(a, b)| a.us / b.us));
            comparison.ratios.push(Ratio {
                identity: identity.clone(),
                us: [
                    median(&sorted(pairs.iter().map(|(a, _)| a.us))),
                    median(&sorted(pairs.iter().map(|(_, b)| b.us))),
                ],
                median: median(&ratios),
                spread: [ratios[0], ratios[ratios.len() - 1]],
                steady: pairs.iter().all(|(a, b)| a.steady && b.steady),
            });
        }
        comparison
    }

    /// Whether no row could be compared.
    pub(crate) fn is_empty(&self) -> bool {
        self.ratios.is_empty()
    }

    /// exp(mean over rows of ln median): the factor that is the same whichever of A and B divides.
    fn geometric_mean(&self) -> f64 {
        let logarithms: f64 = self.ratios.iter().map(|ratio| ratio.median.ln()).sum();
        (logarithms / self.ratios.len() as f64).exp()
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The middle of sorted values, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.ratios.iter().map(|ratio| ratio.identity.len()).max().unwrap_or(0).max(14);
        if !self.is_empty() {
            let (a, b, ratio, spread) = ("A, us", "B, us", "A/B", "min-max");
            writeln!(f, "{:width$} {a:>12} {b:>12} {ratio:>7}  {spread}", "row")?;
        }
        for Ratio { identity, us: [a, b], median, spread: [min, max], steady } in &self.ratios {
            let note = if *steady { "" } else { "  not steady" };
            writeln!(
                f,
                "{identity:width$} {a:>12.1} {b:>12.1} {median:>7.3}  {min:.3}-{max:.3}{note}"
            )?;
        }
        if !self.is_empty() {
            let mean = self.geometric_mean();
            writeln!(f, "{:width$} {:>12} {:>12} {mean:>7.3}", "geometric mean", "", "")?;
            writeln!(f, "A/B is time over time: above 1, B is the faster.")?;
        }
        for identity in &self.unpaired {
            writeln!(f, "not compared, because only some of the reports have it: {identity}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Time;
    use super::*;

    fn times(rows: &[(&str, f64)]) -> Times {
        let time = |us| Time { us, steady: us < 1000.0 };
        rows.iter().map(|&(identity, us)| (identity.to_owned(), time(us))).collect()
    }

    #[test]
    fn a_ratio_is_the_median_of_the_ratios_of_the_rounds() {
        // The machine slows down threefold after the first round; the ratios do not mind.
        let rounds = [
            (times(&[("gemm", 20.0)]), times(&[("gemm", 10.0)])),
            (times(&[("gemm", 60.0)]), times(&[("gemm", 25.0)])),
            (times(&[("gemm", 63.0)]), times(&[("gemm", 30.0)])),
        ];
        let comparison = Comparison::of(&rounds);
        let ratio = &comparison.ratios[0];
        assert_eq!((ratio.median, ratio.spread, ratio.us), (2.1, [2.0, 2.4], [60.0, 25.0]));
        assert!(ratio.steady);
    }

    #[test]
    fn an_even_number_of_rounds_has_the_middle_between_two() {
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert_eq!(median(&[5.0]), 5.0);
    }

    #[test]
    fn twice_as_fast_and_twice_as_slow_are_one_in_the_mean() {
        let rounds = [(times(&[("a", 10.0), ("b", 10.0)]), times(&[("a", 5.0), ("b", 20.0)]))];
        let comparison = Comparison::of(&rounds);
        assert!((comparison.geometric_mean() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_row_that_one_report_lacks_is_named_and_not_compared() {
        let rounds = [(times(&[("a", 1.0), ("b", 1.0)]), times(&[("a", 1.0)]))];
        let comparison = Comparison::of(&rounds);
        assert_eq!(comparison.unpaired, ["b"]);
        assert_eq!(comparison.ratios.len(), 1);
        let nothing = Comparison::of(&[(times(&[("a", 1.0)]), times(&[]))]);
        assert!(nothing.is_empty());
        assert!(nothing.to_string().ends_with("have it: a\n"));
    }

    #[test]
    fn the_table_has_a_line_for_each_row_and_the_mean() {
        let rounds = [(times(&[("gemv2 k=64", 1500.0)]), times(&[("gemv2 k=64", 1000.0)]))];
        let table = Comparison::of(&rounds).to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "row                   A, us        B, us     A/B  min-max");
        assert_eq!(
            lines[1],
            "gemv2 k=64           1500.0       1000.0   1.500  1.500-1.500  not steady"
        );
        assert_eq!(lines[2], "geometric mean                             1.500");
        assert_eq!(lines.len(), 4);
    }
}
