//! What a text says a story chose.

use std::fmt;

use super::chooser::Chooser;
use super::grammar::{FIRST, SMALLEST, tell};

/// What a text, whole or the beginning of one, says of its story.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which alternative was taken at each choice that the text has decided.
    pub choices: Vec<usize>,
    /// −ln of the probability of those choices.
    pub nats: f64,
    /// The probability of each byte to come next.
    pub next: [f64; 256],
}

/// A text that is no beginning of a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoStory {
    /// The first byte that no story has there.
    pub place: usize,
}

impl fmt::Display for NoStory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a story, found byte {} that no story has there", self.place)
    }
}

impl std::error::Error for NoStory {}

/// Reads the choices of a story of `window` bytes back from its text, or from the beginning of it.
///
/// # Errors
/// [`NoStory`] with the first byte that cannot stand where it does.
///
/// # Panics
/// When `window` is too small for a story.
pub fn read(text: &[u8], window: usize) -> Result<Reading, NoStory> {
    assert!(window >= SMALLEST, "a window of {window} bytes holds no story");
    let mut reader = Reader { text, place: 0, choices: Vec::new(), nats: 0.0 };
    let next = match tell(&mut reader, window) {
        // After a story comes the next one.
        Ok(()) if reader.place == text.len() => certain(FIRST),
        Ok(()) => return Err(NoStory { place: reader.place }),
        Err(Halt::Ended(next)) => *next,
        Err(Halt::Differs(place)) => return Err(NoStory { place }),
    };
    Ok(Reading { choices: reader.choices, nats: reader.nats, next })
}

/// The distribution in which one byte is certain.
fn certain(byte: u8) -> [f64; 256] {
    let mut next = [0.0; 256];
    next[usize::from(byte)] = 1.0;
    next
}

/// Takes the choices that a text shows.
struct Reader<'a> {
    text: &'a [u8],
    place: usize,
    choices: Vec<usize>,
    nats: f64,
}

/// Why a reading ends before its story.
enum Halt {
    /// The text ends; what can come next.
    Ended(Box<[f64; 256]>),
    /// The text says something else from this place on.
    Differs(usize),
}

impl Reader<'_> {
    fn rest(&self) -> &[u8] {
        &self.text[self.place..]
    }

    /// The first place where the rest is neither of the alternatives.
    fn differs(&self, alternatives: &[&str]) -> Halt {
        let common = |text: &&str| {
            text.bytes().zip(self.rest()).take_while(|(expected, found)| expected == *found).count()
        };
        Halt::Differs(self.place + alternatives.iter().map(common).max().unwrap_or(0))
    }
}

impl Chooser for Reader<'_> {
    type Halt = Halt;

    fn say(&mut self, text: &str) -> Result<(), Halt> {
        let rest = self.rest();
        if rest.starts_with(text.as_bytes()) {
            self.place += text.len();
            return Ok(());
        }
        match text.as_bytes().strip_prefix(rest) {
            Some(missing) => Err(Halt::Ended(Box::new(certain(missing[0])))),
            None => Err(self.differs(&[text])),
        }
    }

    fn choose(&mut self, alternatives: &[&str]) -> Result<usize, Halt> {
        let rest = self.rest();
        let is_told = |text: &&str| rest.starts_with(text.as_bytes());
        if let Some(chosen) = alternatives.iter().position(is_told) {
            self.place += alternatives[chosen].len();
            self.choices.push(chosen);
            self.nats += (alternatives.len() as f64).ln();
            return Ok(chosen);
        }
        let missing: Vec<&[u8]> =
            alternatives.iter().filter_map(|text| text.as_bytes().strip_prefix(rest)).collect();
        if missing.is_empty() {
            return Err(self.differs(alternatives));
        }
        let mut next = Box::new([0.0; 256]);
        for text in &missing {
            next[usize::from(text[0])] += 1.0 / missing.len() as f64;
        }
        Err(Halt::Ended(next))
    }

    fn told(&self) -> usize {
        self.place
    }
}
