//! Roofs: what this machine could do at best, measured beside each kernel.
//!
//! A roof runs on the same threads as the kernel it bounds: those of a rayon pool. They meet at a
//! spinning barrier, then each runs for the whole time on its own, and their rates are added.

pub(crate) mod cache;
pub(crate) mod compute;
pub(crate) mod memory;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::Result;
use compute::Peak;
use memory::{Line, Prefetch, Streams};

/// Weights "from DRAM" rotate through at least this much.
pub(crate) const ROTATION_BYTES: usize = 160_000_000;

/// How long each way to prefetch is tried, three times, before a buffer is first read.
const TRIAL: Duration = Duration::from_millis(12);

/// The limits that bound a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roof {
    pub(crate) threads: usize,
    /// Reading a buffer of so many bytes over and over.
    pub(crate) memory_bytes: Option<usize>,
    pub(crate) peak: Option<Peak>,
}

/// What was measured of a [`Roof`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rates {
    pub(crate) bytes_per_second: Option<f64>,
    pub(crate) macs_per_second: Option<f64>,
}

/// The buffer and the threads that roofs are measured with.
pub(crate) struct Roofs {
    pools: BTreeMap<usize, ThreadPool>,
    lines: Vec<Line>,
    prefetch: BTreeMap<(usize, usize), Prefetch>,
}

impl Roofs {
    /// Starts the threads and fills the buffer.
    pub(crate) fn new(threads: &[usize]) -> Result<Self> {
        let pool = |&count| Ok((count, ThreadPoolBuilder::new().num_threads(count).build()?));
        let pools = threads.iter().map(pool).collect::<Result<_>>()?;
        let lines = dram_bytes(cache::last_level_bytes()).div_ceil(size_of::<Line>());
        let lines = (0..lines as u64).map(|i| Line([i; 8])).collect();
        Ok(Self { pools, lines, prefetch: BTreeMap::new() })
    }

    /// The threads that kernels and roofs run on.
    pub(crate) fn pool(&self, threads: usize) -> &ThreadPool {
        &self.pools[&threads]
    }

    /// Bytes to read so that they come from DRAM.
    pub(crate) fn dram_bytes(&self) -> usize {
        size_of_val(&self.lines[..])
    }

    /// Measures a roof, each of its limits for `time`.
    pub(crate) fn measure(&mut self, roof: Roof, time: Duration) -> Rates {
        Rates {
            bytes_per_second: roof.memory_bytes.map(|n| self.read(roof.threads, n, time)),
            macs_per_second: roof.peak.and_then(|peak| self.compute(roof.threads, peak, time)),
        }
    }

    /// Bytes a second of reading the first `bytes` of the buffer over and over.
    fn read(&mut self, threads: usize, bytes: usize, time: Duration) -> f64 {
        let lines = (bytes / size_of::<Line>()).min(self.lines.len());
        let lines = &self.lines[..lines];
        let pool = &self.pools[&threads];
        let prefetch = *self.prefetch.entry((threads, lines.len())).or_insert_with(|| {
            let best = |prefetch: &Prefetch| {
                let rate = |_| read_rate(pool, lines, *prefetch, TRIAL);
                (0..3).map(rate).fold(0.0, f64::max)
            };
            let fastest = Prefetch::ALL.into_iter().map(|p| (best(&p), p));
            fastest.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(Prefetch::None, |(_, p)| p)
        });
        read_rate(pool, lines, prefetch, time)
    }

    /// Multiply-accumulates a second; `None` where the processor lacks the instruction.
    fn compute(&self, threads: usize, peak: Peak, time: Duration) -> Option<f64> {
        peak.burst()?;
        Some(rate(&self.pools[&threads], time, |_| (1, move |_| peak.burst().unwrap_or(0) as f64)))
    }
}

/// Eight times the last-level cache and no less than what weights rotate through, but no more than
/// half a gibibyte unless the cache asks for it.
fn dram_bytes(last_level: usize) -> usize {
    (8 * last_level).min(512 << 20).max(2 * last_level).max(ROTATION_BYTES)
}

fn read_rate(pool: &ThreadPool, lines: &[Line], prefetch: Prefetch, time: Duration) -> f64 {
    let each = (lines.len() / pool.current_num_threads()).max(1);
    rate(pool, time, |thread| {
        let streams = Streams::new(lines.chunks(each).nth(thread).unwrap_or_default());
        (streams.pieces(), move |piece| streams.read(piece, prefetch) as f64)
    })
}

/// The sum over threads of work a second. `work(thread)` gives the number of pieces of that thread's
/// work and a function that does one and says how much it was; they are done over and over.
fn rate<W: Fn(usize) -> f64>(
    pool: &ThreadPool,
    time: Duration,
    work: impl Fn(usize) -> (usize, W) + Sync,
) -> f64 {
    let threads = pool.current_num_threads();
    let arrived = AtomicUsize::new(0);
    let rates = pool.broadcast(|context| {
        let (pieces, work) = work(context.index());
        // The first pass warms the caches and is not counted.
        for piece in 0..pieces {
            work(piece);
        }
        meet(&arrived, threads);
        let start = Instant::now();
        let mut done = 0.0;
        for piece in (0..pieces).cycle() {
            done += work(piece);
            let elapsed = start.elapsed();
            if elapsed >= time {
                return done / elapsed.as_secs_f64();
            }
        }
        0.0
    });
    rates.iter().sum()
}

/// Spins until all threads have arrived.
fn meet(arrived: &AtomicUsize, threads: usize) {
    arrived.fetch_add(1, Ordering::AcqRel);
    let mut spins = 0_u32;
    while arrived.load(Ordering::Acquire) < threads {
        spins = spins.saturating_add(1);
        // With more threads than processors, the last one needs a processor to arrive on.
        if spins < 100_000 { std::hint::spin_loop() } else { thread::yield_now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dram_buffer_is_far_larger_than_the_cache() {
        assert_eq!(dram_bytes(0), ROTATION_BYTES);
        assert_eq!(dram_bytes(32 << 20), 256 << 20);
        assert_eq!(dram_bytes(100 << 20), 512 << 20);
        assert_eq!(dram_bytes(1 << 30), 2 << 30);
    }

    #[test]
    fn threads_run_together_and_their_rates_add_up() {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let seen = AtomicUsize::new(0);
        let rate = rate(&pool, Duration::from_millis(5), |thread| {
            seen.fetch_or(1 << thread, Ordering::Relaxed);
            (2, |_| {
                thread::sleep(Duration::from_millis(1));
                1.0
            })
        });
        assert_eq!(seen.into_inner(), 0b111);
        assert!(rate > 0.0 && rate <= 3.0 * 1000.0, "{rate} pieces of a millisecond a second");
    }

    #[test]
    fn wider_instructions_do_more_and_none_is_free() {
        let mut roofs = Roofs::new(&[1]).unwrap();
        let time = Duration::from_millis(5);
        for peak in Peak::ALL {
            let roof = Roof { threads: 1, memory_bytes: None, peak: Some(peak) };
            let Some(rate) = roofs.measure(roof, time).macs_per_second else { continue };
            // No core does more than four such instructions a cycle at 8 GHz.
            assert!((1e6..4.0 * 64.0 * 8e9).contains(&rate), "{peak:?}: {rate}");
        }
        let roof = Roof { threads: 1, memory_bytes: Some(1 << 20), peak: None };
        let rates = roofs.measure(roof, time);
        assert!(rates.bytes_per_second.unwrap() > 1e8 && rates.macs_per_second.is_none());
    }
}
