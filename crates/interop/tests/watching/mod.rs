//! How much memory was asked for at a time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which remembers for each thread its largest single request, the bytes it holds
/// and the most it held.
struct Watching;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every request is handed to the system's allocator as it came; beyond that numbers of this
// thread are written, which allocates nothing because they are const and need no drop.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        HELD.set(HELD.get() + layout.size() as isize);
        PEAK.set(PEAK.get().max(HELD.get()));
        // SAFETY: the caller's promise about `layout` is the one needed.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: the pointer came from `alloc` above, so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// The bytes that a call asked for in this thread.
pub(crate) struct Memory {
    /// In its largest single request.
    pub(crate) largest: usize,
    /// At the most beside those that are held after it.
    pub(crate) passing: isize,
}

/// What a call returns, and the memory that it asked for.
pub(crate) fn watched<R>(call: impl FnOnce() -> R) -> (R, Memory) {
    LARGEST.set(0);
    PEAK.set(HELD.get());
    let result = call();
    (result, Memory { largest: LARGEST.get(), passing: PEAK.get() - HELD.get() })
}
