//! One value head of one sequence among the rows of all.

use std::ops::Range;

use nn::ternary_core::Real;

use super::{CHUNK, DeltaRows, DeltaShape};

/// A value head of a sequence, with its key head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a, T> {
    pub(super) shape: DeltaShape,
    rows: DeltaRows<'a, T>,
    sequence: usize,
    head: usize,
}

/// The rows of a chunk of a head, side by side.
#[derive(Debug)]
pub(super) struct Tokens<T> {
    /// How many, L.
    pub(super) count: usize,
    /// dk and dv.
    pub(super) widths: [usize; 2],
    /// X, 2L × dk: the queries over √dk, then the keys.
    pub(super) pairs: Vec<T>,
    pub(super) values: Vec<T>,
    pub(super) decay: Vec<T>,
    pub(super) write: Vec<T>,
}

impl<T> Tokens<T> {
    /// The keys.
    pub(super) fn keys(&self) -> &[T] {
        &self.pairs[self.count * self.widths[0]..]
    }
}

/// 1/√dk.
pub(super) fn query_scale<T: Real>(shape: DeltaShape) -> T {
    T::ONE / T::from_usize(shape.key_width).sqrt()
}

impl<'a, T: Real> Head<'a, T> {
    /// Unit `unit` counts the value heads of the first sequence, then those of the second.
    pub(super) fn new(shape: DeltaShape, rows: DeltaRows<'a, T>, unit: usize) -> Self {
        let (sequence, head) = (unit / shape.value_heads, unit % shape.value_heads);
        Self { shape, rows, sequence, head }
    }

    /// Row `token` of a head of some rows.
    fn row<'b>(&self, from: &'b [T], [heads, head, width]: [usize; 3], token: usize) -> &'b [T] {
        let row = self.sequence * self.shape.sequences.length + token;
        &from[(row * heads + head) * width..][..width]
    }

    /// Heads of keys, which of them, and their width.
    fn of_keys(&self) -> [usize; 3] {
        [self.shape.key_heads, self.shape.key_head(self.head), self.shape.key_width]
    }

    fn of_values(&self) -> [usize; 3] {
        [self.shape.value_heads, self.head, self.shape.value_width]
    }

    fn of_numbers(&self) -> [usize; 3] {
        [self.shape.value_heads, self.head, 1]
    }

    pub(super) fn query(&self, token: usize) -> &'a [T] {
        self.row(self.rows.query, self.of_keys(), token)
    }

    pub(super) fn key(&self, token: usize) -> &'a [T] {
        self.row(self.rows.key, self.of_keys(), token)
    }

    pub(super) fn value(&self, token: usize) -> &'a [T] {
        self.row(self.rows.value, self.of_values(), token)
    }

    /// g and β.
    pub(super) fn gates(&self, token: usize) -> [T; 2] {
        let number = |from: &[T]| self.row(from, self.of_numbers(), token)[0];
        [number(self.rows.decay), number(self.rows.write)]
    }

    /// The tokens of each chunk in their order.
    pub(super) fn chunks(&self) -> impl DoubleEndedIterator<Item = Range<usize>> + use<T> {
        let length = self.shape.sequences.length;
        (0..length.div_ceil(CHUNK)).map(move |at| at * CHUNK..length.min((at + 1) * CHUNK))
    }

    /// The rows of a chunk.
    pub(super) fn tokens(&self, range: Range<usize>) -> Tokens<T> {
        let (count, widths) = (range.len(), [self.shape.key_width, self.shape.value_width]);
        let mut pairs = Vec::with_capacity(2 * count * widths[0]);
        let scale = query_scale::<T>(self.shape);
        for token in range.clone() {
            pairs.extend(self.query(token).iter().map(|&q| scale * q));
        }
        for token in range.clone() {
            pairs.extend_from_slice(self.key(token));
        }
        let gates: Vec<[T; 2]> = range.clone().map(|token| self.gates(token)).collect();
        let [decay, write] = [0, 1].map(|which| gates.iter().map(|gates| gates[which]).collect());
        Tokens {
            count,
            widths,
            pairs,
            values: self.of_outputs(self.rows.value, range),
            decay,
            write,
        }
    }

    /// The rows of a chunk of what has the places of values.
    pub(super) fn of_outputs(&self, from: &[T], range: Range<usize>) -> Vec<T> {
        let mut rows = Vec::with_capacity(range.len() * self.shape.value_width);
        for token in range {
            rows.extend_from_slice(self.row(from, self.of_values(), token));
        }
        rows
    }

    /// Adds to the rows of queries or keys, of the key head `head`.
    pub(super) fn add_to_keys(&self, head: usize, range: Range<usize>, own: &[T], all: &mut [T]) {
        let [heads, _, width] = self.of_keys();
        self.add([heads, head, width], range, own, all);
    }

    /// Adds to the rows of values.
    pub(super) fn add_to_values(&self, range: Range<usize>, own: &[T], all: &mut [T]) {
        self.add(self.of_values(), range, own, all);
    }

    /// Adds to decays or writes.
    pub(super) fn add_to_numbers(&self, range: Range<usize>, own: &[T], all: &mut [T]) {
        self.add(self.of_numbers(), range, own, all);
    }

    fn add(&self, [heads, head, width]: [usize; 3], range: Range<usize>, own: &[T], all: &mut [T]) {
        let start = self.sequence * self.shape.sequences.length;
        for (token, own) in range.zip(own.chunks(width)) {
            let all = &mut all[((start + token) * heads + head) * width..][..width];
            all.iter_mut().zip(own).for_each(|(all, &own)| *all += own);
        }
    }

    /// The key head.
    pub(super) fn key_head(&self) -> usize {
        self.shape.key_head(self.head)
    }
}
