//! What a layer knows of its rows beside their numbers, and what it carries from one call to the next.

use super::Sequences;

/// What a forward and its backward know of their rows beside the numbers.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// How the rows divide into sequences.
    pub sequences: Sequences,
    /// The token of each row; only per-layer embeddings need to know.
    pub tokens: &'a [u32],
    /// For each row whether it is a token, or padding that sequences of different lengths are filled up with.
    /// None where all are tokens.
    pub mask: Option<&'a [bool]>,
    /// How recurrent layers run.
    pub recurrence: Recurrence,
}

/// The two forms of a recurrence: the same function, in other bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Recurrence {
    /// Many tokens at a time, in products of matrices: for training, and for reading a prompt.
    #[default]
    Chunks,
    /// Token by token, with the bits that decoding gives. Nothing for a backward.
    Tokens,
}

impl From<Sequences> for Context<'_> {
    fn from(sequences: Sequences) -> Self {
        Self { sequences, tokens: &[], mask: None, recurrence: Recurrence::Chunks }
    }
}

/// What a layer carries from one piece of each sequence to the next: keys and values, or the states of a
/// recurrence. Only the layer that made it knows what the parts mean; one that has no memory leaves it empty.
#[derive(Debug, Clone, PartialEq)]
pub struct State<T> {
    /// Tokens of each sequence so far.
    pub position: usize,
    /// Numbers, by what they are for.
    pub parts: Vec<Vec<T>>,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        Self { position: 0, parts: Vec::new() }
    }
}

impl<T> State<T> {
    /// Bytes on the heap.
    pub fn size_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.capacity() * size_of::<T>()).sum()
    }
}
