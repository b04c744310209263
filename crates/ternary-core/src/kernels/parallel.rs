//! Sharing work among rayon's threads.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Multiply-adds below which a call is not worth another thread's wake-up.
const WORTH_WAKING: usize = 1 << 20;

/// Calls `work(i)` for each `i` below `items`, on this thread and, where `cost` multiply-adds are
/// worth it, on the other threads of the current rayon pool. Items are handed out one at a time, so
/// that a thread which wakes up late delays nobody.
pub(crate) fn for_each(items: usize, cost: usize, work: impl Fn(usize) + Sync) {
    let threads = if cost < WORTH_WAKING { 1 } else { rayon::current_num_threads().min(items) };
    if threads <= 1 {
        return (0..items).for_each(work);
    }
    let next = AtomicUsize::new(0);
    let take = || {
        loop {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= items {
                break;
            }
            work(item);
        }
    };
    if rayon::current_thread_index().is_some() {
        fan_out(threads, &take);
    } else {
        // Outside the pool: keep this thread working rather than hand everything over and sleep.
        rayon::in_place_scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|_| take());
            }
            take();
        });
    }
}

/// Runs `take` `threads` times at once. `join` keeps its jobs on the stack: nothing is allocated.
fn fan_out(threads: usize, take: &(impl Fn() + Sync)) {
    if threads <= 1 {
        take();
    } else {
        rayon::join(take, || fan_out(threads - 1, take));
    }
}

/// A slice that several threads write to, each in places of its own.
pub(crate) struct SharedSlice<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: the slice is only reachable through `range`, whose caller promises that ranges in use at
// the same time do not overlap; then each `T` is used by one thread at a time.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// `len` elements from `start` on.
    ///
    /// # Safety
    /// No other range that is alive may overlap this one.
    ///
    /// # Panics
    /// When the range is not inside the slice.
    #[allow(clippy::mut_from_ref)] // The point of the type; the caller keeps ranges apart.
    pub(crate) unsafe fn range(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: inside the slice by the assertion, and not aliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_item_is_done_once_inside_a_pool_and_outside() {
        for cost in [0, usize::MAX] {
            for threads in [1, 2, 3, 8] {
                let done: Vec<_> = (0..100).map(|_| AtomicU32::new(0)).collect();
                let work = |i: usize| {
                    done[i].fetch_add(1, Ordering::Relaxed);
                };
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| for_each(100, cost, work));
                for_each(100, cost, work);
                assert!(done.iter().all(|n| n.load(Ordering::Relaxed) == 2));
            }
        }
    }

    #[test]
    fn threads_write_their_own_ranges() {
        let mut values = vec![0; 64];
        let shared = SharedSlice::new(&mut values);
        for_each(16, usize::MAX, |i| {
            // SAFETY: each item takes four elements of its own.
            unsafe { shared.range(4 * i, 4) }.fill(i);
        });
        assert!(values.iter().enumerate().all(|(i, &v)| v == i / 4));
    }
}
