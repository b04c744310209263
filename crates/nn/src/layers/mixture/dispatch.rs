//! Which rows go to which expert.

use ternary_core::Real;

use crate::error::Result;
use crate::tape::Tape;

/// The routed slots (k for each row), sorted by expert and, within one, by row: a counting sort.
#[derive(Debug)]
pub(super) struct Dispatch {
    /// Slots in the order of their experts.
    order: Vec<u32>,
    /// Where each expert's slots begin, and where the last one's end.
    starts: Vec<u32>,
}

impl Dispatch {
    pub(super) fn new<T: Real>(chosen: &[u32], experts: usize, tape: &mut Tape<T>) -> Self {
        let mut starts = tape.take_tokens(experts + 1);
        let mut order = tape.take_tokens(chosen.len());
        starts.fill(0);
        for &expert in chosen {
            starts[expert as usize + 1] += 1;
        }
        for expert in 0..experts {
            starts[expert + 1] += starts[expert];
        }
        // Each start moves to its expert's end while the slots are placed, which is the next one's start.
        for (slot, &expert) in chosen.iter().enumerate() {
            let place = &mut starts[expert as usize];
            order[*place as usize] = slot as u32;
            *place += 1;
        }
        starts.copy_within(0..experts, 1);
        starts[0] = 0;
        Self { order, starts }
    }

    /// The slots of an expert, in the order of the rows.
    pub(super) fn slots(&self, expert: usize) -> &[u32] {
        &self.order[self.starts[expert] as usize..self.starts[expert + 1] as usize]
    }

    pub(super) fn save<T: Real>(self, tape: &mut Tape<T>) {
        tape.save_tokens(&self.order);
        tape.save_tokens(&self.starts);
        self.recycle(tape);
    }

    pub(super) fn restore<T: Real>(layer: &str, tape: &mut Tape<T>) -> Result<Self> {
        let starts = tape.restore_tokens(layer)?;
        Ok(Self { order: tape.restore_tokens(layer)?, starts })
    }

    pub(super) fn recycle<T: Real>(self, tape: &mut Tape<T>) {
        tape.give_tokens(self.order);
        tape.give_tokens(self.starts);
    }
}
