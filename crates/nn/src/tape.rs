//! What a forward saves for its backward, and the buffers that both work in.

use std::fmt;

use ternary_core::Real;
use ternary_core::kernels::QuantizedRows;
use ternary_core::profile::span;

use crate::dropout::DroppedRows;
use crate::error::{Error, Result};
use crate::input::Input;

/// Something a forward left for its backward.
#[derive(Debug)]
enum Saved<T> {
    Values(Vec<T>),
    Tokens(Vec<u32>),
    Input(Input<T>),
}

/// Which way a model is passed through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Passing {
    /// With numbers.
    Forward,
    /// With their gradients.
    Backward,
}

/// Is told what passes through a model: the name of a place, the way, and the numbers.
type Watch<T> = Box<dyn FnMut(&str, Passing, &[T]) + Send>;

/// A stack on which every layer's forward leaves what its backward needs: the backward takes the
/// things off in reverse order. Buffers go back to the tape and are used again in the next step, so that
/// a steady state allocates nothing.
///
/// What goes into a layer ends up here, so inputs are best taken from the tape too ([`Tape::take`]): it
/// keeps every buffer that it was given. After an error, [`Tape::clear`] drops what was saved until then.
///
/// An inference tape saves nothing; the arithmetic of a forward is the same on either.
///
/// ```
/// use nn::Tape;
///
/// let mut tape = Tape::<f32>::recording();
/// let mut x = tape.zeros(3);
/// x[0] = 1.0;
/// tape.save(x);
/// let x = tape.restore("example")?;
/// assert_eq!(x, [1.0, 0.0, 0.0]);
/// tape.give(x);
/// assert!(tape.restore("example").is_err());
/// # Ok::<(), nn::Error>(())
/// ```
pub struct Tape<T> {
    is_recording: bool,
    recomputes: bool,
    watch: Option<Watch<T>>,
    saved: Vec<Saved<T>>,
    values: Vec<Vec<T>>,
    tokens: Vec<Vec<u32>>,
    codes: Vec<QuantizedRows>,
    auxiliary_loss: f64,
    auxiliary_weight: f64,
    dropped_rows: DroppedRows,
}

impl<T: Real> Tape<T> {
    /// A tape for a forward that a backward follows.
    pub fn recording() -> Self {
        Self::new(true)
    }

    /// A tape for a forward alone.
    pub fn inference() -> Self {
        Self::new(false)
    }

    fn new(is_recording: bool) -> Self {
        Self {
            is_recording,
            recomputes: false,
            watch: None,
            saved: Vec::new(),
            values: Vec::new(),
            tokens: Vec::new(),
            codes: Vec::new(),
            auxiliary_loss: 0.0,
            auxiliary_weight: 1.0,
            dropped_rows: DroppedRows::default(),
        }
    }

    /// The same, with blocks that keep their inputs alone and run again before their backwards.
    #[must_use]
    pub fn recomputing(mut self) -> Self {
        self.recomputes = true;
        self
    }

    /// Whether blocks run again before their backwards.
    pub fn recomputes(&self) -> bool {
        self.recomputes
    }

    /// Runs forwards that save nothing, whatever kind of tape this is: what no backward reaches, say.
    pub fn paused<R>(&mut self, run: impl FnOnce(&mut Self) -> R) -> R {
        let is_recording = std::mem::replace(&mut self.is_recording, false);
        let result = run(self);
        self.is_recording = is_recording;
        result
    }

    pub(crate) fn dropped_rows(&self) -> &DroppedRows {
        &self.dropped_rows
    }

    pub(crate) fn dropped_rows_mut(&mut self) -> &mut DroppedRows {
        &mut self.dropped_rows
    }

    /// Has `watch` called with what passes through the layers that tell: the outputs of blocks and of their
    /// mixers and the scores of routers, and in a backward their gradients.
    pub fn watch(&mut self, watch: impl FnMut(&str, Passing, &[T]) + Send + 'static) {
        self.watch = Some(Box::new(watch));
    }

    /// Tells the watch, if there is one.
    pub fn tell(&mut self, name: impl FnOnce() -> String, passing: Passing, values: &[T]) {
        if let Some(watch) = &mut self.watch {
            watch(&name(), passing, values);
        }
    }

    /// Whether a forward has to save for a backward.
    pub fn is_recording(&self) -> bool {
        self.is_recording
    }

