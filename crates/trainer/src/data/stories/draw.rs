//! The choices of one story.

use std::num::NonZeroU64;

use ternary_core::noise::Noise;

/// The choices of story `number`, one after the other.
pub(super) struct Draw {
    noise: Noise,
    next: u64,
}

impl Draw {
    pub(super) fn new(seed: u64, number: u32) -> Self {
        Self { noise: Noise::new(seed, 0, number), next: 0 }
    }

    /// An integer of 0‥n.
    ///
    /// # Panics
    /// When `n` is zero.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let index = self.next;
        self.next += 1;
        let n = NonZeroU64::new(n as u64).expect("a choice has at least one outcome");
        self.noise.below(index, n) as usize
    }

    /// One of several.
    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Two different ones of several, in either order.
    pub(super) fn two_of<T: Copy>(&mut self, choices: &[T]) -> [T; 2] {
        let first = self.below(choices.len());
        let second = self.below(choices.len() - 1);
        [choices[first], choices[second + usize::from(second >= first)]]
    }
}
