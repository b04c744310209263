//! Which rows to measure, and which of them in turn with each other.

use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::bench::arguments::or_default;
use crate::bench::named::display_by_name;
use crate::bench::report;
use crate::bench::shape::Shape;

/// A kernel, by its name in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Kernel {
    /// Matrix × vector, int8 × trits of two bits, quantising the vector included
    Gemv2,
    /// The same with five trits in a byte
    Gemv5,
    /// Rows × matrix, int8 × trits of two bits, quantising the rows included
    Gemm,
    /// The same with five trits in a byte
    Gemm5,
    /// f32 rows × trits
    F32Trits,
    /// f32 rows × transposed trits
    F32TritsT,
    /// int16 rows × trits
    I16Trits,
    /// int16 rows × transposed trits
    I16TritsT,
    /// f32 latent weights → packed trits
    Requantise,
    /// bf16 latent weights → packed trits
    RequantiseBf16,
    /// f32 rows → int8
    QuantiseRows,
}

/// Where the weights (of a requantisation: the latent weights) are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// Main memory: the calls rotate through many distinct matrices
    Dram,
    /// Cache: one matrix over and over
    Cache,
}

/// Which scales the matrix has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scale {
    /// One for the matrix
    Tensor,
    /// One for each row
    Row,
    /// One for each 128 columns of a row
    Group,
    /// Two for the matrix, one for each sign
    Ttq,
}

display_by_name!(Kernel, Source, Scale);

/// One row of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) kernel: Kernel,
    pub(crate) shape: Shape,
    pub(crate) m: usize,
    pub(crate) threads: usize,
    pub(crate) source: Source,
    pub(crate) scale: Scale,
}

impl report::Spec for Spec {
    fn head() -> String {
        format!(
            "{:<16} {:>11} {:>4} {:>7} {:<7} {:<6}",
            "kernel", "KxN", "m", "threads", "weights", "scale"
        )
    }

    fn columns(&self) -> String {
        let Self { kernel, m, threads, source, scale, .. } = self;
        let shape = self.shape.to_string();
        format!("{kernel:<16} {shape:>11} {m:>4} {threads:>7} {source:<7} {scale:<6}")
    }

    fn at(&self) -> String {
        format!("{} m={} {}", self.shape, self.m, self.source)
    }

    fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        json.insert("kernel".into(), self.kernel.to_string().into());
        json.insert("k".into(), self.shape.k.into());
        json.insert("n".into(), self.shape.n.into());
        json.insert("m".into(), self.m.into());
        json.insert("threads".into(), self.threads.into());
        json.insert("weights".into(), self.source.to_string().into());
        json.insert("scale".into(), self.scale.to_string().into());
        json
    }
}

/// Rows that take turns, so that their times may be compared.
pub(crate) type Series = Vec<Spec>;

/// What the command line asks for; an empty list means the default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    pub(crate) shapes: Vec<Shape>,
    pub(crate) rows: Vec<usize>,
    pub(crate) threads: Vec<usize>,
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) sources: Vec<Source>,
    pub(crate) scales: Vec<Scale>,
    /// The largest matrix that counts as lying in the cache.
    pub(crate) cache_bytes: usize,
}

/// Kernels that take turns, in the order of their weight in the goals: one pass over all shapes for
/// each inner list, so that a run that is cut short has the first whole.
const PASSES: [&[&[Kernel]]; 3] = [
    &[&[Kernel::Gemv2, Kernel::Gemv5], &[Kernel::Gemm, Kernel::Gemm5]],
    &[&[Kernel::Requantise], &[Kernel::RequantiseBf16], &[Kernel::QuantiseRows]],
    &[&[Kernel::F32Trits], &[Kernel::F32TritsT], &[Kernel::I16Trits], &[Kernel::I16TritsT]],
];

/// The series that the choice asks for, in order.
pub(crate) fn plan(choice: &Choice) -> Vec<Series> {
    let shapes = or_default(&choice.shapes, &Shape::DEFAULT);
    let threads = or_default(&choice.threads, &[1, 2]);
    let sources = or_default(&choice.sources, &[Source::Dram, Source::Cache]);
    let mut plan = Vec::new();
    for pass in PASSES {
        for &shape in &shapes {
            for &family in pass {
                for m in rows(family[0], &choice.rows) {
                    for scale in scales(family[0], &choice.scales) {
                        for &source in &sources {
                            let specs = threads.iter().flat_map(|&threads| {
                                family.iter().map(move |&kernel| Spec {
                                    kernel,
                                    shape,
                                    m,
                                    threads,
                                    source,
                                    scale,
                                })
                            });
                            let series: Series =
                                specs.filter(|spec| is_measured(spec, choice)).collect();
                            if !series.is_empty() {
                                plan.push(series);
                            }
                        }
                    }
                }
            }
        }
    }
    plan
}

