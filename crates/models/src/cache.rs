//! [`Cache`]: a decoder that goes on where it stopped.

use nn::{Compute, Context, Layer, Recurrence, Sequences, State, Tape};

use crate::decoder::Decoder;
use crate::error::{Error, Result};

/// What a decoder has seen of each sequence: keys and values of attention, states of delta nets.
///
/// ```
/// use models::{Decoder, DecoderConfig, Initial, WeightKind};
/// use nn::{Sequences, Tape};
///
/// let config = DecoderConfig { layers: 1, ..DecoderConfig::tiny() };
/// let model = Decoder::<f32>::build(config, &mut Initial { seed: 1, kind: WeightKind::Dense })?;
/// let (mut cache, mut tape) = (model.cache(1), Tape::inference());
/// model.advance(&[72, 101], &mut cache, &mut tape)?;
/// let next = model.advance(&[108], &mut cache, &mut tape)?;
///
/// let sequences = Sequences { count: 1, length: 3 };
/// let scores = model.scores(&[72, 101, 108], sequences, &mut tape)?;
/// assert_eq!(next, scores[2 * 256..]);
/// # Ok::<(), models::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cache<T> {
    sequences: usize,
    position: usize,
    layers: Vec<State<T>>,
}

impl<T> Cache<T> {
    /// Tokens of each sequence so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes on the heap.
    pub fn size_bytes(&self) -> usize {
        let states = self.layers.iter().map(State::size_bytes).sum::<usize>();
        states + self.layers.capacity() * size_of::<State<T>>()
    }
}

impl<T: Compute> Decoder<T> {
    /// The cache of this many sequences before their first tokens.
    pub fn cache(&self, sequences: usize) -> Cache<T> {
        let layers = self.blocks().iter().map(|block| block.state(sequences)).collect();
        Cache { sequences, position: 0, layers }
    }

    /// Takes the next tokens of each sequence, as many of one as of the other, and gives the scores of what
    /// comes after the last of them. Models whose layers all have attention give the same bits as
    /// [`Decoder::scores`] on everything at once; delta nets run in chunks for several tokens, and token by token
    /// for one.
    ///
    /// # Errors
    /// As [`Decoder::scores`], and for more positions than the model has. The cache is not to be used after an
    /// error.
    pub fn advance(
        &self,
        tokens: &[u32],
        cache: &mut Cache<T>,
        tape: &mut Tape<T>,
    ) -> Result<Vec<T>> {
        let count = cache.sequences;
        let length = tokens.len().checked_div(count).unwrap_or(0);
        if count * length != tokens.len() || length == 0 {
            let (what, expected) = ("tokens", count * length.max(1));
            return Err(Error::Batch { what, expected, found: tokens.len() });
        }
        let found = cache.layers.len();
        if found != self.blocks().len() {
            return Err(Error::Batch {
                what: "layers of the cache",
                expected: self.blocks().len(),
                found,
            });
        }
        let recurrence = if length == 1 { Recurrence::Tokens } else { Recurrence::Chunks };
        let sequences = Sequences { count, length };
        let context = Context { tokens, recurrence, ..sequences.into() };
        let mut x = self.embed(context, tape)?;
        for (block, state) in self.blocks().iter().zip(&mut cache.layers) {
            x = block.resume(x, context, state, tape)?;
        }
        cache.position += length;
        let width = self.config().width;
        let mut last = tape.take(count * width);
        for (last, rows) in last.chunks_mut(width).zip(x.chunks(length * width)) {
            last.copy_from_slice(&rows[(length - 1) * width..]);
        }
        tape.give(x);
        let context = Sequences { count, length: 1 }.into();
        self.scores_of_rows(self.norm().forward(last, context, tape)?, tape)
    }
}
