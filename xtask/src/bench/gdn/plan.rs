//! Which rows to measure.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::bench::arguments::or_default;
use crate::bench::named::display_by_name;
use crate::bench::report;

/// Numbers of a row.
pub(crate) const HIDDEN: usize = 1024;
/// Heads of queries and keys.
pub(crate) const KEY_HEADS: usize = 16;
/// Numbers of a query, a key or a value.
pub(crate) const WIDTH: usize = 128;
/// Taps of the convolution.
pub(crate) const KERNEL: usize = 4;

/// Tokens and value heads when none are named.
const TOKENS: [usize; 3] = [512, 2048, 4096];
const HEADS: [usize; 2] = [16, 32];
/// Tokens at which other numbers of threads are measured.
const SHARED: usize = 2048;

/// Which way through the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Pass {
    /// Inputs to outputs
    Forward,
    /// The same, then the gradients of the inputs
    ForwardBackward,
    /// One token more, from a state
    Decode,
}
display_by_name!(Pass);

/// One row of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) pass: Pass,
    /// Value heads.
    pub(crate) heads: usize,
    /// Tokens of the one sequence.
    pub(crate) m: usize,
    pub(crate) threads: usize,
}

impl Spec {
    /// Channels of the convolution.
    fn channels(self) -> usize {
        (2 * KEY_HEADS + self.heads) * WIDTH
    }

    /// Numbers of all weight matrices.
    fn weights(self) -> usize {
        HIDDEN * (self.channels() + 2 * self.heads * WIDTH + 2 * self.heads)
    }

    /// Multiply-accumulates of the pass, those of matrices, each counted once: the projections, and the delta rule
    /// in chunks of 64 with half of each triangle. What a backward computes again is not counted.
    pub(crate) fn macs(self) -> u64 {
        let (state, chunk) = (WIDTH * WIDTH, 2 * WIDTH * lora_backward::ops::CHUNK);
        let forward = self.weights() + self.heads * (3 * state + chunk);
        let backward = self.weights() + self.heads * (6 * state + 2 * chunk);
        let each = match self.pass {
            Pass::Forward | Pass::Decode => forward,
            Pass::ForwardBackward => forward + backward,
        };
        (self.m * each) as u64
    }

    /// What decoding reads and writes at least: the weights, and the states both ways.
    pub(crate) fn bytes(self) -> usize {
        let state = self.heads * WIDTH * WIDTH + self.channels() * (KERNEL - 1);
        (self.weights() + 2 * state) * size_of::<f32>()
    }
}

impl report::Spec for Spec {
    fn head() -> String {
        format!("{:<16} {:>5} {:>5} {:>7}", "pass", "heads", "m", "threads")
    }

    fn columns(&self) -> String {
        let Self { pass, heads, m, threads } = self;
        format!("{pass:<16} {heads:>5} {m:>5} {threads:>7}")
    }

    fn at(&self) -> String {
        let Self { pass, heads, m, threads } = self;
        let plural = if *threads == 1 { "" } else { "s" };
        format!("{KEY_HEADS}/{heads} heads m={m} {pass}, {threads} thread{plural}")
    }

    fn to_json(&self) -> Map<String, Value> {
        let Self { pass, heads, m, threads } = *self;
        let row = json!({
            "layer": "gated_delta_net", "pass": pass.to_string(), "value_heads": heads, "m": m,
            "threads": threads,
        });
        row.as_object().cloned().unwrap_or_default()
    }
}

/// The rows for some choices; an empty one means the usual. More threads than one are measured forward with backward
/// alone, at one length where none is named.
pub(crate) fn plan(
    heads: &[usize],
    tokens: &[usize],
    passes: &[Pass],
    threads: &[usize],
) -> Vec<Spec> {
    let mut plan = Vec::new();
    let passes = or_default(passes, Pass::value_variants());
    for heads in or_default(heads, &HEADS) {
        for &pass in &passes {
            let lengths = match pass {
                Pass::Decode => vec![1],
                _ => or_default(tokens, &TOKENS),
            };
            for m in lengths {
                let shared = pass == Pass::ForwardBackward && (m == SHARED || !tokens.is_empty());
                let threads = threads.iter().filter(|&&threads| threads == 1 || shared);
                plan.extend(threads.map(|&threads| Spec { pass, heads, m, threads }));
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Spec as _;

    #[test]
    fn the_usual_plan_has_two_threads_where_they_are_compared() {
        let plan = plan(&[], &[], &[], &[1, 2]);
        let two: Vec<String> = plan.iter().filter(|s| s.threads == 2).map(Spec::at).collect();
        assert_eq!(two.len(), 2);
        assert_eq!(two[0], "16/16 heads m=2048 forward_backward, 2 threads");
        assert_eq!(plan.len(), 2 * (3 + 3 + 1 + 1));
        assert_eq!(plan.iter().filter(|s| s.pass == Pass::Decode && s.m == 1).count(), 2);
    }

    #[test]
    fn work_is_counted_by_matrices() {
        let spec = Spec { pass: Pass::Forward, heads: 16, m: 10, threads: 1 };
        let projections = 1024 * (6144 + 2048 + 16 + 16 + 2048);
        let rule = 16 * (3 * 128 * 128 + 64 * 256);
        assert_eq!(spec.macs(), 10 * (projections + rule) as u64);
        let both = Spec { pass: Pass::ForwardBackward, ..spec };
        assert_eq!(both.macs(), 10 * (2 * projections + 3 * rule) as u64);
        assert_eq!(spec.bytes(), 4 * (projections + 2 * (16 * 128 * 128 + 6144 * 3)));
    }

    #[test]
    fn a_row_has_the_keys_that_readers_use() {
        let spec = Spec { pass: Pass::Decode, heads: 32, m: 1, threads: 2 };
        let json = Value::Object(spec.to_json()).to_string();
        assert_eq!(
            json,
            r#"{"layer":"gated_delta_net","m":1,"pass":"decode","threads":2,"value_heads":32}"#
        );
    }
}
