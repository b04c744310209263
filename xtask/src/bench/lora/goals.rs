//! The goals that steps of adapters are held to.

use std::collections::BTreeMap;

use models::Base;
use serde_json::Value;

use super::plan::{Finding, Part, Task};
use crate::bench::goal::Goal;
use crate::bench::report::{Report, Row};
use crate::bench::rounds::median;
use crate::bench::turns::Task as _;

/// How many times the speed of a peer is asked for, by the tokens of the sequence.
const SPEEDS: [(usize, f64); 2] = [(512, 3.0), (2048, 5.0)];

/// The goals, and the figures for information.
pub(crate) fn goals(report: &Report<Finding>) -> Vec<Goal> {
    let rows = &report.rows;
    let of = |part: Part| rows.iter().filter(move |row| row.spec.task.part == part);
    let steps = || of(Part::Step);
    let ternary = |part| of(part).filter(|row| row.spec.task.base == Base::Ternary);
    let of_peers = |row: &Row<Finding>, figure: fn(&Value) -> Option<f64>| {
        least_of_peers(row.spec.task, figure, &report.peers)
    };
    let with_base = |row: &Row<Finding>, base| {
        let task = Task { base, ..row.spec.task };
        rows.iter().find(|row| row.spec.task == task)
    };
    let mut goals = Vec::new();
    for (tokens, least) in SPEEDS {
        goals.push(Goal::over(
            format!("speed of a step of {tokens} tokens, relative to the fastest peer"),
            Some(least),
            steps().filter(|row| row.spec.task.tokens == tokens),
            |row| {
                Some((
                    of_peers(row, |peer| peer["ms"].as_f64())? / row.spec.figures.ms,
                    row.is_trusted(),
                ))
            },
        ));
    }
    goals.extend([
        Goal::over(
            "half the peak memory of the leanest peer, relative to ours",
            Some(1.0),
            steps(),
            |row| {
                let peak = of_peers(row, |peer| peer["rss_mb"].as_f64())?;
                Some((peak / 2.0 / row.spec.figures.peak()?, true))
            },
        ),
        Goal::over(
            "the same without what a peer's libraries take before there is a model",
            None,
            steps(),
            |row| {
                let peak = of_peers(row, |peer| {
                    Some(peer["rss_mb"].as_f64()? - peer["rss_import_mb"].as_f64()?)
                })?;
                Some((peak / 2.0 / row.spec.figures.peak()?, true))
            },
        ),
        Goal::over(
            "an eighth of the projections in bf16, relative to the ternary ones",
            Some(1.0),
            ternary(Part::Step),
            |row| {
                let wide = with_base(row, Base::Bf16)?.spec.figures.bytes as f64;
                Some((wide / 8.0 / row.spec.figures.bytes as f64, true))
            },
        ),
        Goal::over(
            "speed of the forward with ternary weights, relative to f32",
            Some(1.0),
            ternary(Part::Forward),
            |row| {
                let wide = with_base(row, Base::F32)?;
                let trusted = row.is_trusted() && wide.is_trusted();
                Some((wide.spec.figures.ms / row.spec.figures.ms, trusted))
            },
        ),
        Goal::over("a step, share of f32 FMA", None, steps(), |row| {
            Some((row.share()?, row.is_trusted()))
        }),
    ]);
    goals
}

/// Of the medians of a figure over the runs of each peer that did the same, the least. Steps beside ternary weights, which
/// no peer has, are held to all of them.
fn least_of_peers(
    task: Task,
    figure: impl Fn(&Value) -> Option<f64>,
    peers: &[Value],
) -> Option<f64> {
    let same = Task { base: Base::F32, ..task }.keys().unwrap_or_default();
    let is_same = |peer: &&Value| {
        let is_key = |(name, value): &(&str, Value)| match *name {
            "base" => task.base == Base::Ternary || peer["base"] == task.base.name(),
            name => peer[name] == *value,
        };
        same.iter().all(is_key)
    };
    let mut by_form: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for peer in peers.iter().filter(is_same) {
        if let Some(figure) = figure(peer) {
            let form = format!("{} {}", peer["command"], peer["base"]);
            by_form.entry(form).or_default().push(figure);
        }
    }
    by_form.into_values().filter_map(median).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::child::Figures;
    use crate::bench::report::tests::measured;
    use crate::bench::rounds::Work;

    fn row(part: Part, base: Base, ms: f64, bytes: u64) -> Row<Finding> {
        let task = Task { part, base, tokens: 512, threads: 2, vocabulary: 4096 };
        let figures = Figures { ms, rss_mb: 500.0, bytes, ..Figures::default() };
        Row {
            spec: Finding { task, figures },
            isa: "avx2".into(),
            work: Work { macs: 1, bytes: 0 },
            measured: measured(ms / 1e3, 0.5),
        }
    }

    fn worst(report: &Report<Finding>, name: &str) -> Option<f64> {
        let goals = goals(report);
        goals.iter().find(|goal| goal.name().starts_with(name)).unwrap().worst_value()
    }

    #[test]
    fn a_step_is_held_to_the_fastest_peer_with_weights_of_its_kind_and_a_ternary_one_to_all() {
        let line = |base: &str, tokens: usize, ms: f64, rss: f64| {
            json!({"command": "torch", "base": base, "tokens": tokens, "threads": 2,
                   "vocabulary": 4096, "ms": ms, "rss_mb": rss, "rss_import_mb": 400.0})
        };
        let peers = vec![
            line("f32", 512, 3000.0, 4000.0),
            line("f32", 512, 3200.0, 4000.0),
            line("f32", 512, 3100.0, 4000.0),
            line("bf16", 512, 9000.0, 900.0),
            line("f32", 2048, 1.0, 1.0),
        ];
        for (base, speed, memory) in
            [(Base::F32, 3.1, 4.0), (Base::Bf16, 9.0, 0.9), (Base::Ternary, 3.1, 0.9)]
        {
            let rows = vec![row(Part::Step, base, 1000.0, 1)];
            let report = Report { rows, peers: peers.clone(), ..Report::new() };
            let found = [worst(&report, "speed of a step of 512"), worst(&report, "half the")];
            assert_eq!(found, [Some(speed), Some(memory)], "{base}");
            // Of 500 MiB of ours 400 of a peer's are 0.4 when halved.
            let net = worst(&report, "the same without").unwrap();
            assert!((net - (memory - 0.4)).abs() < 1e-12, "{base}: {net}");
            assert_eq!(worst(&report, "speed of a step of 2048"), None);
        }
    }

    #[test]
    fn ternary_weights_are_held_to_the_others_of_the_run() {
        let rows = vec![
            row(Part::Step, Base::Bf16, 1.0, 1600),
            row(Part::Step, Base::Ternary, 1.0, 160),
            row(Part::Forward, Base::F32, 300.0, 3200),
            row(Part::Forward, Base::Ternary, 100.0, 160),
        ];
        let report = Report { rows, ..Report::new() };
        assert_eq!(worst(&report, "an eighth"), Some(1.25));
        assert_eq!(worst(&report, "speed of the forward"), Some(3.0));
    }
}
