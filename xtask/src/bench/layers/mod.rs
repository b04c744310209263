//! `cargo xtask bench layers`: the layers of `nn`, forward alone and with backward.
//!
//! All rows take turns in one sequence of rounds, and the peers run once in each, so that ours and
//! theirs see the same machine. Shares of the roof are measured as for the kernels; speeds relative to
//! one another are ratios of the medians over the rounds.

mod calls;
mod goals;
mod plan;

use ternary_core::kernels::Kernels;

use self::calls::Trials;
use self::plan::{Choice, HEADS, Layer, Pass, SHAPES, TOKENS, plan};
use super::Result;
use super::arguments::{Common, or_default};
use super::measuring::Measuring;
use super::shape::{Shape, parse_positive};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Layers to measure; may repeat
    #[arg(long = "layer", value_name = "NAME")]
    layers: Vec<Layer>,
    /// Which way through the layers; may repeat
    #[arg(long = "pass", value_name = "NAME")]
    passes: Vec<Pass>,
    /// Minutes after which rows that are not steady get no further rounds
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_positive)]
    minutes: usize,
}

/// Measures and prints.
pub(crate) fn run(args: Args) -> Result {
    let isa = Kernels::detect()?.isa();
    let shapes = or_default(&args.common.shapes, &SHAPES);
    let rows = or_default(&args.common.rows, &[TOKENS]);
    let wide = HEADS.query * HEADS.width;
    let threads =
        args.common.check(&[&shapes[..], &[Shape { k: wide, n: wide }]].concat(), &rows)?;
    let mut file = args.common.running.create_file()?;
    let plan = plan(&Choice {
        shapes,
        rows,
        threads: threads.clone(),
        layers: args.layers,
        passes: args.passes,
    });
    if plan.is_empty() {
        return Err("this choice of layers and passes leaves nothing".into());
    }
    let mut bench = Measuring::start(isa, &threads)?;
    let mut trials = Trials::default();
    let calls = plan.iter().map(|&spec| trials.prepare(spec, isa)).collect::<nn::Result<_>>()?;
    bench.measure_beside(&plan, calls, args.minutes, &args.common.running.peers)?;
    let goals = goals::goals(&bench.report);
    bench.conclude(&goals, true, file.as_mut())
}
