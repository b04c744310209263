//! Who makes the choices of a story: the one that draws them, or the one that reads them from a text.

use std::convert::Infallible;
use std::num::NonZeroU64;

use ternary_core::noise::Noise;

/// What a story is told to. The grammar is one function over it, so that the generator and the parser cannot
/// disagree.
pub(super) trait Chooser {
    /// Why the telling ends early.
    type Halt;

    /// Tells what has no choice.
    fn say(&mut self, text: &str) -> Result<(), Self::Halt>;

    /// Tells one of some texts, all of the same probability, and returns which. None of them begins with another,
    /// so that a text shows which it was; there is at least one.
    fn choose(&mut self, alternatives: &[&str]) -> Result<usize, Self::Halt>;

    /// Bytes told so far.
    fn told(&self) -> usize;
}

/// Draws the choices of one story.
pub(super) struct Draw<'a> {
    noise: Noise,
    next: u64,
    text: &'a mut Vec<u8>,
}

impl<'a> Draw<'a> {
    /// The story `number` of a seed; `attempt` tells other ones of the same number. The text is empty.
    pub(super) fn new(seed: u64, number: u64, attempt: u32, text: &'a mut Vec<u8>) -> Self {
        // High and low half: an address has two words.
        let noise = Noise::new(seed, (number >> 32) as u32, number as u32);
        Self { noise, next: u64::from(attempt) << 32, text }
    }
}

impl Chooser for Draw<'_> {
    type Halt = Infallible;

    fn say(&mut self, text: &str) -> Result<(), Infallible> {
        self.text.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn choose(&mut self, alternatives: &[&str]) -> Result<usize, Infallible> {
        let index = self.next;
        self.next += 1;
        // One alternative at least; a single one takes its number all the same.
        let count = NonZeroU64::new(alternatives.len() as u64).unwrap_or(NonZeroU64::MIN);
        let chosen = self.noise.below(index, count) as usize;
        self.say(alternatives[chosen])?;
        Ok(chosen)
    }

    fn told(&self) -> usize {
        self.text.len()
    }
}
