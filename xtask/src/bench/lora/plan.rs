//! Which rows to measure, and what bounds them.

use std::fmt;

use clap::ValueEnum;
use models::Base;
use serde_json::{Map, Value, json};
use ternary_core::kernels::Isa;

use super::model::{RANK, shape};
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
    /// Forward, backward and AdamW
    Step,
    /// The loss alone
    Forward,
}
display_by_name!(Part);

impl Part {
    pub(super) const ALL: [Self; 2] = [Self::Step, Self::Forward];
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) part: Part,
    pub(crate) base: Base,
    /// Of the one sequence.
    pub(crate) tokens: usize,
    pub(crate) threads: usize,
    pub(crate) vocabulary: usize,
}

/// A task with what came of it.
pub(crate) type Finding = turns::Finding<Task>;

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, base, tokens, threads, .. } = self;
        let plural = if *threads == 1 { "" } else { "s" };
        write!(f, "{part} of {tokens} tokens, {base}, {threads} thread{plural}")
    }
}

impl Task {
    /// Multiply-accumulates in `f32` that nothing spares. Of a frozen matrix that is one product forward and one back,
    /// of a ternary one the latter alone; of an adapter two forward and four back; of the delta rule what `bench gdn`
    /// counts; and of attention visible pairs of positions, in two products forward and four back. What the projections at
    /// the start of the first layer would pass back to its input counts nothing: nothing learns there, and the product of
    /// each with its matrix and with A could be left out.
    fn macs(self) -> u64 {
        let Self { part, base, tokens, vocabulary, .. } = self;
        let config = shape(vocabulary);
        let (forward, back) = (1, usize::from(part == Part::Step));
        let mut each = (forward + back) * config.width * vocabulary;
        for place in config.places() {
            let exact = forward * usize::from(base != Base::Ternary);
            let (weights, factors) =
                (place.inputs * place.outputs, RANK * (place.inputs + place.outputs));
            each += (exact + back) * weights + (forward + 2 * back) * factors;
            if is_at_the_start(&place.name) {
                each -= back * (weights + RANK * place.inputs);
            }
        }
        let mut pairs = 0;
        for layer in 0..config.layers {
            match config.delta_at(layer) {
                Some(delta) => {
                    let state = delta.key_width * delta.value_width;
                    let chunk = 2 * delta.value_width * lora_backward::ops::CHUNK;
                    each += (forward + 2 * back) * delta.value_heads * (3 * state + chunk);
                }
                None => {
                    let width = config.heads * config.head_width;
                    pairs += (2 * forward + 4 * back) * width * (tokens * (tokens + 1) / 2);
                }
            }
        }
        (tokens * each + pairs) as u64
    }
}

/// Whether a projection reads what the embedding gives, and nothing that learns comes before it.
fn is_at_the_start(name: &str) -> bool {
    let mixer = name.strip_prefix("model.layers.0.").and_then(|name| name.split_once('.'));
    mixer.is_some_and(|(_, end)| {
        end.starts_with("in_proj_") || matches!(end, "q_proj" | "k_proj" | "v_proj")
    })
}

impl turns::Task for Task {
    fn arguments(self) -> Vec<String> {
        let Self { part, base, tokens, threads, vocabulary } = self;
        vec![
            "lora".into(),
            "--child".into(),
            format!("--part={part}"),
            format!("--base={base}"),
            format!("--tokens={tokens}"),
            format!("--threads={threads}"),
            format!("--vocabulary={vocabulary}"),
        ]
    }

    fn bound(self, isa: Isa, _: u64) -> (Work, Roof) {
        let work = Work { macs: self.macs(), bytes: 0 };
        let (threads, peak) = (self.threads, Peak::of_floats(isa));
        (work, Roof { threads, memory_bytes: None, peak })
    }

    fn is_bound_by_bytes(self) -> bool {
        false
    }

    fn keys(self) -> Option<Vec<(&'static str, Value)>> {
        let Self { part, base, tokens, threads, vocabulary } = self;
        let keys = || {
            vec![
                ("base", base.name().into()),
                ("tokens", tokens.into()),
                ("threads", threads.into()),
                ("vocabulary", vocabulary.into()),
            ]
        };
        (part == Part::Step && base != Base::Ternary).then(keys)
    }
}

impl report::Spec for Finding {
    fn head() -> String {
        let [part, base, tokens, threads] = ["part", "base", "tokens", "threads"];
        let [speed, time, memory, weights] = ["tokens/s", "cpu ms", "MiB", "weights"];
        format!(
            "{part:<8} {base:<8} {tokens:>6} {threads:>7} {speed:>9} {time:>9} {memory:>8} {weights:>8}"
        )
    }

