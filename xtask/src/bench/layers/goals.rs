//! The goals that layers are held to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::plan::{Layer, Pass, Sizes, Spec};
use crate::bench::goal::Goal;
use crate::bench::report::{Report, Row, Spec as _};
use crate::bench::rounds::median;

/// Weights from which on a shape is large: what packing costs beside it is small.
const LARGE_WEIGHTS: usize = 1 << 22;

/// The goals, and the figures for information.
pub(crate) fn goals(report: &Report<Spec>) -> Vec<Goal> {
    let rows = &report.rows;
    let is = |row: &Row<Spec>, layer, pass| (row.spec.layer, row.spec.pass) == (layer, pass);
    let share = |name: &str, least, choose: &dyn Fn(&Row<Spec>) -> bool| {
        Goal::over(name, least, rows.iter().filter(|row| choose(row)), |row| {
            Some((row.share()?, row.is_trusted()))
        })
    };
    let over_dense = |name: &str, least, pass| {
        let bits = rows.iter().filter(|row| is(row, Layer::Bit, pass));
        Goal::over(name, Some(least), bits, |bit| {
            let dense = Spec { layer: Layer::Dense, ..bit.spec };
            let dense = rows.iter().find(|row| row.spec == dense)?;
            let trusted = bit.is_trusted() && dense.is_trusted();
            Some((dense.measured.seconds / bit.measured.seconds, trusted))
        })
    };
    let over_peers = |name: &str, least, layer| {
        let own = rows.iter().filter(|row| row.spec.layer == layer);
        Goal::over(name, least, own, |row| {
            let peer = peer_seconds(row.spec, &report.peers)?;
            Some((peer / row.measured.seconds, row.is_trusted()))
        })
    };
    vec![
        share("dense, large shapes, share of f32 FMA", Some(0.80), &|row| {
            row.spec.layer == Layer::Dense && is_large(row.spec)
        }),
        over_peers("dense, speed relative to the fastest peer", Some(0.95), Layer::Dense),
        over_dense("BitLinear forward, speed relative to dense", 2.5, Pass::Forward),
        over_dense(
            "BitLinear with f32 backward, speed relative to dense",
            1.2,
            Pass::ForwardBackward,
        ),
        share("attention with backward, share of f32 FMA", Some(0.50), &|row| {
            is(row, Layer::Attention, Pass::ForwardBackward)
        }),
        share("attention forward, share of f32 FMA", None, &|row| {
            is(row, Layer::Attention, Pass::Forward)
        }),
        over_peers("attention, speed relative to the fastest peer", None, Layer::Attention),
    ]
}

fn is_large(spec: Spec) -> bool {
    matches!(spec.sizes, Sizes::Linear(shape) if shape.weights() >= LARGE_WEIGHTS)
}

/// The median of the seconds that a peer took for the same layer, of the fastest peer.
fn peer_seconds(spec: Spec, peers: &[Value]) -> Option<f64> {
    let wanted = spec.to_json();
    let is_same = |peer: &&Value| wanted.iter().all(|(key, value)| peer.get(key) == Some(value));
    let mut by_command: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for peer in peers.iter().filter(is_same) {
        if let (Some(command), Some(us)) = (peer["command"].as_str(), peer["us"].as_f64()) {
            by_command.entry(command).or_default().push(us / 1e6);
        }
    }
    by_command.into_values().filter_map(median).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::plan::{HEADS, SHAPES};
    use super::*;
    use crate::bench::report::tests::measured;
    use crate::bench::rounds::Work;

    fn row(layer: Layer, pass: Pass, sizes: Sizes, ms: f64, share: f64) -> Row<Spec> {
        Row {
            spec: Spec { layer, pass, sizes, m: 2048, threads: 1 },
            isa: "avx512vnni".into(),
            work: Work { macs: 1, bytes: 0 },
            measured: measured(ms / 1e3, share),
        }
    }

    fn goal<'a>(goals: &'a [Goal], name: &str) -> &'a Goal {
        goals.iter().find(|goal| goal.name().starts_with(name)).unwrap()
    }

    fn report(rows: Vec<Row<Spec>>) -> Report<Spec> {
        Report { rows, ..Report::new() }
    }

    #[test]
    fn ternary_layers_are_held_to_the_dense_ones_of_their_pass() {
        let [small, large] = [SHAPES[0], SHAPES[1]].map(Sizes::Linear);
        let (forward, both) = (Pass::Forward, Pass::ForwardBackward);
        let report = report(vec![
            row(Layer::Dense, forward, small, 10.0, 0.7),
            row(Layer::Bit, forward, small, 5.0, 0.7),
            row(Layer::Dense, forward, large, 60.0, 0.9),
            row(Layer::Bit, forward, large, 20.0, 0.7),
            row(Layer::Dense, both, large, 180.0, 0.85),
            row(Layer::Bit, both, large, 120.0, 0.7),
        ]);
        let goals = goals(&report);
        let found = goal(&goals, "BitLinear forward");
        assert_eq!((found.worst_value(), found.met()), (Some(2.0), Some(false)));
        assert!(found.lines().contains("300.0% of 250.0%    1024x4096"), "{}", found.lines());
        let found = goal(&goals, "BitLinear with f32 backward");
        assert_eq!((found.worst_value(), found.met()), (Some(1.5), Some(true)));
        let found = goal(&goals, "dense, large shapes");
        assert_eq!((found.worst_value(), found.met()), (Some(0.85), Some(true)));
    }

    #[test]
    fn a_peer_counts_where_it_did_the_same_and_the_fastest_decides() {
        let sizes = Sizes::Linear(SHAPES[0]);
        let mut report = report(vec![row(Layer::Dense, Pass::Forward, sizes, 10.0, 0.7)]);
        let line = |command: &str, k: usize, us: f64| {
            json!({"command": command, "layer": "dense", "pass": "forward", "m": 2048, "k": k,
                   "n": 1536, "threads": 1, "us": us})
        };
        report.peers = vec![
            line("a", 512, 8000.0),
            line("a", 512, 9000.0),
            line("a", 512, 50_000.0),
            line("b", 512, 9500.0),
            line("b", 1024, 1.0),
        ];
        let found = goals(&report);
        let found = goal(&found, "dense, speed relative");
        assert!((found.worst_value().unwrap() - 0.9).abs() < 1e-12);
        report.peers.clear();
        assert_eq!(goal(&goals(&report), "dense, speed relative").worst_value(), None);
    }

    #[test]
    fn attention_has_a_goal_with_its_backward_and_none_without() {
        let sizes = Sizes::Attention(HEADS);
        let rows = [(Pass::Forward, 0.4), (Pass::ForwardBackward, 0.6)]
            .map(|(pass, share)| row(Layer::Attention, pass, sizes, 1.0, share));
        let goals = goals(&report(rows.into()));
        assert_eq!(goal(&goals, "attention with backward").met(), Some(true));
        let forward = goal(&goals, "attention forward");
        assert!(forward.met().is_none() && forward.line().starts_with("no goal"));
    }
}