/// Rows of activations that make sense for a kernel.
fn rows(kernel: Kernel, chosen: &[usize]) -> Vec<usize> {
    match kernel {
        Kernel::Gemv2 | Kernel::Gemv5 => {
            let mut rows = or_default(chosen, &[1]);
            rows.retain(|&m| m == 1);
            rows
        }
        Kernel::Gemm | Kernel::Gemm5 => {
            let mut rows = or_default(chosen, &[8, 32, 128, 512]);
            rows.retain(|&m| m > 1);
            rows
        }
        Kernel::QuantiseRows => or_default(chosen, &[1, 128]),
        Kernel::Requantise | Kernel::RequantiseBf16 => vec![0],
        _ => or_default(chosen, &[128, 512]),
    }
}

/// Scales that make a difference for a kernel.
fn scales(kernel: Kernel, chosen: &[Scale]) -> Vec<Scale> {
    match kernel {
        Kernel::Gemv2 | Kernel::Gemv5 | Kernel::Gemm | Kernel::Gemm5 => {
            or_default(chosen, &[Scale::Tensor])
        }
        Kernel::Requantise => {
            let mut scales = or_default(chosen, &[Scale::Tensor, Scale::Row, Scale::Group]);
            scales.retain(|&scale| scale != Scale::Ttq);
            scales
        }
        _ => vec![Scale::Tensor],
    }
}

fn is_measured(spec: &Spec, choice: &Choice) -> bool {
    let chosen = choice.kernels.is_empty() || choice.kernels.contains(&spec.kernel);
    // Two bits a weight: an upper bound for both packings.
    let fits = spec.shape.weights() / 4 <= choice.cache_bytes;
    let source = match spec.kernel {
        Kernel::Gemv2 | Kernel::Gemv5 | Kernel::Gemm => spec.source == Source::Dram || fits,
        Kernel::Requantise | Kernel::RequantiseBf16 => spec.source == Source::Dram,
        // Bound by computing: where the weights come from makes little difference.
        _ => spec.source == Source::Cache,
    };
    // Five trits save memory, not computing: a few rows show what a product costs.
    let five = spec.kernel != Kernel::Gemm5 || !choice.rows.is_empty() || spec.m >= 128;
    chosen && source && five
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice() -> Choice {
        Choice { cache_bytes: 16 << 20, ..Choice::default() }
    }

    #[test]
    fn names_on_the_command_line_are_those_of_the_report() {
        let names: Vec<String> = Kernel::value_variants().iter().map(Kernel::to_string).collect();
        let expected = "gemv2 gemv5 gemm gemm5 f32_trits f32_trits_t i16_trits i16_trits_t \
                        requantise requantise_bf16 quantise_rows";
        assert_eq!(names.join(" "), expected);
        assert_eq!([Source::Dram, Source::Cache].map(|s| s.to_string()), ["dram", "cache"]);
    }

    #[test]
    fn both_packings_and_all_threads_of_a_gemv_take_turns() {
        let plan = plan(&choice());
        let first: Vec<_> = plan[0].iter().map(|s| (s.threads, s.kernel)).collect();
        let [two, five] = [Kernel::Gemv2, Kernel::Gemv5];
        assert_eq!(first, [(1, two), (1, five), (2, two), (2, five)]);
        assert!(plan[0].iter().all(|s| s.source == Source::Dram && s.m == 1));
    }

    #[test]
    fn every_kernel_shape_and_number_of_rows_is_measured_by_default() {
        let rows: Vec<Spec> = plan(&choice()).into_iter().flatten().collect();
        for &kernel in Kernel::value_variants() {
            for shape in Shape::DEFAULT {
                for threads in [1, 2] {
                    let found = rows
                        .iter()
                        .any(|s| (s.kernel, s.shape, s.threads) == (kernel, shape, threads));
                    assert!(found, "{kernel} {shape} {threads}");
                }
            }
        }
        for m in [1, 8, 32, 128, 512] {
            assert!(rows.iter().any(|s| s.m == m && s.source == Source::Dram));
        }
    }

    #[test]
    fn a_choice_narrows_the_plan_and_repeats_are_measured_once() {
        let shape = Shape { k: 64, n: 48 };
        let choice = Choice {
            shapes: vec![shape, shape],
            rows: vec![1, 16],
            threads: vec![1],
            kernels: vec![Kernel::Gemv2, Kernel::Gemm],
            sources: vec![Source::Cache],
            scales: vec![Scale::Ttq],
            ..choice()
        };
        let rows: Vec<Spec> = plan(&choice).into_iter().flatten().collect();
        let found: Vec<_> = rows.iter().map(|s| (s.kernel, s.m, s.scale)).collect();
        assert_eq!(found, [(Kernel::Gemv2, 1, Scale::Ttq), (Kernel::Gemm, 16, Scale::Ttq)]);
    }

    #[test]
    fn a_matrix_larger_than_the_cache_is_measured_from_dram_only() {
        let choice = Choice { cache_bytes: 1 << 20, kernels: vec![Kernel::Gemv2], ..choice() };
        let rows: Vec<Spec> = plan(&choice).into_iter().flatten().collect();
        assert!(!rows.is_empty() && rows.iter().all(|s| s.source == Source::Dram));
    }
}
