//! What runs in a process of its own: one row, a few times.

use std::fs;
use std::time::Instant;

use models::Decoder;
use nn::{Module, Tape, Values};
use rayon::ThreadPoolBuilder;
use trainer::run::{Trial, build};

use super::plan::{Figures, Part, Task};
use crate::bench::Result;
use crate::bench::rounds::median;

/// Calls that only warm up.
pub(super) const WARM_UP: usize = 2;
/// Tokens of a call of [`Part::Decode`].
const TOKENS: usize = 32;
/// Such calls for each step that is asked for: a call is short.
const CALLS_A_STEP: usize = 8;
/// Clock ticks a second in the files of the system.
const TICKS: f64 = 100.0;

/// Runs a row and prints its figures as one line of JSON.
pub(super) fn run(task: Task, steps: usize, unit: Option<usize>) -> Result {
    let pool = ThreadPoolBuilder::new().num_threads(task.threads).build()?;
    let figures = pool.install(|| match task.part {
        Part::Step => train(task, steps, unit),
        Part::Decode => decode(task, steps * CALLS_A_STEP),
    });
    println!("{}", serde_json::to_string(&figures.map_err(|error| error.to_string())?)?);
    Ok(())
}

/// An error that may leave the pool.
type Sent<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn train(task: Task, steps: usize, unit: Option<usize>) -> Sent<Figures> {
    let mut trial = trial(task, unit)?;
    let tokens = trial.tokens();
    let times = time(steps, || match trial.step() {
        Ok(true) => Ok(()),
        Ok(false) => Err("a step met a number that is not finite".into()),
        Err(error) => Err(error.into()),
    })?;
    Ok(times.figures(1, tokens, 0))
}

/// The run of a task's preset.
pub(super) fn trial(task: Task, unit: Option<usize>) -> trainer::Result<Trial> {
    let mut configuration = task.size.preset().configuration();
    if let Some(unit) = unit {
        configuration.batch.unit = unit;
    }
    Trial::new(&configuration)
}

fn decode(task: Task, calls: usize) -> Sent<Figures> {
    let configuration = task.size.preset().configuration();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model");
    interop::save(&build(&configuration, trainer::data::VOCABULARY)?, &path)?;
    let model = interop::open(&path)?;
    let mut tape = Tape::inference();
    let mut bytes = 0;
    let times = time(calls, || {
        let mut cache = model.cache(1);
        let mut token = 0;
        for position in 0..TOKENS {
            let scores = model.advance(&[token], &mut cache, &mut tape)?;
            token = largest(&scores);
            tape.give(scores);
            if position == TOKENS / 2 {
                bytes = weight_bytes(&model) + cache.size_bytes();
            }
        }
        Ok(())
    })?;
    Ok(times.figures(TOKENS, 1, bytes as u64))
}

/// The token of the largest score.
fn largest(scores: &[f32]) -> u32 {
    let largest = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    largest.map_or(0, |(token, _)| token as u32)
}

/// Bytes of all weights, each of which a token reads once: the table of the embedding is the head's too.
fn weight_bytes(model: &Decoder<f32>) -> usize {
    let mut bytes = 0;
    model.visit(&mut |tensor| {
        bytes += match tensor.values {
            Values::Real(values) | Values::Single(values) => size_of_val(values),
            Values::Bf16 { values, .. } => size_of_val(values),
            Values::Ternary { matrix, .. } => matrix.size_bytes(),
            Values::Training(_) => 0,
        };
    });
    bytes
}

/// How long calls took.
struct Times {
    median: f64,
    cpu: f64,
}

impl Times {
    /// The figures, for calls of `parts`, each of so many tokens.
    fn figures(&self, parts: usize, tokens: usize, bytes: u64) -> Figures {
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
fn time(calls: usize, mut call: impl FnMut() -> Sent<()>) -> Sent<Times> {
    for _ in 0..WARM_UP {
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
        let times = time(3, || {
            calls += 1;
            Ok(())
        });
        assert_eq!(calls, WARM_UP + 3);
        assert!(times.unwrap().median < 1.0);
        assert!(time(1, || Err("no".into())).is_err());
    }

    #[test]
    fn the_largest_score_decides_the_next_token() {
        assert_eq!((largest(&[0.5, 2.0, -3.0]), largest(&[])), (1, 0));
    }
}
