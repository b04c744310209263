//! The goals that the kernels are held to, and how far the rows come.

use serde_json::{Value, json};

use super::plan::{Kernel, Scale, Source};
use super::shape::Shape;
use crate::bench::report::{Row, percent};

/// A goal, and what the worst row reaches. Only scales per tensor count.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Goal {
    name: String,
    /// The least that every row has to reach.
    least: f64,
    /// The worst figure; none where no row of this run says anything about the goal.
    worst: Option<f64>,
    /// Where the worst figure was measured.
    at: String,
    rows: usize,
    /// Rows that should not be trusted: not steady, or above the roof.
    doubtful: usize,
}

impl Goal {
    /// Whether every row reaches it; none where nothing was measured, or where rows that seem to
    /// reach it are doubtful.
    fn met(&self) -> Option<bool> {
        match self.worst? >= self.least {
            true if self.doubtful > 0 => None,
            reached => Some(reached),
        }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let verdict = match self.met() {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None if self.worst.is_some() => "not steady",
            None => "not measured",
        };
        let at = if self.at.is_empty() { String::new() } else { format!(" at {}", self.at) };
        let doubt = match self.doubtful {
            0 => String::new(),
            count => format!(" ({count} of {} rows not steady)", self.rows),
        };
        let (least, worst) = (percent(Some(self.least)), percent(self.worst));
        format!("{verdict:<12} {worst:>7} of {least:>6}  {}{at}{doubt}", self.name)
    }

    /// The goal as JSON.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "goal": self.name,
            "least": self.least,
            "worst": self.worst,
            "at": self.at,
            "met": self.met(),
            "rows": self.rows,
            "doubtful": self.doubtful,
        })
    }

    /// A goal over the figures that `figure` finds in rows; `None` passes a row over.
    fn over<'a>(
        name: impl Into<String>,
        least: f64,
        rows: &'a [Row],
        figure: impl Fn(&'a Row) -> Option<(f64, bool)>,
    ) -> Self {
        let mut goal =
            Self { name: name.into(), least, worst: None, at: String::new(), rows: 0, doubtful: 0 };
        for row in rows.iter().filter(|row| row.spec.scale == Scale::Tensor) {
            let Some((value, trusted)) = figure(row) else { continue };
            goal.rows += 1;
            goal.doubtful += usize::from(!trusted);
            if goal.worst.is_none_or(|worst| value < worst) {
                goal.worst = Some(value);
                goal.at = format!("{} m={} {}", row.spec.shape, row.spec.m, row.spec.source);
            }
        }
        goal
    }
}

fn is_trusted(row: &Row) -> bool {
    row.measured.steady && !row.measured.fault
}

/// The share of one-thread rows that `choose` picks.
fn share_goal(name: &str, least: f64, rows: &[Row], choose: impl Fn(&Row) -> bool) -> Goal {
    Goal::over(name, least, rows, |row| {
        let chosen = row.spec.threads == 1 && choose(row);
        Some((row.share().filter(|_| chosen)?, is_trusted(row)))
    })
}

/// The goals of the instruction set that the rows were measured with.
pub(crate) fn goals(isa: &str, rows: &[Row]) -> Vec<Goal> {
    match isa {
        isa if isa.starts_with("avx512") => avx512(rows),
        "avx2" => avx2(rows),
        _ => Vec::new(),
    }
}

fn avx512(rows: &[Row]) -> Vec<Goal> {
    use Kernel::{F32Trits, F32TritsT, Gemm, Gemv2, I16Trits, I16TritsT, Requantise};
    let is = |row: &Row, kernel, source| (row.spec.kernel, row.spec.source) == (kernel, source);
    let mut goals = vec![
        share_goal("GEMV from DRAM, 2 bits, share", 0.95, rows, |row| {
            is(row, Gemv2, Source::Dram) && row.spec.shape != Shape::SMALLEST
        }),
        share_goal("GEMV from cache, 2 bits, share", 0.90, rows, |row| {
            is(row, Gemv2, Source::Cache)
        }),
        five_trits(rows),
    ];
    for (m, least) in [(32, 0.60), (128, 0.75), (512, 0.80)] {
        goals.push(share_goal(&format!("GEMM, {m} rows, share"), least, rows, |row| {
            row.spec.kernel == Gemm && row.spec.m == m
        }));
    }
    goals.push(share_goal("requantise f32 from DRAM, share", 0.70, rows, |row| {
        row.spec.kernel == Requantise
    }));
    for kernel in [F32Trits, I16Trits, F32TritsT, I16TritsT] {
        goals.push(share_goal(&format!("{kernel}, 512 rows, share"), 0.75, rows, |row| {
            row.spec.kernel == kernel && row.spec.m == 512
        }));
    }
    goals.push(scaling("GEMM", rows, |row| row.spec.kernel == Gemm && row.spec.m >= 128));
    goals.push(scaling("GEMV from DRAM", rows, |row| is(row, Gemv2, Source::Dram)));
    goals
}

