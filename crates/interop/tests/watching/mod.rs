//! How much memory was asked for at a time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which remembers the largest single request of each thread.
struct Watching;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every request is handed to the system's allocator as it came; beyond that a number of this
// thread is written, which allocates nothing because it is const and needs no drop.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: the caller's promise about `layout` is the one needed.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// What a call returns, and the bytes of the largest single request for memory that it made in this thread.
pub(crate) fn largest_request<R>(call: impl FnOnce() -> R) -> (R, usize) {
    LARGEST.set(0);
    let result = call();
    (result, LARGEST.get())
}
