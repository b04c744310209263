//! `cargo xtask bench kernels`: every kernel beside the roof that bounds it.
//!
//! A share of the roof is the median of at least seven rounds roof–kernel–roof of 50 ms or more each.
//! Rounds whose two roofs differ by more than 5% are dropped; with fewer than five left the row says
//! `steady: false`. The roof of a row is the roofline `max(bytes/bandwidth, MACs/peak)`: on some
//! machines the cache delivers two-bit weights faster than any core can multiply by them.

mod calls;
mod goals;
mod operands;
pub(crate) mod plan;

use std::time::Duration;

use ternary_core::kernels::{Isa, Kernels};

use self::calls::prepare;
use self::operands::Operands;
use self::plan::{Choice, Kernel, Scale, Source, plan};
use super::Result;
use super::arguments::{Common, or_default};
use super::clock::Clock;
use super::measuring::Measuring;
use super::report::Spec as _;
use super::roofs::cache;
use super::shape::{Shape, parse_positive};

/// Times that peers run, spread over the run from its beginning to its end.
const PEER_TURNS: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Instruction set; without it the best there is
    #[arg(long, value_name = "NAME")]
    isa: Option<Isa>,
    /// Kernels to measure; may repeat
    #[arg(long = "kernel", value_name = "NAME")]
    kernels: Vec<Kernel>,
    /// Where weights are read from; may repeat
    #[arg(long = "weights", value_name = "FROM")]
    sources: Vec<Source>,
    /// Which scales the weights have; may repeat
    #[arg(long = "scale", value_name = "KIND")]
    scales: Vec<Scale>,
    /// Minutes that rows may take; what does not fit is left out (peers are not counted)
    #[arg(long, value_name = "N", default_value = "8", value_parser = parse_positive)]
    minutes: usize,
}

/// Measures and prints.
pub(crate) fn run(args: Args) -> Result {
    let kernels = match args.isa {
        Some(isa) => Kernels::new(isa)?,
        None => Kernels::detect()?,
    };
    let shapes = or_default(&args.common.shapes, &Shape::DEFAULT);
    let threads = args.common.check(&shapes, &args.common.rows)?;
    let mut file = args.common.running.create_file()?;
    let choice = Choice {
        shapes,
        rows: args.common.rows,
        threads: threads.clone(),
        kernels: args.kernels,
        sources: args.sources,
        scales: args.scales,
        cache_bytes: cache::last_level_bytes() / 2,
    };
    let plan = plan(&choice);
    if plan.is_empty() {
        return Err("this choice of kernels, rows, weights and scales leaves nothing".into());
    }
    let limit = Duration::from_secs((args.minutes as u64).saturating_mul(60));
    let mut clock = Clock::start(limit, plan.len());
    let mut bench = Measuring::start(kernels.isa(), &threads)?;
    let mut operands: Option<Operands> = None;
    for (index, series) in plan.iter().enumerate() {
        if let Some(turn) = peer_turn(index, plan.len()) {
            clock.pause(|| bench.report.run_peers(&args.common.running.peers, turn))?;
        }
        if !clock.may_begin(index) {
            bench.report.left_out += series.len();
            continue;
        }
        clock.progress(index, &format_args!("{} {}", series[0].kernel, series[0].at()));
        let shape = series[0].shape;
        let operands = match &mut operands {
            Some(known) if known.shape() == shape => known,
            other => {
                // The old ones go before the new ones come.
                *other = None;
                other.insert(Operands::new(shape))
            }
        };
        let dram_bytes = bench.dram_bytes();
        let prepare = |&spec| prepare(spec, kernels, operands, dram_bytes);
        let calls = series.iter().map(prepare).collect::<ternary_core::Result<Vec<_>>>()?;
        bench.measure(series, calls, || clock.may_retry(index), |_, _| Ok(false))?;
    }
    if let Some(turn) = peer_turn(plan.len(), plan.len()) {
        clock.pause(|| bench.report.run_peers(&args.common.running.peers, turn))?;
    }
    let goals = goals::goals(&kernels.isa().to_string(), &bench.report.rows);
    bench.conclude(&goals, false, file.as_mut())
}

/// Which turn the peers have when `done` of `all` series are measured, if any.
fn peer_turn(done: usize, all: usize) -> Option<usize> {
    (0..PEER_TURNS).find(|turn| turn * all / (PEER_TURNS - 1) == done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_run_from_the_beginning_of_the_plan_to_its_end() {
        let turns: Vec<_> =
            (0..=10).filter_map(|done| Some((done, peer_turn(done, 10)?))).collect();
        assert_eq!(turns, [(0, 0), (2, 1), (5, 2), (7, 3), (10, 4)]);
    }
}
