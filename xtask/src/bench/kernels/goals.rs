//! The goals that the kernels are held to, and how far the rows come.

use super::plan::{Kernel, Scale, Source, Spec};
use crate::bench::goal::Goal;
use crate::bench::report::Row;
use crate::bench::shape::Shape;

/// A goal over rows with scales per tensor, the only ones that count.
fn over(
    name: impl Into<String>,
    least: f64,
    rows: &[Row<Spec>],
    figure: impl Fn(&Row<Spec>) -> Option<(f64, bool)>,
) -> Goal {
    let rows = rows.iter().filter(|row| row.spec.scale == Scale::Tensor);
    Goal::over(name, Some(least), rows, figure)
}

/// The share of one-thread rows that `choose` picks.
fn share_goal(
    name: &str,
    least: f64,
    rows: &[Row<Spec>],
    choose: impl Fn(&Row<Spec>) -> bool,
) -> Goal {
    over(name, least, rows, |row| {
        let chosen = row.spec.threads == 1 && choose(row);
        Some((row.share().filter(|_| chosen)?, row.is_trusted()))
    })
}

/// The goals of the instruction set that the rows were measured with.
pub(crate) fn goals(isa: &str, rows: &[Row<Spec>]) -> Vec<Goal> {
    match isa {
        isa if isa.starts_with("avx512") => avx512(rows),
        "avx2" => avx2(rows),
        _ => Vec::new(),
    }
}

fn avx512(rows: &[Row<Spec>]) -> Vec<Goal> {
    use Kernel::{F32Trits, F32TritsT, Gemm, Gemv2, I16Trits, I16TritsT, Requantise};
    let is =
        |row: &Row<Spec>, kernel, source| (row.spec.kernel, row.spec.source) == (kernel, source);
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

fn avx2(rows: &[Row<Spec>]) -> Vec<Goal> {
    vec![
        share_goal("GEMM, 128 rows and more, share of vpmaddubsw", 0.77, rows, |row| {
            row.spec.kernel == Kernel::Gemm && row.spec.m >= 128
        }),
        over("GEMV from cache, 2 bits, share of vpmaddubsw", 0.55, rows, |row| {
            let chosen = row.spec.threads == 1
                && (row.spec.kernel, row.spec.source) == (Kernel::Gemv2, Source::Cache);
            Some((row.measured.share_compute.filter(|_| chosen)?, row.is_trusted()))
        }),
    ]
}

/// How many times as fast five trits in a byte are as two bits, from DRAM, both measured in turn.
fn five_trits(rows: &[Row<Spec>]) -> Goal {
    let name = "GEMV from DRAM, 1.6 bits, speed relative to 2 bits";
    over(name, 1.10, rows, |five| {
        let mut spec = five.spec;
        if (spec.kernel, spec.source, spec.threads) != (Kernel::Gemv5, Source::Dram, 1)
            || spec.shape == Shape::SMALLEST
        {
            return None;
        }
        spec.kernel = Kernel::Gemv2;
        let two = rows.iter().find(|row| row.spec == spec)?;
        let trusted = five.is_trusted() && two.is_trusted();
        Some((two.measured.seconds / five.measured.seconds, trusted))
    })
}

/// The share with two threads over the share with one, which is the scaling of the kernel over the
/// scaling of the roof.
fn scaling(name: &str, rows: &[Row<Spec>], choose: impl Fn(&Row<Spec>) -> bool) -> Goal {
    over(format!("{name}, two threads: scaling over the roof's"), 0.90, rows, |two| {
        if two.spec.threads != 2 || !choose(two) {
            return None;
        }
        let mut spec = two.spec;
        spec.threads = 1;
        let one = rows.iter().find(|row| row.spec == spec)?;
        Some((two.share()? / one.share()?, one.is_trusted() && two.is_trusted()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::tests::row;

    fn goal<'a>(goals: &'a [Goal], name: &str) -> &'a Goal {
        goals.iter().find(|goal| goal.name().starts_with(name)).unwrap()
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
        assert_eq!(
            (found.worst_value(), found.to_json()["rows"].as_u64(), found.met()),
            (Some(0.70), Some(2), Some(false))
        );
        assert!(found.line().starts_with("NOT MET") && found.line().contains("m=128 cache"));
        let found = goal(&goals, "GEMM, 512 rows");
        assert_eq!((found.worst_value(), found.met(), found.doubtful()), (Some(0.85), None, 1));
        assert!(found.line().contains("1 of 1 rows not steady"));
        assert_eq!(goal(&goals, "GEMV from cache").met(), None);
        assert!(goal(&goals, "GEMV from cache").to_json()["met"].is_null());
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
        assert!(
            (scaling.worst_value().unwrap() - 0.75).abs() < 1e-12 && scaling.met() == Some(false)
        );
        let five = goal(&goals, "GEMV from DRAM, 1.6 bits");
        assert!((five.worst_value().unwrap() - 1.2).abs() < 1e-12 && five.met() == Some(true));
    }

    #[test]
    fn avx2_has_goals_of_its_own_and_portable_code_none() {
        let rows = [row(Kernel::Gemv2, 1, 1, Source::Cache, 0.6)];
        let found = goals("avx2", &rows);
        assert_eq!(goal(&found, "GEMV from cache").met(), Some(true));
        assert!(goals("portable", &rows).is_empty());
    }
}
