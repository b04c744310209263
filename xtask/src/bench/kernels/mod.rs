//! `cargo xtask bench kernels`: every kernel beside the roof that bounds it.
//!
//! A share of the roof is the median of at least seven rounds roof–kernel–roof of 50 ms or more each.
//! Rounds whose two roofs differ by more than 5% are dropped; with fewer than five left the row says
//! `steady: false`. The roof of a row is the roofline `max(bytes/bandwidth, MACs/peak)`: on some
//! machines the cache delivers two-bit weights faster than any core can multiply by them.

mod calls;
mod clock;
mod goals;
mod machine;
mod operands;
pub(crate) mod plan;
pub(crate) mod shape;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value};
use ternary_core::kernels::{Isa, Kernels};

use self::calls::prepare;
use self::clock::Clock;
use self::machine::{Machine, TURN};
use self::operands::Operands;
use self::plan::{Choice, Kernel, Scale, Series, Source, plan};
use self::shape::{Shape, parse_positive};
use super::report::{Report, Row};
use super::roofs::compute::Peak;
use super::roofs::{Rates, Roof, Roofs, cache};
use super::rounds::{Work, alternate, median};
use super::{Result, peer};

/// Times that peers run, spread over the run from its beginning to its end.
const PEER_TURNS: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Inputs x outputs of the weight matrix; may repeat
    #[arg(long = "shape", value_name = "KxN")]
    shapes: Vec<Shape>,
    /// Rows of activations; may repeat
    #[arg(long, value_name = "M", value_parser = parse_positive)]
    rows: Vec<usize>,
    /// Threads; may repeat
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    threads: Vec<usize>,
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
    /// Another program to run in turn with ours, read for lines of JSON objects; may repeat
    #[arg(long = "peer", value_name = "COMMAND")]
    peers: Vec<String>,
    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
    let threads = if args.threads.is_empty() { default_threads()? } else { args.threads };
    check_sizes(&args.shapes, &args.rows, &threads)?;
    // The file is opened first, so that minutes of measuring cannot end in a bad path.
    let mut file = args.json.as_deref().map(create).transpose()?;
    let choice = Choice {
        shapes: args.shapes,
        rows: args.rows,
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
    let mut clock =
        Clock::start(Duration::from_secs((args.minutes as u64).saturating_mul(60)), plan.len());
    let mut bench = Bench { kernels, roofs: Roofs::new(&threads)?, report: Report::default() };
    bench.measure_roofs(&threads);
    let mut operands: Option<Operands> = None;
    for (index, series) in plan.iter().enumerate() {
        clock.pause(|| bench.run_peers(&args.peers, index, plan.len()))?;
        if !clock.may_begin(index) {
            bench.report.left_out += series.len();
            continue;
        }
        clock.progress(index, series);
        let shape = series[0].shape;
        let operands = match &mut operands {
            Some(known) if known.shape() == shape => known,
            other => {
                // The old ones go before the new ones come.
                *other = None;
                other.insert(Operands::new(shape))
            }
        };
        bench.measure(series, operands, || clock.may_retry(index))?;
    }
    clock.pause(|| bench.run_peers(&args.peers, plan.len(), plan.len()))?;
    bench.conclude(file.as_mut())
}

/// The most numbers in a matrix: its floats take 16 GiB.
const MOST_NUMBERS: usize = 1 << 32;

/// Refuses what this machine could not hold, and threads that would share a processor with another.
fn check_sizes(shapes: &[Shape], rows: &[usize], threads: &[usize]) -> Result {
    let shapes = if shapes.is_empty() { &Shape::DEFAULT } else { shapes };
    let most_rows = rows.iter().copied().max().unwrap_or_default();
    for &shape in shapes {
        let (weights, widest) = (shape.weights(), shape.k.max(shape.n));
        let numbers = most_rows.checked_mul(widest).map(|numbers| numbers.max(weights));
        if numbers.is_none_or(|numbers| numbers > MOST_NUMBERS) {
            let found = format!("{shape} weights and {most_rows} rows");
            return Err(format!("expected at most {MOST_NUMBERS} numbers, found {found}").into());
        }
    }
    let available = thread::available_parallelism()?.get();
    match threads.iter().find(|&&threads| threads > available) {
        Some(found) => Err(format!("expected at most {available} threads, found {found}").into()),
        None => Ok(()),
    }
}

/// One thread, and two where there are two processors.
fn default_threads() -> Result<Vec<usize>> {
    let available = thread::available_parallelism()?.get();
    Ok([1, 2].into_iter().filter(|&threads| threads <= available).collect())
}

fn create(path: &Path) -> Result<File> {
    Ok(File::create(path).map_err(|error| format!("{}: {error}", path.display()))?)
}