    /// Whether everything saved was taken off again.
    pub fn is_empty(&self) -> bool {
        self.saved.is_empty()
    }

    /// Drops what was saved (a forward without its backward, say) and the auxiliary loss, keeping the buffers.
    pub fn clear(&mut self) {
        self.auxiliary_loss = 0.0;
        self.dropped_rows.reset();
        while let Some(saved) = self.saved.pop() {
            match saved {
                Saved::Values(values) => self.give(values),
                Saved::Tokens(tokens) => self.tokens.push(tokens),
                Saved::Input(input) => self.recycle(input),
            }
        }
    }

    /// A buffer of `len` zeros.
    pub fn zeros(&mut self, len: usize) -> Vec<T> {
        let _span = span("zeros");
        let mut buffer = self.take(len);
        buffer.fill(T::ZERO);
        buffer
    }

    /// A buffer of `len` numbers left over from earlier uses, for those who write all of it.
    pub fn take(&mut self, len: usize) -> Vec<T> {
        let mut buffer = best_fit(&mut self.values, len, Vec::capacity).unwrap_or_default();
        buffer.resize(len, T::ZERO);
        buffer
    }

    /// Gives a buffer back.
    pub fn give(&mut self, buffer: Vec<T>) {
        self.values.push(buffer);
    }

    /// Saves a buffer for the backward.
    pub fn save(&mut self, buffer: Vec<T>) {
        if self.is_recording {
            self.saved.push(Saved::Values(buffer));
        } else {
            self.give(buffer);
        }
    }

    /// Saves a copy of some numbers for the backward.
    pub fn save_copy(&mut self, values: &[T]) {
        if self.is_recording {
            let mut buffer = self.take(values.len());
            buffer.copy_from_slice(values);
            self.save(buffer);
        }
    }

    /// Takes off the numbers saved last.
    ///
    /// # Errors
    /// [`Error::Tape`] when something else was saved last, as are the other two.
    pub fn restore(&mut self, layer: &str) -> Result<Vec<T>> {
        match self.saved.pop() {
            Some(Saved::Values(values)) => Ok(values),
            other => Err(self.unexpected(layer, "numbers", other)),
        }
    }

    /// What layers added to the loss of the model since [`Tape::clear`].
    pub fn auxiliary_loss(&self) -> f64 {
        self.auxiliary_loss
    }

    /// Adds to the loss of the model what a layer is to be trained for besides.
    pub fn add_auxiliary_loss(&mut self, loss: f64) {
        self.auxiliary_loss += loss;
    }

    /// The gradient of what is minimised with respect to the auxiliary losses, for backwards: 1 unless set.
    pub fn auxiliary_weight(&self) -> f64 {
        self.auxiliary_weight
    }

    /// Sets [`Tape::auxiliary_weight`], say to 1/n where the gradients of n batches are averaged.
    pub fn set_auxiliary_weight(&mut self, weight: f64) {
        self.auxiliary_weight = weight;
    }

    /// A buffer of `len` token ids or indices left over from earlier uses.
    pub fn take_tokens(&mut self, len: usize) -> Vec<u32> {
        let mut buffer = best_fit(&mut self.tokens, len, Vec::capacity).unwrap_or_default();
        buffer.resize(len, 0);
        buffer
    }

    /// Saves token ids for the backward.
    pub fn save_tokens(&mut self, tokens: &[u32]) {
        if self.is_recording {
            let mut copy = self.take_tokens(tokens.len());
            copy.copy_from_slice(tokens);
            self.saved.push(Saved::Tokens(copy));
        }
    }

    /// Takes off the token ids saved last.
    ///
    /// # Errors
    /// [`Error::Tape`].
    pub fn restore_tokens(&mut self, layer: &str) -> Result<Vec<u32>> {
        match self.saved.pop() {
            Some(Saved::Tokens(tokens)) => Ok(tokens),
            other => Err(self.unexpected(layer, "tokens", other)),
        }
    }

    /// Gives token ids back.
    pub fn give_tokens(&mut self, tokens: Vec<u32>) {
        self.tokens.push(tokens);
    }

    /// Saves the rows that entered projections, in the forms that their backwards asked for.
    pub fn save_input(&mut self, mut input: Input<T>) {
        if self.is_recording {
            let (values, codes) = input.drop_unneeded();
            self.values.extend(values);
            self.codes.extend(codes);
            self.saved.push(Saved::Input(input));
        } else {
            self.recycle(input);
        }
    }

