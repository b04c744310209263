//! The stopwatch: roofs and kernels timed on this machine.

use std::time::{Duration, Instant};

use ternary_core::{Error, Result};

use super::calls::Call;
use crate::bench::roofs::{Rates, Roof, Roofs};
use crate::bench::rounds::Stopwatch;

/// The least time that a kernel or a limit is measured for in a round.
pub(super) const TURN: Duration = Duration::from_millis(50);
/// Seconds of a call above which it is not made once more to warm the caches.
const LONG_CALL: f64 = 0.02;

/// Times roofs and kernels on this machine.
pub(super) struct Machine<'a> {
    roofs: &'a mut Roofs,
    calls: Vec<Call>,
    /// Seconds of a call of each kernel as last measured, or 0.
    last: Vec<f64>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(roofs: &'a mut Roofs, calls: Vec<Call>) -> Self {
        let last = vec![0.0; calls.len()];
        Self { roofs, calls, last }
    }
}

impl Stopwatch for Machine<'_> {
    type Error = Error;

    fn roof(&mut self, roof: Roof) -> Rates {
        self.roofs.measure(roof, TURN)
    }

    fn kernel(&mut self, contestant: usize) -> Result<f64> {
        let call = &mut self.calls[contestant];
        let warm = self.last[contestant] < LONG_CALL;
        let pool = self.roofs.pool(call.roof.threads);
        // One `install` for all calls: entering the pool is no part of the kernel.
        let seconds = pool.install(|| {
            if warm {
                (call.run)()?;
            }
            let (start, mut calls) = (Instant::now(), 0_u32);
            loop {
                (call.run)()?;
                calls += 1;
                let elapsed = start.elapsed();
                if elapsed >= TURN {
                    return Ok(elapsed.as_secs_f64() / f64::from(calls));
                }
            }
        })?;
        self.last[contestant] = seconds;
        Ok(seconds)
    }
}
