//! `cargo xtask bench gdn`: a gated delta net, forward, with backward, and decoding.
//!
//! Hidden width 1024, 16 key heads and 16 or 32 value heads of 128, four taps; the weights are frozen and the gradient
//! of the inputs is wanted. Rows take turns as in `bench layers`. What a forward with its backward holds at its peak
//! beyond the layer itself is counted once, on one thread.

mod goals;
mod memory;
mod plan;
mod trial;

use ternary_core::kernels::Kernels;

use self::plan::{Pass, Spec, plan};
use self::trial::Trials;
use super::Result;
use super::arguments::Running;
use super::measuring::Measuring;
use super::shape::parse_positive;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    running: Running,
    /// Tokens of the sequence; may repeat
    #[arg(long, value_name = "T", value_parser = parse_positive)]
    tokens: Vec<usize>,
    /// Value heads, a multiple of 16; may repeat
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    heads: Vec<usize>,
    /// Which way through the layer; may repeat
    #[arg(long = "pass", value_name = "NAME")]
    passes: Vec<Pass>,
    /// Minutes after which rows that are not steady get no further rounds
    #[arg(long, value_name = "N", default_value = "5", value_parser = parse_positive)]
    minutes: usize,
}

/// Measures and prints.
pub(crate) fn run(args: Args) -> Result {
    let isa = Kernels::detect()?.isa();
    let threads = args.running.threads()?;
    let mut file = args.running.create_file()?;
    let specs = plan(&args.heads, &args.tokens, &args.passes, &threads);
    let mut bench = Measuring::start(isa, &threads)?;
    let mut trials = Trials::default();
    let mut memory = Vec::new();
    for &spec in specs.iter().filter(|spec| spec.pass == Pass::ForwardBackward && spec.threads == 1)
    {
        let bytes = trials.extra_bytes(spec)?;
        println!("{:>5} tokens, {} value heads: {:.0} MB", spec.m, spec.heads, bytes as f64 / 1e6);
        memory.push((spec, bytes));
    }
    let calls =
        specs.iter().map(|&spec| trials.prepare(spec, isa)).collect::<nn::Result<Vec<_>>>()?;
    bench.measure_beside(&specs, calls, args.minutes, &args.running.peers)?;
    let goals = goals::goals(&bench.report, &memory);
    bench.conclude(&goals, true, file.as_mut())
}

/// The bytes of a row of the report, if they were counted.
fn bytes_of(memory: &[(Spec, usize)], spec: Spec) -> Option<usize> {
    memory.iter().find(|(of, _)| *of == spec).map(|&(_, bytes)| bytes)
}
