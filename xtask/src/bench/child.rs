//! What a row does that has a process of its own, so that its peak memory is its alone: calls, and what they take.

use std::fs;
use std::time::Instant;

use nn::Values;
use rayon::ThreadPoolBuilder;
use serde::{Deserialize, Serialize};

use super::Result;
use super::rounds::median;

/// Clock ticks a second in the files of the system.
const TICKS: f64 = 100.0;

/// An error that may leave a pool of threads.
pub(crate) type Sent<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What a process of ours tells, under the keys of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// The median call: a step, or a token.
    pub(crate) ms: f64,
    /// Processor time of a call, of all threads.
    pub(crate) cpu_ms: f64,
    pub(crate) tok_s: f64,
    /// Peak memory of the process, in MiB; 0 where the system does not tell.
    pub(crate) rss_mb: f64,
    /// Bytes of the weights that the row is about, where it is about some.
    pub(crate) bytes: u64,
}

impl Figures {
    /// Peak memory in MiB, where the system tells it.
    pub(crate) fn peak(&self) -> Option<f64> {
        (self.rss_mb > 0.0).then_some(self.rss_mb)
    }
}

/// Runs a row on threads of its own and prints its figures as one line of JSON.
pub(crate) fn print(threads: usize, row: impl FnOnce() -> Sent<Figures> + Send) -> Result {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
    let figures = pool.install(row).map_err(|error| error.to_string())?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// How long calls took.
pub(crate) struct Times {
    median: f64,
    cpu: f64,
}

impl Times {
    /// The figures, for calls of `parts`, each of so many tokens.
    pub(crate) fn figures(&self, parts: usize, tokens: usize, bytes: u64) -> Figures {
        let seconds = self.median / parts as f64;
        Figures {
            ms: 1e3 * seconds,
            cpu_ms: 1e3 * self.cpu / parts as f64,
            tok_s: tokens as f64 / seconds,
            rss_mb: peak_memory().unwrap_or(0.0),
            bytes,
        }
    }
}

/// Times calls, after some that warm up.
pub(crate) fn time(
    warm_up: usize,
    calls: usize,
    mut call: impl FnMut() -> Sent<()>,
) -> Sent<Times> {
    for _ in 0..warm_up {
        call()?;
    }
    let mut seconds = Vec::with_capacity(calls);
    let before = processor_time();
    for _ in 0..calls {
        let start = Instant::now();
        call()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let cpu = before.zip(processor_time()).map_or(f64::NAN, |(before, after)| after - before);
    Ok(Times { median: median(seconds).unwrap_or(f64::NAN), cpu: cpu / calls as f64 })
}

/// Bytes of a tensor of weights.
pub(crate) fn weight_bytes(values: &Values<'_, f32>) -> usize {
    match values {
        Values::Real(values) | Values::Single(values) => size_of_val(*values),
        Values::Bf16 { values, .. } => size_of_val(*values),
        Values::Ternary { matrix, .. } => matrix.size_bytes(),
        Values::Training(_) => 0,
    }
}

/// The most memory that this process has had, in MiB, where the system tells it.
fn peak_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

/// Seconds that processors have spent on this process, where the system tells it.
fn processor_time() -> Option<f64> {
    ticks(&fs::read_to_string("/proc/self/stat").ok()?).map(|ticks| ticks / TICKS)
}

/// The clock ticks of a `stat` file: its 14th and 15th fields. The second is a name that may hold spaces.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(|field| field.parse::<f64>().ok());
    Some(times.next()?? + times.next()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_a_name_with_spaces() {
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0";
        assert_eq!(ticks(stat), Some(150.0));
        assert_eq!(ticks("7 nothing"), None);
    }

    #[test]
    fn calls_that_warm_up_do_not_count() {
        let mut calls = 0;
        let times = time(2, 3, || {
            calls += 1;
            Ok(())
        });
        assert_eq!(calls, 2 + 3);
        assert!(times.unwrap().median < 1.0);
        assert!(time(0, 1, || Err("no".into())).is_err());
    }
}