    /// Takes off the rows saved last.
    ///
    /// # Errors
    /// [`Error::Tape`].
    pub fn restore_input(&mut self, layer: &str) -> Result<Input<T>> {
        match self.saved.pop() {
            Some(Saved::Input(input)) => Ok(input),
            other => Err(self.unexpected(layer, "rows of a projection", other)),
        }
    }

    /// Gives the buffers of an input back.
    pub fn recycle(&mut self, input: Input<T>) {
        let (values, codes) = input.into_buffers();
        self.values.extend(values);
        self.codes.extend(codes);
    }

    /// Quantised rows whose buffers are used again.
    pub(crate) fn take_codes(&mut self, elements: usize) -> QuantizedRows {
        best_fit(&mut self.codes, elements, QuantizedRows::size_bytes).unwrap_or_default()
    }

    /// Bytes that the tape holds on the heap, saved or ready for use.
    pub fn size_bytes(&self) -> usize {
        let saved = self.saved.iter().map(|saved| match saved {
            Saved::Values(values) => values.capacity() * size_of::<T>(),
            Saved::Tokens(tokens) => tokens.capacity() * size_of::<u32>(),
            Saved::Input(input) => input.size_bytes(),
        });
        let values = self.values.iter().map(|values| values.capacity() * size_of::<T>());
        let tokens = self.tokens.iter().map(|tokens| tokens.capacity() * size_of::<u32>());
        let codes = self.codes.iter().map(QuantizedRows::size_bytes);
        saved.chain(values).chain(tokens).chain(codes).sum()
    }

    /// Puts back what was popped and describes it.
    fn unexpected(
        &mut self,
        layer: &str,
        expected: &'static str,
        found: Option<Saved<T>>,
    ) -> Error {
        let name = match &found {
            None => "nothing",
            Some(Saved::Values(_)) => "numbers",
            Some(Saved::Tokens(_)) => "tokens",
            Some(Saved::Input(_)) => "rows of a projection",
        };
        self.saved.extend(found);
        Error::Tape { layer: layer.to_owned(), expected, found: name }
    }
}

impl<T: Real> fmt::Debug for Tape<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_recording, recomputes, saved, .. } = self;
        let bytes = self.size_bytes();
        write!(f, "Tape {{ is_recording: {is_recording}, recomputes: {recomputes}, ")?;
        write!(f, "saved: {}, bytes: {bytes} }}", saved.len())
    }
}

/// Takes the smallest buffer of at least `size`, else the largest.
fn best_fit<B>(buffers: &mut Vec<B>, size: usize, capacity: impl Fn(&B) -> usize) -> Option<B> {
    let key = |buffer: &B| {
        let capacity = capacity(buffer);
        if capacity >= size { (0, capacity) } else { (1, usize::MAX - capacity) }
    };
    let best = (0..buffers.len()).min_by_key(|&index| key(&buffers[index]))?;
    Some(buffers.swap_remove(best))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_comes_off_in_reverse_and_buffers_are_used_again() {
        let mut tape = Tape::<f64>::recording();
        tape.save_copy(&[1.0, 2.0]);
        tape.save_tokens(&[7]);
        let error = tape.restore("norm").unwrap_err().to_string();
        assert!(error.starts_with("norm: the tape holds tokens where the backward needs numbers"));
        assert_eq!(tape.restore_tokens("embedding"), Ok(vec![7]));
        let values = tape.restore("norm").unwrap();
        let place = values.as_ptr();
        tape.give(values);
        let again = tape.zeros(2);
        assert_eq!(again.as_ptr(), place);
        assert!(tape.is_empty());
    }

    #[test]
    fn an_inference_tape_saves_nothing() {
        let mut tape = Tape::<f32>::inference();
        tape.save(vec![1.0]);
        tape.save_copy(&[1.0]);
        tape.save_tokens(&[1]);
        assert!(tape.is_empty());
    }

    #[test]
    fn a_buffer_is_the_smallest_that_fits() {
        let mut tape = Tape::<f32>::recording();
        for len in [8, 2, 4] {
            tape.give(Vec::with_capacity(len));
        }
        assert_eq!([3, 2, 8].map(|len| tape.take(len).capacity()), [4, 2, 8]);
    }
}
