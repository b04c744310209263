//! The goals that the gated delta net is held to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::bytes_of;
use super::plan::{Pass, Spec};
use crate::bench::goal::Goal;
use crate::bench::report::{Report, Row};
use crate::bench::rounds::median;

/// What a forward with its backward may hold at its peak, at [`USUAL`].
const EXTRA_BYTES: f64 = 260e6;

/// The row that memory is bounded at.
const USUAL: Spec = Spec { pass: Pass::ForwardBackward, heads: 16, m: 2048, threads: 1 };

/// The goals, and the figures for information. Memory is that of rows, in bytes.
pub(crate) fn goals(report: &Report<Spec>, memory: &[(Spec, usize)]) -> Vec<Goal> {
    let rows = &report.rows;
    let find = |spec| rows.iter().find(|row| row.spec == spec);
    let both = || rows.iter().filter(|row| row.spec.pass == Pass::ForwardBackward);
    let on_one = || both().filter(|row| row.spec.threads == 1);
    let over_peers = |name: &str, least, wanted: Spec| {
        Goal::over(name, least, find(wanted), |row| {
            let peer = peer_seconds(wanted, &report.peers)?;
            Some((peer / row.measured.seconds, row.is_trusted()))
        })
    };
    let share = |row: &Row<Spec>| Some((row.share()?, row.is_trusted()));
    let long = || on_one().filter(|row| row.spec.m == 4096);
    let short = |row: &Row<Spec>| find(Spec { m: 512, ..row.spec });
    vec![
        over_peers(
            "forward and backward, 512 tokens, speed relative to the fastest peer",
            Some(3.0),
            Spec { m: 512, ..USUAL },
        ),
        over_peers(
            "forward and backward, 2048 tokens, speed relative to the fastest peer",
            Some(6.0),
            USUAL,
        ),
        over_peers("the same with 32 value heads", None, Spec { heads: 32, ..USUAL }),
        Goal::over(
            "forward and backward, 2048 tokens, share of f32 FMA",
            Some(0.55),
            on_one().filter(|row| row.spec.m == 2048),
            share,
        ),
        Goal::over(
            "speed for each token at 4096 tokens, relative to 512",
            Some(0.8),
            long(),
            |row| {
                let short = short(row)?;
                let speed = 8.0 * short.measured.seconds / row.measured.seconds;
                Some((speed, row.is_trusted() && short.is_trusted()))
            },
        ),
        Goal::over(
            "8.8 times the memory at 512 tokens, relative to that at 4096",
            Some(1.0),
            long(),
            |row| {
                let [long, short] = [row, short(row)?].map(|row| bytes_of(memory, row.spec));
                Some((8.8 * short? as f64 / long? as f64, true))
            },
        ),
        Goal::over(
            "260 MB, relative to the memory at 2048 tokens",
            Some(1.0),
            find(USUAL),
            |row| Some((EXTRA_BYTES / bytes_of(memory, row.spec)? as f64, true)),
        ),
        Goal::over(
            "speed on several threads, relative to what the roof gains",
            Some(0.9),
            both().filter(|row| row.spec.threads > 1),
            |row| {
                let one = find(Spec { threads: 1, ..row.spec })?;
                let trusted = row.is_trusted() && one.is_trusted();
                Some((row.share()? / one.share()?, trusted))
            },
        ),
        Goal::over(
            "decoding, share of the bandwidth",
            Some(0.8),
            rows.iter().filter(|row| row.spec.pass == Pass::Decode && row.spec.threads == 1),
            share,
        ),
        Goal::over(
            "forward, share of f32 FMA",
            None,
            rows.iter().filter(|row| row.spec.pass == Pass::Forward),
            share,
        ),
    ]
}

/// The median of the seconds that a peer took for a forward with its backward, of the fastest peer. A peer tells its
/// shape by name, and of each run the least and the median time.
fn peer_seconds(spec: Spec, peers: &[Value]) -> Option<f64> {
    let shape = match spec.heads {
        16 => "0.8B",
        32 => "1024x16x32",
        _ => return None,
    };
    let is_same = |peer: &&Value| {
        let number = |key: &str, wanted: usize| peer[key].as_u64() == Some(wanted as u64);
        peer["shape"] == shape && number("seq", spec.m) && number("threads", spec.threads)
    };
    let mut by_form: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for peer in peers.iter().filter(is_same) {
        let (command, form) = (peer["command"].as_str(), peer["form"].as_str());
        if let Some(ms) = peer["fwdbwd_ms_min_med"][1].as_f64() {
            let form = (command.unwrap_or_default(), form.unwrap_or_default());
            by_form.entry(form).or_default().push(ms / 1e3);
        }
    }
    by_form.into_values().filter_map(median).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::report::tests::measured;
    use crate::bench::rounds::Work;

    fn row(spec: Spec, ms: f64, share: f64) -> Row<Spec> {
        Row {
            spec,
            isa: "avx2".into(),
            work: Work { macs: 1, bytes: 0 },
            measured: measured(ms / 1e3, share),
        }
    }

    fn worst(report: &Report<Spec>, memory: &[(Spec, usize)], name: &str) -> (f64, bool) {
        let goals = goals(report, memory);
        let goal = goals.iter().find(|goal| goal.name().starts_with(name)).unwrap();
        (goal.worst_value().unwrap(), goal.met().unwrap())
    }

    #[test]
    fn lengths_threads_and_memory_are_compared_with_one_another() {
        let [short, long] = [512, 4096].map(|m| Spec { m, ..USUAL });
        let two = Spec { threads: 2, ..USUAL };
        let rows = vec![
            row(short, 100.0, 0.6),
            row(USUAL, 400.0, 0.6),
            row(long, 1000.0, 0.5),
            row(two, 220.0, 0.5),
            row(Spec { pass: Pass::Decode, m: 1, ..USUAL }, 1.0, 0.9),
        ];
        let report = Report { rows, ..Report::new() };
        let memory = [(short, 100), (USUAL, 130_000_000), (long, 1100)];
        let found = |name| worst(&report, &memory, name);
        assert_eq!(found("speed for each token"), (0.8, true));
        let (share, met) = found("8.8 times");
        assert!((share - 0.8).abs() < 1e-12 && !met);
        assert_eq!(found("260 MB"), (2.0, true));
        let (gain, met) = found("speed on several");
        assert!((gain - 0.5 / 0.6).abs() < 1e-12 && !met);
        assert_eq!(found("decoding"), (0.9, true));
        assert_eq!(found("forward and backward, 2048 tokens, share"), (0.6, true));
    }

    #[test]
    fn a_peer_counts_where_it_did_the_same_and_its_fastest_form_decides() {
        let rows = vec![row(USUAL, 1000.0, 0.6)];
        let mut report = Report { rows, ..Report::new() };
        let line = |shape: &str, form: &str, ms: f64| {
            json!({"command": "torch", "shape": shape, "form": form, "seq": 2048, "threads": 1,
                   "fwdbwd_ms_min_med": [1.0, ms]})
        };
        report.peers = vec![
            line("0.8B", "chunk", 6500.0),
            line("0.8B", "chunk", 7000.0),
            line("0.8B", "chunk", 9000.0),
            line("0.8B", "recurrent", 8000.0),
            line("1024x16x32", "chunk", 1.0),
            json!({"shape": "0.8B", "form": "recurrent", "seq": 2048, "threads": 1,
                   "fwdbwd_ms_min_med": null}),
        ];
        assert_eq!(worst(&report, &[], "forward and backward, 2048 tokens, speed"), (7.0, true));
    }
}
