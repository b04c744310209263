//! Text to train on when there is none: small stories in which names, counts and facts agree.
//!
//! ```text
//! Once Nabekosi (Tirosale) had 7 owls, Sivotane (Kelumiro) 3 hens, Ragisopa (Bunopaze) 2 rams. All sought Zubimo.
//! Zubimo! Nabekosi lost 2. Ragisopa sold 1. So Nabekosi (Tirosale) had 5 owls, Sivotane (Kelumiro) 3 hens, Ragisopa
//! (Bunopaze) 1 ram. Zubimo!
//! ```
//!
//! A story is a function of a seed and its number, exactly as long as a window, and begins with the window. Its names
//! are invented, so that nobody can know them; what comes later (who lives where, what each has left) follows
//! from bytes long before it. A model that knows spelling alone is beaten by one that copies and counts.
//!
//! The grammar is unambiguous: [`read`] finds every choice in the text, and with it the probability of any next byte.
//! All choices together have at least 200 bits. Their nats over the bytes of a story are the generator's own loss, which
//! no model is below on average: the **floor** of a text of stories.

mod chooser;
mod grammar;
mod reader;
mod words;

use chooser::Draw;
use rayon::prelude::*;
pub use reader::{NoStory, Reading, read};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::randomness::Purpose;

/// The seed of the stories that are held out. It is not that of the run, so that runs which differ in their seed are
/// measured on the same text.
const HELD_OUT_SEED: u64 = 0;

/// Stories to train on without an end, and some that are held out and never told in training.
#[derive(Debug, Clone)]
pub struct Stories {
    seed: u64,
    window: usize,
    /// How many are held out. They are told anew whenever they are asked for.
    held_out: u64,
    /// Hashes of those that are held out, in their order.
    forbidden: Vec<u64>,
}

impl Stories {
    /// Stories of `window` bytes, of which `held_out` are held out.
    ///
    /// # Errors
    /// [`Error::NoRoomForStories`] for a window that is too small.
    pub fn new(seed: u64, window: usize, held_out: usize) -> Result<Self> {
        let smallest = grammar::SMALLEST;
        if window < smallest {
            return Err(Error::NoRoomForStories { smallest, window });
        }
        let held_out = held_out as u64;
        let hashes =
            (0..held_out).into_par_iter().map(|number| hash(&held_out_story(number, window)));
        let mut forbidden: Vec<u64> = hashes.collect();
        forbidden.sort_unstable();
        Ok(Self { seed: Purpose::Text.seed(seed), window, held_out, forbidden })
    }

    /// Story `number`: the first of its attempts that is not held out. One with the hash of such a story, which is one
    /// of 2⁶⁴, counts as held out.
    pub fn story(&self, number: u64) -> Vec<u8> {
        (0..u32::MAX)
            .map(|attempt| story(self.seed, number, attempt, self.window))
            .find(|story| self.forbidden.binary_search(&hash(story)).is_err())
            .unwrap_or_default()
    }

    /// How many stories are held out.
    pub fn held_out_count(&self) -> usize {
        self.held_out as usize
    }

    /// The stories that are held out, told as they are asked for.
    pub fn held_out(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        (0..self.held_out).map(|number| self.held_out_story(number))
    }

    /// One of them, by its number.
    pub fn held_out_story(&self, number: u64) -> Vec<u8> {
        held_out_story(number, self.window)
    }

    /// The bytes of an example: a story, and the first byte of the next one, which is always the same.
    pub fn window(&self, story: &[u8]) -> Vec<u8> {
        [story, &[grammar::FIRST]].concat()
    }

    /// Bytes of a story.
    pub fn length(&self) -> usize {
        self.window
    }

    /// The generator's own loss: the mean of −ln p over the bytes that the held-out windows predict. The first byte of a story is not predicted
    /// and has no choice, nor has the byte after it.
    pub fn floor(&self) -> f64 {
        let nats = |story: Vec<u8>| read(&story, self.window).map_or(f64::NAN, |read| read.nats);
        let nats: f64 = self.held_out().map(nats).sum();
        nats / (self.held_out as f64 * self.window as f64)
    }
}

fn held_out_story(number: u64, window: usize) -> Vec<u8> {
    story(Purpose::HeldOut.seed(HELD_OUT_SEED), number, 0, window)
}

/// Eight bytes of a hash that is the same everywhere.
fn hash(story: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(story));
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn story(seed: u64, number: u64, attempt: u32, window: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(window);
    let Ok(()) = grammar::tell(&mut Draw::new(seed, number, attempt, &mut text), window);
    text
}

/// At least `bytes` bytes of stories of 256 bytes, the last one whole.
pub fn stories(seed: u64, bytes: usize) -> Vec<u8> {
    let seed = Purpose::Text.seed(seed);
    let count = bytes.div_ceil(grammar::SMALLEST) as u64;
    (0..count).flat_map(|number| story(seed, number, 0, grammar::SMALLEST)).collect()
}

#[cfg(test)]
mod tests;
