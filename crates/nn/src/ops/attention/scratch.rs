//! Working memory that a thread keeps from call to call, so that a steady state allocates nothing.

use std::cell::Cell;

use crate::simd::LANES;

/// Sixteen floats on a 64-byte boundary.
#[derive(Debug, Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

/// What a buffer is for. Each purpose has one buffer per thread; a call that finds it in use (it was
/// stolen onto this thread while another call waits) gets a fresh one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// What all tasks of a call share.
    Call,
    /// What one task needs.
    Task,
}

/// Lines that a thread keeps for a purpose; what a very long sequence needed beyond is given back.
const KEPT: usize = (256 << 20) / size_of::<Line>();

thread_local! {
    static BUFFERS: [Cell<Vec<Line>>; 2] = const { [const { Cell::new(Vec::new()) }; 2] };
}

/// Calls `work` with `length` floats, aligned to 64 bytes, whose content is left over from earlier calls.
pub(super) fn with<R>(purpose: Purpose, length: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = BUFFERS.with(|buffers| buffers[purpose as usize].take());
    let lines = length.div_ceil(LANES);
    if buffer.len() < lines {
        buffer.resize(lines, Line([0.0; LANES]));
    }
    let result = work(&mut bytemuck::cast_slice_mut(&mut buffer[..lines])[..length]);
    if buffer.len() > KEPT {
        buffer = Vec::new();
    }
    BUFFERS.with(|buffers| buffers[purpose as usize].set(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_kept_and_a_nested_call_gets_its_own() {
        let first = with(Purpose::Call, 40, |outer| {
            assert_eq!((outer.len(), outer.as_ptr() as usize % 64), (40, 0));
            let outer = outer.as_mut_ptr();
            with(Purpose::Call, 40, |inner| assert_ne!(outer, inner.as_mut_ptr()));
            outer
        });
        with(Purpose::Call, 16, |again| assert_eq!(first, again.as_mut_ptr()));
    }
}
