//! The goals that training and decoding are held to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::plan::{Finding, Part, Task};
use crate::bench::goal::Goal;
use crate::bench::report::{Report, Row};
use crate::bench::rounds::median;

/// The goals, and the figures for information.
pub(crate) fn goals(report: &Report<Finding>) -> Vec<Goal> {
    let rows = &report.rows;
    let of = |part: Part| rows.iter().filter(move |row| row.spec.task.part == part);
    let steps = || of(Part::Step);
    let peer = |row: &Row<Finding>, key| least_of_peers(row.spec.task, key, &report.peers);
    let share = |row: &Row<Finding>| Some((row.share()?, row.is_trusted()));
    vec![
        Goal::over("speed of a step, relative to the fastest peer", Some(1.3), steps(), |row| {
            Some((peer(row, "ms")? / row.spec.figures.ms, row.is_trusted()))
        }),
        Goal::over(
            "the same by processor time, one thread",
            None,
            steps().filter(|row| row.spec.task.threads == 1),
            |row| Some((peer(row, "cpu_ms")? / row.spec.figures.cpu_ms, true)),
        ),
        Goal::over(
            "half the peak memory of the leanest peer, relative to ours",
            Some(1.0),
            steps(),
            |row| Some((peer(row, "rss_mb")? / 2.0 / row.spec.figures.peak()?, true)),
        ),
        Goal::over(
            "speed on several threads, relative to what the roof gains",
            Some(0.9),
            steps().filter(|row| row.spec.task.threads > 1),
            |row| {
                let task = Task { threads: 1, ..row.spec.task };
                let one = rows.iter().find(|row| row.spec.task == task)?;
                let trusted = row.is_trusted() && one.is_trusted();
                Some((row.share()? / one.share()?, trusted))
            },
        ),
        Goal::over(
            "decoding, share of its bound: bandwidth, or products of bytes",
            Some(0.7),
            of(Part::Decode),
            share,
        ),
        Goal::over("decoding, share of the bandwidth", None, of(Part::Decode), |row| {
            Some((row.measured.share_memory?, row.is_trusted()))
        }),
        Goal::over("a step, share of f32 FMA", None, steps(), share),
    ]
}

/// Of the medians of a figure over the runs of each peer that did the same task, the least. A peer that has several
/// forms tells which by `linear` and `compile`.
fn least_of_peers(task: Task, key: &str, peers: &[Value]) -> Option<f64> {
    let is_same = |peer: &&Value| {
        peer["cfg"] == task.size.to_string().as_str() && peer["threads"] == task.threads
    };
    let mut by_form: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for peer in peers.iter().filter(is_same) {
        if let Some(figure) = peer[key].as_f64() {
            let form = format!("{} {} {}", peer["command"], peer["linear"], peer["compile"]);
            by_form.entry(form).or_default().push(figure);
        }
    }
    by_form.into_values().filter_map(median).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Size;
    use super::*;
    use crate::bench::child::Figures;
    use crate::bench::report::tests::measured;
    use crate::bench::rounds::Work;

    fn row(part: Part, threads: usize, ms: f64, share: f64) -> Row<Finding> {
        let task = Task { part, size: Size::Base, threads };
        let figures = Figures { ms, cpu_ms: ms, rss_mb: 500.0, ..Figures::default() };
        Row {
            spec: Finding { task, figures },
            isa: "avx2".into(),
            work: Work { macs: 1, bytes: 0 },
            measured: measured(ms / 1e3, share),
        }
    }

    fn worst(report: &Report<Finding>, name: &str) -> Option<f64> {
        let goals = goals(report);
        goals.iter().find(|goal| goal.name().starts_with(name)).unwrap().worst_value()
    }

    #[test]
    fn the_fastest_and_the_leanest_peer_decide() {
        let mut report = Report { rows: vec![row(Part::Step, 1, 1000.0, 0.6)], ..Report::new() };
        let line = |linear: &str, threads: usize, ms: f64, rss: f64| {
            json!({"command": "torch", "linear": linear, "cfg": "base", "threads": threads,
                   "ms": ms, "cpu_ms": ms, "rss_mb": rss})
        };
        assert_eq!(worst(&report, "speed of a step"), None);
        report.peers = vec![
            line("bit", 1, 1500.0, 900.0),
            line("bit", 1, 1700.0, 900.0),
            line("bit", 1, 9000.0, 900.0),
            line("bitint8", 1, 2000.0, 800.0),
            line("bit", 2, 1.0, 1.0),
        ];
        assert_eq!(worst(&report, "speed of a step"), Some(1.7));
        assert_eq!(worst(&report, "half the peak"), Some(0.8));
    }

    #[test]
    fn threads_are_compared_by_shares_of_their_roofs() {
        let rows = vec![
            row(Part::Step, 1, 1000.0, 0.6),
            row(Part::Step, 2, 600.0, 0.3),
            row(Part::Decode, 1, 1.0, 0.75),
        ];
        let report = Report { rows, ..Report::new() };
        assert_eq!(worst(&report, "speed on several"), Some(0.5));
        assert_eq!(worst(&report, "decoding, share of its bound"), Some(0.75));
    }
}
