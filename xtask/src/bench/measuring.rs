//! A run of a bench: the machine, and what was found on it so far.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use ternary_core::kernels::Isa;

use super::Result;
use super::goal::Goal;
use super::machine::{Call, Machine, TURN};
use super::report::{Report, Row, Spec};
use super::roofs::compute::Peak;
use super::roofs::{Rates, Roof, Roofs, cache};
use super::rounds::{Alternation, Work, median};

/// The machine and the report.
pub(crate) struct Measuring<S> {
    isa: Isa,
    roofs: Roofs,
    pub(crate) report: Report<S>,
}

impl<S: Spec + Copy> Measuring<S> {
    /// Starts the threads and measures every limit of the machine once, for the head of the report.
    pub(crate) fn start(isa: Isa, threads: &[usize]) -> Result<Self> {
        let mut measuring = Self { isa, roofs: Roofs::new(threads)?, report: Report::new() };
        measuring.measure_roofs(threads);
        Ok(measuring)
    }

    /// Bytes to read so that they come from DRAM.
    pub(crate) fn dram_bytes(&self) -> usize {
        self.roofs.dram_bytes()
    }

    /// What a limit of the machine is now.
    pub(crate) fn roof(&mut self, roof: Roof) -> Rates {
        self.roofs.measure(roof, TURN)
    }

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

    /// Measures rows in turn with peers, telling of each round. Rows that are not steady after so many minutes get
    /// no further rounds.
    pub(crate) fn measure_beside<E: Error + Send + 'static>(
        &mut self,
        specs: &[S],
        calls: Vec<Call<E>>,
        minutes: usize,
        peers: &[String],
    ) -> Result {
        let limit = Duration::from_secs((minutes as u64).saturating_mul(60));
        let start = Instant::now();
        self.measure(
            specs,
            calls,
            || start.elapsed() < limit,
            |report, round| {
                eprintln!("[round {}] {:.0} s", round + 1, start.elapsed().as_secs_f64());
                report.run_peers(peers, round)?;
                Ok(!peers.is_empty())
            },
        )
    }

    /// Measures rows in turn. Before each round that all of them run, `between` may do something
    /// else; it is told which round comes, and says whether it took any time.
    pub(crate) fn measure<E: Error + Send + 'static>(
        &mut self,
        specs: &[S],
        calls: Vec<Call<E>>,
        may_retry: impl Fn() -> bool,
        mut between: impl FnMut(&mut Report<S>, usize) -> Result<bool>,
    ) -> Result {
        let contestants: Vec<(Roof, Work)> = calls.iter().map(|c| (c.roof, c.work)).collect();
        let mut machine = Machine::new(&mut self.roofs, calls);
        let mut alternation = Alternation::new(&contestants);
        while alternation.goes_on() {
            if let Some(round) = alternation.common_round()
                && between(&mut self.report, round)?
            {
                alternation.interrupt();
            }
            alternation.round(&mut machine, &may_retry)?;
        }
        let isa = self.isa.to_string();
        let measured = specs.iter().zip(&contestants).zip(alternation.measured());
        for ((&spec, &(_, work)), measured) in measured {
            self.report.rows.push(Row { spec, isa: isa.clone(), work, measured });
        }
        Ok(())
    }

    /// Prints and writes what was found. With `each`, every figure stands beside its goal.
    pub(crate) fn conclude(
        mut self,
        goals: &[Goal],
        each: bool,
        file: Option<&mut File>,
    ) -> Result {
        self.report.goals = goals.iter().map(Goal::to_json).collect();
        println!("{}", roofs_table(&self.report.roofs));
        println!("{}", self.report.table());
        for goal in goals {
            println!("{}", if each { goal.lines() } else { goal.line() });
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
