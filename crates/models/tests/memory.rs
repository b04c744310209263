//! What a step of training a whole decoder allocates, counted by the allocator itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use models::{Batch, Decoder, DecoderConfig, Initial, Shadow, WeightKind};
use nn::{BitLinearOptions, Gradients, Module, ScaleSync, Sequences, Tape, Update};

struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain number without a
// destructor, so touching it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: passed on from the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on from the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_steady_state_of_training_a_decoder_allocates_nothing() {
    let ternary = |embedding, shadow| {
        let options = BitLinearOptions::default();
        WeightKind::Ternary { options, shadow, embedding, head: false, sync: ScaleSync::PerMatrix }
    };
    for kind in [WeightKind::Dense, ternary(true, Shadow::F32), ternary(false, Shadow::Bf16)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| {
            let config = DecoderConfig { layers: 2, positions: 256, ..DecoderConfig::tiny() };
            let mut source = Initial { seed: 1, kind: kind.clone() };
            let mut model = Decoder::<f32>::build(config, &mut source).unwrap();
            let mut gradients = Gradients::zeros(model.parameters());
            let mut tape = Tape::recording();
            // More rows than are scored at a time, and a last block that is not full.
            let tokens: Vec<u32> = (0..3 * 200).map(|at| at * 7 % 256).collect();
            let sequences = Sequences { count: 3, length: 200 };
            let batch = Batch { sequences, tokens: &tokens, targets: &tokens };
            let mut step = |at| {
                gradients.clear();
                model.loss_and_gradients(batch, &mut tape, &mut gradients).unwrap();
                model.finish_gradients(&mut gradients).unwrap();
                model.requantize(Update::hard(1, at)).unwrap();
                (CALLS.get(), tape.size_bytes())
            };
            let before = (1..=4).map(&mut step).last().unwrap();
            assert_eq!((5..=6).map(&mut step).last().unwrap(), before, "{kind:?}");
        });
    }
}