struct Bench {
    kernels: Kernels,
    roofs: Roofs,
    report: Report,
}

impl Bench {
    /// Measures every limit of the machine once, for the head of the report.
    fn measure_roofs(&mut self, threads: &[usize]) {
        let [dram, cached] = [self.roofs.dram_bytes(), cache::last_level_bytes() / 4];
        for &threads in threads {
            let mut found = Map::new();
            for (key, bytes) in [("dram_read_gbs", dram), ("l3_read_gbs", cached)] {
                let roof = Roof { threads, memory_bytes: Some(bytes), peak: None };
                let rate = self.median_rate(roof, |rates| rates.bytes_per_second);
                found.insert(key.into(), rate.map(|rate| rate / 1e9).into());
            }
            for peak in Peak::ALL {
                let roof = Roof { threads, memory_bytes: None, peak: Some(peak) };
                let rate = self.median_rate(roof, |rates| rates.macs_per_second);
                found.insert(
                    peak.key().into(),
                    rate.map(|rate| rate * peak.operations() / 1e9).into(),
                );
            }
            self.report.roofs.insert(format!("threads_{threads}"), found.into());
        }
    }

    fn median_rate(&mut self, roof: Roof, rate: impl Fn(Rates) -> Option<f64>) -> Option<f64> {
        (0..3).map(|_| rate(self.roofs.measure(roof, TURN))).collect::<Option<_>>().and_then(median)
    }

    /// Measures the rows of a series in turn.
    fn measure(
        &mut self,
        series: &Series,
        operands: &mut Operands,
        may_retry: impl Fn() -> bool,
    ) -> Result {
        let dram_bytes = self.roofs.dram_bytes();
        let prepare = |&spec| prepare(spec, self.kernels, operands, dram_bytes);
        let calls = series.iter().map(prepare).collect::<ternary_core::Result<Vec<_>>>()?;
        let contestants: Vec<(Roof, Work)> = calls.iter().map(|c| (c.roof, c.work)).collect();
        let mut machine = Machine::new(&mut self.roofs, calls);
        let measured = alternate(&mut machine, &contestants, may_retry)?;
        for ((&spec, (_, work)), measured) in series.iter().zip(contestants).zip(measured) {
            let isa = self.kernels.isa().to_string();
            self.report.rows.push(Row { spec, isa, work, measured });
        }
        Ok(())
    }

    /// Runs the peers when `done` of `all` series is one of their turns.
    fn run_peers(&mut self, commands: &[String], done: usize, all: usize) -> Result {
        let Some(turn) = (0..PEER_TURNS).find(|turn| turn * all / (PEER_TURNS - 1) == done) else {
            return Ok(());
        };
        for command in commands {
            for figures in peer::run(command, turn)? {
                println!("{figures}");
                self.report.peers.push(figures);
            }
        }
        Ok(())
    }

    /// Prints and writes what was found.
    fn conclude(mut self, file: Option<&mut File>) -> Result {
        let goals = goals::goals(&self.kernels.isa().to_string(), &self.report.rows);
        self.report.goals = goals.iter().map(goals::Goal::to_json).collect();
        println!("{}", roofs_table(&self.report.roofs));
        println!("{}", self.report.table());
        for goal in &goals {
            println!("{}", goal.line());
        }
        if self.report.left_out > 0 {
            println!("{} rows were left out for lack of time", self.report.left_out);
        }
        if let Some(file) = file {
            writeln!(file, "{:#}", self.report.to_json())?;
        }
        Ok(())
    }
}

fn roofs_table(roofs: &Map<String, Value>) -> String {
    let figures = |limits: &Map<String, Value>| {
        let figure =
            |(key, value): (&String, &Value)| Some(format!("  {key:<28} {:>8.1}", value.as_f64()?));
        limits.iter().filter_map(figure).collect::<Vec<_>>().join("\n")
    };
    let of = |(threads, limits): (&String, &Value)| {
        Some(format!("{threads}\n{}\n", figures(limits.as_object()?)))
    };
    roofs.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_cannot_hold_is_refused_with_what_was_found() {
        assert!(check_sizes(&[], &[512], &[1]).is_ok());
        let huge = Shape { k: 1 << 20, n: 1 << 20 };
        let error = check_sizes(&[huge], &[], &[1]).unwrap_err().to_string();
        assert!(error.contains("1048576x1048576"), "{error}");
        for rows in [1 << 30, usize::MAX] {
            let error = check_sizes(&[], &[1, rows], &[1]).unwrap_err().to_string();
            assert!(error.contains(&rows.to_string()), "{error}");
        }
        let error = check_sizes(&[], &[], &[1, 1 << 20]).unwrap_err().to_string();
        assert!(error.contains("1048576"), "{error}");
    }
}