    fn columns(&self) -> String {
        let Self { task: Task { part, base, tokens, threads, .. }, figures } = self;
        let Figures { tok_s, cpu_ms, rss_mb, bytes, .. } = *figures;
        let (base, weights) = (base.name(), bytes as f64 / (1 << 20) as f64);
        format!(
            "{part:<8} {base:<8} {tokens:>6} {threads:>7} {tok_s:>9.0} {cpu_ms:>9.0} {rss_mb:>8.0} {weights:>8.1}"
        )
    }

    fn at(&self) -> String {
        self.task.to_string()
    }

    fn to_json(&self) -> Map<String, Value> {
        let Self { task: Task { part, base, tokens, threads, vocabulary }, figures } = self;
        let row = json!({
            "part": part.to_string(), "base": base.name(), "tokens": tokens, "threads": threads,
            "vocabulary": vocabulary, "ms": figures.ms, "cpu_ms": figures.cpu_ms, "tok_s": figures.tok_s,
            "rss_mb": figures.rss_mb, "projection_bytes": figures.bytes,
        });
        row.as_object().cloned().unwrap_or_default()
    }
}

/// The rows that the choices ask for.
pub(crate) fn plan(
    bases: &[Base],
    tokens: &[usize],
    parts: &[Part],
    threads: &[usize],
    vocabulary: usize,
) -> Vec<Task> {
    let mut plan = Vec::new();
    for &part in parts {
        for &tokens in tokens {
            for &threads in threads {
                let of_base = |&base| Task { part, base, tokens, threads, vocabulary };
                plan.extend(bases.iter().map(of_base));
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Spec as _;
    use crate::bench::turns::Task as _;

    const TASK: Task =
        Task { part: Part::Step, base: Base::F32, tokens: 512, threads: 2, vocabulary: 4096 };

    #[test]
    fn every_choice_is_a_row_and_ternary_weights_and_forwards_have_no_peer() {
        let plan = plan(&Base::ALL, &[512, 2048], &Part::ALL, &[1, 2], 4096);
        assert_eq!(plan.len(), 3 * 2 * 2 * 2);
        let with_peer: Vec<_> = plan.iter().filter(|task| task.keys().is_some()).collect();
        assert_eq!(with_peer.len(), 2 * 2 * 2);
        assert!(with_peer.iter().all(|t| t.part == Part::Step && t.base != Base::Ternary));
    }

    #[test]
    fn a_ternary_base_spares_the_forward_of_its_projections() {
        let macs = |part, base| Task { part, base, ..TASK }.macs();
        let delta = 1024 * (6144 + 2048 + 2 * 16) + 2048 * 1024;
        let attention = 1024 * (4096 + 2 * 512) + 2048 * 1024;
        let weights = 512 * (3 * delta + attention + 4 * 3 * 1024 * 3584);
        for part in Part::ALL {
            assert_eq!(macs(part, Base::F32) - macs(part, Base::Ternary), weights);
            assert_eq!(macs(part, Base::F32), macs(part, Base::Bf16));
        }
        let (step, forward) = (macs(Part::Step, Base::F32), macs(Part::Forward, Base::F32));
        // Of the first layer, four projections with their adapters pass nothing back.
        let [input, output] = [1024, 6144 + 2048 + 2 * 16];
        let spared = 512 * (input * output + 4 * 16 * input);
        assert!((2 * forward..3 * forward).contains(&(step + spared)));
        let config = shape(4096);
        let names = config.places().into_iter().map(|place| place.name);
        let at_the_start: Vec<String> = names.filter(|name| is_at_the_start(name)).collect();
        let of_first = |end| format!("model.layers.0.linear_attn.in_proj_{end}");
        let expected = ["qkv", "z", "b", "a"].map(of_first);
        assert!(expected.iter().all(|name| at_the_start.contains(name)), "{at_the_start:?}");
        assert_eq!(at_the_start.len(), 4);
    }

    #[test]
    fn a_row_has_the_keys_of_a_peer() {
        let row = Finding { task: TASK, figures: Figures { ms: 5.0, ..Figures::default() } };
        let json = row.to_json();
        for (key, value) in TASK.keys().unwrap() {
            assert_eq!(json[key], value);
        }
        assert_eq!(
            (&json["ms"], row.at().as_str()),
            (&5.0.into(), "step of 512 tokens, f32, 2 threads")
        );
    }
}
