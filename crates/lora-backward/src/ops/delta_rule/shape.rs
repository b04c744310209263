//! Sizes of the delta rule, and the arrays that it takes.

use nn::{Error, Result, Sequences, check_size};

use super::{CHUNK, OP};

/// The sizes of a gated delta rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaShape {
    /// How the rows divide into sequences.
    pub sequences: Sequences,
    /// Heads of queries and keys.
    pub key_heads: usize,
    /// Heads of values, a multiple of the key heads: value head i has key head ⌊i / (value heads / key heads)⌋.
    pub value_heads: usize,
    /// dk, numbers of a query or key.
    pub key_width: usize,
    /// dv, numbers of a value.
    pub value_width: usize,
}

/// What enters, a row for each token.
#[derive(Debug, Clone, Copy)]
pub struct DeltaRows<'a, T> {
    /// q̂, key heads of dk numbers; divided by √dk inside.
    pub query: &'a [T],
    /// k̂, the same.
    pub key: &'a [T],
    /// v, value heads of dv numbers.
    pub value: &'a [T],
    /// g ≤ 0, the logarithm of the decay, for each value head.
    pub decay: &'a [T],
    /// β, how much is written, for each value head.
    pub write: &'a [T],
}

/// The gradients of [`DeltaRows`], to add to.
#[derive(Debug)]
pub struct DeltaGradients<'a, T> {
    /// Of the queries.
    pub query: &'a mut [T],
    /// Of the keys.
    pub key: &'a mut [T],
    /// Of the values.
    pub value: &'a mut [T],
    /// Of the logarithms of the decay.
    pub decay: &'a mut [T],
    /// Of what is written.
    pub write: &'a mut [T],
}

impl DeltaShape {
    /// Chunks of a sequence.
    pub fn chunks(self) -> usize {
        self.sequences.length.div_ceil(CHUNK)
    }

    /// Numbers in the states of all sequences and value heads.
    pub fn states(self) -> usize {
        self.units() * self.state_numbers()
    }

    /// Numbers in the states at the starts of all chunks.
    pub fn starts(self) -> usize {
        self.states() * self.chunks()
    }

    /// Pairs of a sequence and a value head.
    pub(super) fn units(self) -> usize {
        self.sequences.count * self.value_heads
    }

    /// Numbers of one state.
    pub(super) fn state_numbers(self) -> usize {
        self.key_width * self.value_width
    }

    pub(super) fn is_empty(self) -> bool {
        self.sequences.rows() == 0 || self.states() == 0
    }

    /// The key head of a value head.
    pub(super) fn key_head(self, value_head: usize) -> usize {
        value_head / (self.value_heads / self.key_heads)
    }

    /// Checks the sizes, and those of the rows.
    pub(super) fn check<T>(self, rows: &DeltaRows<'_, T>) -> Result<()> {
        let Self { key_heads, value_heads, key_width, value_width, sequences } = self;
        let wrong = |what, expected, found| {
            Err(Error::Setting { layer: OP.to_owned(), what, expected, found })
        };
        if key_heads == 0 || !value_heads.is_multiple_of(key_heads) {
            let found = format!("{value_heads} for {key_heads} key heads");
            return wrong(
                "value heads",
                "a multiple of the key heads, of which there is one",
                found,
            );
        }
        let sizes = [
            sequences.count.max(1),
            sequences.length.max(1).div_ceil(CHUNK).saturating_mul(CHUNK),
            value_heads.max(key_heads),
            key_width.max(1),
            value_width.max(1),
        ];
        let product = sizes.iter().try_fold(8_usize, |product, &size| product.checked_mul(size));
        if product.is_none() {
            return wrong("sizes", "as many as memory can hold", format!("{self:?}"));
        }
        let tokens = sequences.rows();
        for (what, expected, found) in [
            ("queries", tokens * key_heads * key_width, rows.query.len()),
            ("keys", tokens * key_heads * key_width, rows.key.len()),
            ("values", tokens * value_heads * value_width, rows.value.len()),
            ("decays", tokens * value_heads, rows.decay.len()),
            ("writes", tokens * value_heads, rows.write.len()),
        ] {
            check_size(OP, what, expected, found)?;
        }
        Ok(())
    }

    pub(super) fn check_state(self, found: usize) -> Result<()> {
        check_size(OP, "numbers in states", self.states(), found)
    }

    pub(super) fn check_starts(self, found: usize) -> Result<()> {
        check_size(OP, "numbers in states at the starts of chunks", self.starts(), found)
    }

    pub(super) fn check_outputs(self, what: &'static str, found: usize) -> Result<()> {
        check_size(OP, what, self.sequences.rows() * self.value_heads * self.value_width, found)
    }
}
