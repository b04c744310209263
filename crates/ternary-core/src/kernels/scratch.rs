//! Working memory that a thread keeps from call to call, so that a steady state allocates nothing.

use std::cell::Cell;

use crate::packing::LANES;

/// Sixteen 32-bit words on a 64-byte boundary: one register of a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(64))]
pub(crate) struct Words(pub(crate) [u32; LANES]);

/// What a buffer is for. Each purpose has one buffer per thread; a call that finds it in use (it was
/// stolen onto this thread while another call waits) gets a fresh one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Activations, packed into tiles.
    Activations,
    /// Activations of one tile, before they are transposed.
    Rows,
    /// Sums of activations.
    Sums,
    /// Weights, unpacked.
    Panel,
    /// Lines, transcoded from another packing.
    Lines,
    /// Latent weights, widened.
    Latent,
}

/// Registers that a thread keeps for a purpose; what a very long row needed beyond is given back.
const KEPT: usize = (128 << 20) / size_of::<Words>();

const PURPOSES: usize = Purpose::Latent as usize + 1;

thread_local! {
    static BUFFERS: [Cell<Vec<Words>>; PURPOSES] =
        const { [const { Cell::new(Vec::new()) }; PURPOSES] };
}

/// Calls `work` with a buffer of `words` 32-bit words whose content is left over from earlier calls.
pub(crate) fn with<R>(purpose: Purpose, words: usize, work: impl FnOnce(&mut [Words]) -> R) -> R {
    let mut buffer = BUFFERS.with(|buffers| buffers[purpose as usize].take());
    let registers = words.div_ceil(LANES);
    if buffer.len() < registers {
        buffer.resize(registers, Words([0; LANES]));
    }
    let result = work(&mut buffer[..registers]);
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
    fn a_buffer_is_kept_and_a_nested_call_gets_its_own() {
        let first = with(Purpose::Panel, 40, |outer| {
            assert_eq!(outer.len(), 3);
            let outer = outer.as_mut_ptr();
            with(Purpose::Panel, 40, |inner| assert_ne!(outer, inner.as_mut_ptr()));
            outer
        });
        with(Purpose::Panel, 16, |again| assert_eq!(first, again.as_mut_ptr()));
    }
}
