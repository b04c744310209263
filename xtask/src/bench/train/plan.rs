//! Which rows to measure, and what bounds them.

use std::fmt;

use clap::ValueEnum;
use serde_json::{Map, Value, json};
use ternary_core::kernels::Isa;
use trainer::config::Model;
use trainer::data::VOCABULARY;

use super::Size;
use crate::bench::child::Figures;
use crate::bench::named::display_by_name;
use crate::bench::roofs::Roof;
use crate::bench::roofs::compute::Peak;
use crate::bench::rounds::Work;
use crate::bench::{report, turns};

/// What is measured of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Part {
    /// Forward, backward, clip, AdamW and new codes
    Step,
    /// One token more, of the packed base model as it is saved and loaded
    Decode,
}
display_by_name!(Part);

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) part: Part,
    pub(crate) size: Size,
    pub(crate) threads: usize,
}

/// A task with what came of it.
pub(crate) type Finding = turns::Finding<Task>;

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, size, threads } = self;
        let plural = if *threads == 1 { "" } else { "s" };
        write!(f, "{size} {part}, {threads} thread{plural}")
    }
}

impl Task {
    /// Multiply-accumulates of a step that nothing spares: for ternary weights the two f32 products of the backward
    /// alone, as in `bench layers`; three for the head; and of attention visible pairs of positions once, in two
    /// products forward and four backward.
    fn step_macs(self) -> u64 {
        let configuration = self.size.preset().configuration();
        let Model { width, layers, .. } = configuration.model;
        let (windows, length) = (configuration.batch.windows, configuration.batch.length);
        let each = 2 * self.ternary_weights() + 3 * width * VOCABULARY;
        let pairs = length * (length + 1) / 2;
        (windows * (length * each + 6 * layers * pairs * width)) as u64
    }

    /// Numbers in all ternary matrices.
    fn ternary_weights(self) -> usize {
        let Model { width, layers, heads, key_value_heads, feed_forward, .. } =
            self.size.preset().configuration().model;
        let keys = width / heads * key_value_heads;
        layers * (2 * width * width + 2 * width * keys + 3 * width * feed_forward)
    }
}

impl turns::Task for Task {
    fn arguments(self) -> Vec<String> {
        let Self { part, size, threads } = self;
        let [part, size] = [format!("--part={part}"), format!("--preset={size}")];
        vec!["train".into(), "--child".into(), part, size, format!("--threads={threads}")]
    }

    /// A token that is decoded reads so many bytes and takes a product of bytes with each ternary weight; the later of the
    /// two bounds it.
    fn bound(self, isa: Isa, bytes: u64) -> (Work, Roof) {
        let threads = self.threads;
        match self.part {
            Part::Step => {
                let work = Work { macs: self.step_macs(), bytes: 0 };
                (work, Roof { threads, memory_bytes: None, peak: Peak::of_floats(isa) })
            }
            Part::Decode => {
                let (memory_bytes, peak) = (Some(bytes as usize), Peak::of_bytes(isa));
                let macs = self.ternary_weights() as u64;
                (Work { macs, bytes }, Roof { threads, memory_bytes, peak })
            }
        }
    }

    fn is_bound_by_bytes(self) -> bool {
        self.part == Part::Decode
    }

    fn keys(self) -> Option<Vec<(&'static str, Value)>> {
        let Self { part, size, threads } = self;
        let keys = || vec![("cfg", size.to_string().into()), ("threads", threads.into())];
        (part == Part::Step).then(keys)
    }
}

impl report::Spec for Finding {
    fn head() -> String {
        let [part, preset, threads] = ["part", "preset", "threads"];
        format!("{part:<8} {preset:<7} {threads:>7} {:>9} {:>9} {:>8}", "tokens/s", "cpu ms", "MiB")
    }

    fn columns(&self) -> String {
        let Self { task: Task { part, size, threads }, figures } = self;
        let Figures { tok_s, cpu_ms, rss_mb, .. } = *figures;
        format!("{part:<8} {size:<7} {threads:>7} {tok_s:>9.0} {cpu_ms:>9.2} {rss_mb:>8.0}")
    }

    fn at(&self) -> String {
        self.task.to_string()
    }

    fn to_json(&self) -> Map<String, Value> {
        let Self { task: Task { part, size, threads }, figures } = self;
        let row = json!({
            "part": part.to_string(), "cfg": size.to_string(), "threads": threads,
            "ms": figures.ms, "cpu_ms": figures.cpu_ms, "tok_s": figures.tok_s, "rss_mb": figures.rss_mb,
        });
        row.as_object().cloned().unwrap_or_default()
    }
}

/// The rows that the choices ask for. Only the larger model is decoded: the other has few bytes to read.
pub(crate) fn plan(sizes: &[Size], parts: &[Part], threads: &[usize]) -> Vec<Task> {
    let mut plan = Vec::new();
    for &part in parts {
        for &size in sizes.iter().filter(|&&size| part == Part::Step || size == Size::Base) {
            plan.extend(threads.iter().map(|&threads| Task { part, size, threads }));
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Spec as _;

    #[test]
    fn both_sizes_are_trained_and_the_larger_one_is_decoded() {
        let plan = plan(&[Size::Small, Size::Base], &[Part::Step, Part::Decode], &[1, 2]);
        assert_eq!(plan.len(), 4 + 2);
        assert!(plan[4..].iter().all(|task| task.part == Part::Decode && task.size == Size::Base));
    }

    #[test]
    fn the_work_of_a_step_is_two_products_of_every_ternary_weight() {
        let task = Task { part: Part::Step, size: Size::Small, threads: 1 };
        let ternary = 6 * (256 * 256 * 2 + 256 * 128 * 2 + 3 * 256 * 768);
        let attention = 6 * 6 * 256 * (256 * 257 / 2) * 16;
        let expected = 4096 * (2 * ternary + 3 * 256 * 256) + attention;
        assert_eq!(task.step_macs(), expected);
    }

    #[test]
    fn a_row_has_the_keys_of_a_peer() {
        let task = Task { part: Part::Step, size: Size::Base, threads: 2 };
        let row = Finding { task, figures: Figures { ms: 5.0, rss_mb: 9.0, ..Figures::default() } };
        let json = row.to_json();
        assert_eq!((&json["cfg"], &json["threads"]), (&"base".into(), &2.into()));
        assert_eq!((&json["ms"], &json["rss_mb"]), (&5.0.into(), &9.0.into()));
        assert_eq!(row.at(), "base step, 2 threads");
    }
}
