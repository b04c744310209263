//! The stopwatch: roofs and kernels timed on this machine.

use std::time::{Duration, Instant};

use super::roofs::{Rates, Roof, Roofs};
use super::rounds::{Stopwatch, Work};

/// The least time that a kernel or a limit is measured for in a round.
pub(super) const TURN: Duration = Duration::from_millis(50);
/// Seconds of a call above which it is not made once more to warm the caches.
const LONG_CALL: f64 = 0.02;

/// One call of what is measured.
pub(super) type Run<E> = Box<dyn FnMut() -> Result<(), E> + Send>;

/// Something ready to be called, with what bounds it.
pub(super) struct Call<E> {
    pub(super) roof: Roof,
    pub(super) work: Work,
    pub(super) run: Run<E>,
}

/// Times roofs and kernels on this machine.
pub(super) struct Machine<'a, E> {
    roofs: &'a mut Roofs,
    calls: Vec<Call<E>>,
    /// Seconds of a call of each kernel as last measured, or 0.
    last: Vec<f64>,
}

impl<'a, E> Machine<'a, E> {
    pub(super) fn new(roofs: &'a mut Roofs, calls: Vec<Call<E>>) -> Self {
        let last = vec![0.0; calls.len()];
        Self { roofs, calls, last }
    }
}

impl<E: Send> Stopwatch for Machine<'_, E> {
    type Error = E;

    fn roof(&mut self, roof: Roof) -> Rates {
        self.roofs.measure(roof, TURN)
    }

    fn kernel(&mut self, contestant: usize) -> Result<f64, E> {
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