fn avx2(rows: &[Row]) -> Vec<Goal> {
    vec![
        share_goal("GEMM, 128 rows and more, share of vpmaddubsw", 0.77, rows, |row| {
            row.spec.kernel == Kernel::Gemm && row.spec.m >= 128
        }),
        Goal::over("GEMV from cache, 2 bits, share of vpmaddubsw", 0.55, rows, |row| {
            let chosen = row.spec.threads == 1
                && (row.spec.kernel, row.spec.source) == (Kernel::Gemv2, Source::Cache);
            Some((row.measured.share_compute.filter(|_| chosen)?, is_trusted(row)))
        }),
    ]
}

/// How many times as fast five trits in a byte are as two bits, from DRAM, both measured in turn.
fn five_trits(rows: &[Row]) -> Goal {
    let name = "GEMV from DRAM, 1.6 bits, speed relative to 2 bits";
    Goal::over(name, 1.10, rows, |five| {
        let mut spec = five.spec;
        if (spec.kernel, spec.source, spec.threads) != (Kernel::Gemv5, Source::Dram, 1)
            || spec.shape == Shape::SMALLEST
        {
            return None;
        }
        spec.kernel = Kernel::Gemv2;
        let two = rows.iter().find(|row| row.spec == spec)?;
        let trusted = is_trusted(five) && is_trusted(two);
        Some((two.measured.seconds / five.measured.seconds, trusted))
    })
}

/// The share with two threads over the share with one, which is the scaling of the kernel over the
/// scaling of the roof.
fn scaling(name: &str, rows: &[Row], choose: impl Fn(&Row) -> bool) -> Goal {
    Goal::over(format!("{name}, two threads: scaling over the roof's"), 0.90, rows, |two| {
        if two.spec.threads != 2 || !choose(two) {
            return None;
        }
        let mut spec = two.spec;
        spec.threads = 1;
        let one = rows.iter().find(|row| row.spec == spec)?;
        Some((two.share()? / one.share()?, is_trusted(one) && is_trusted(two)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::tests::row;

    fn goal<'a>(goals: &'a [Goal], name: &str) -> &'a Goal {
        goals.iter().find(|goal| goal.name.starts_with(name)).unwrap()
    }

    #[test]
    fn the_worst_row_decides_and_a_goal_without_rows_is_not_measured() {
        let [dram, cache] = [Source::Dram, Source::Cache];
        let mut rows = vec![
            row(Kernel::Gemm, 128, 1, dram, 0.80),
            row(Kernel::Gemm, 128, 1, cache, 0.70),
            row(Kernel::Gemm, 512, 1, cache, 0.85),
        ];
        rows[2].measured.steady = false;
        let goals = goals("avx512vbmi", &rows);
        let found = goal(&goals, "GEMM, 128 rows");
        assert_eq!((found.worst, found.rows, found.met()), (Some(0.70), 2, Some(false)));
        assert!(found.line().starts_with("NOT MET") && found.line().contains("m=128 cache"));
        let found = goal(&goals, "GEMM, 512 rows");
        assert_eq!((found.worst, found.met(), found.doubtful), (Some(0.85), None, 1));
        assert!(found.line().contains("1 of 1 rows not steady"));
        assert_eq!(goal(&goals, "GEMV from cache").met(), None);
        assert_eq!(goal(&goals, "GEMV from cache").to_json()["met"], Value::Null);
    }

    #[test]
    fn two_threads_are_held_to_their_own_roof_and_five_trits_to_two_bits() {
        let dram = Source::Dram;
        let rows = [
            row(Kernel::Gemv2, 1, 1, dram, 0.96),
            row(Kernel::Gemv5, 1, 1, dram, 0.96 * 1.2),
            row(Kernel::Gemv2, 1, 2, dram, 0.72),
        ];
        let goals = goals("avx512vnni", &rows);
        let scaling = goal(&goals, "GEMV from DRAM, two threads");
        assert!((scaling.worst.unwrap() - 0.75).abs() < 1e-12 && scaling.met() == Some(false));
        let five = goal(&goals, "GEMV from DRAM, 1.6 bits");
        assert!((five.worst.unwrap() - 1.2).abs() < 1e-12 && five.met() == Some(true));
    }

    #[test]
    fn avx2_has_goals_of_its_own_and_portable_code_none() {
        let rows = [row(Kernel::Gemv2, 1, 1, Source::Cache, 0.6)];
        let found = goals("avx2", &rows);
        assert_eq!(goal(&found, "GEMV from cache").met(), Some(true));
        assert!(goals("portable", &rows).is_empty());
    }
}
