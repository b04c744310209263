//! One value head of one sequence, its rows side by side.

use std::ops::Range;

use nn::ternary_core::Real;

use super::{CHUNK, DeltaRows, DeltaShape};

/// The rows of a value head and of its key head; queries are divided by √dk already.
#[derive(Debug)]
pub(super) struct Head<T> {
    widths: [usize; 2],
    queries: Vec<T>,
    keys: Vec<T>,
    values: Vec<T>,
    pub(super) decay: Vec<T>,
    pub(super) write: Vec<T>,
}

/// The rows of a chunk of a head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens<'a, T> {
    /// dk and dv.
    pub(super) widths: [usize; 2],
    pub(super) queries: &'a [T],
    pub(super) keys: &'a [T],
    pub(super) values: &'a [T],
    pub(super) decay: &'a [T],
    pub(super) write: &'a [T],
}

/// 1/√dk.
pub(super) fn query_scale<T: Real>(shape: DeltaShape) -> T {
    T::ONE / T::from_usize(shape.key_width).sqrt()
}

impl<T: Real> Head<T> {
    /// Unit `unit` counts the value heads of the first sequence, then those of the second.
    pub(super) fn gather(shape: DeltaShape, rows: &DeltaRows<'_, T>, unit: usize) -> Self {
        let (sequence, head) = (unit / shape.value_heads, unit % shape.value_heads);
        let (key_head, scale) = (shape.key_head(head), query_scale::<T>(shape));
        let take = |from: &[T], heads: usize, head: usize, width: usize| -> Vec<T> {
            let tokens = tokens(shape, sequence);
            tokens.flat_map(|t| &from[(t * heads + head) * width..][..width]).copied().collect()
        };
        let mut queries = take(rows.query, shape.key_heads, key_head, shape.key_width);
        queries.iter_mut().for_each(|q| *q *= scale);
        Self {
            widths: [shape.key_width, shape.value_width],
            queries,
            keys: take(rows.key, shape.key_heads, key_head, shape.key_width),
            values: take(rows.value, shape.value_heads, head, shape.value_width),
            decay: take(rows.decay, shape.value_heads, head, 1),
            write: take(rows.write, shape.value_heads, head, 1),
        }
    }

    /// The values alone.
    pub(super) fn into_values(self) -> Vec<T> {
        self.values
    }

    pub(super) fn query(&self, token: usize) -> &[T] {
        &self.queries[token * self.widths[0]..][..self.widths[0]]
    }

    pub(super) fn key(&self, token: usize) -> &[T] {
        &self.keys[token * self.widths[0]..][..self.widths[0]]
    }

    pub(super) fn value(&self, token: usize) -> &[T] {
        &self.values[token * self.widths[1]..][..self.widths[1]]
    }

    /// The chunks in their order.
    pub(super) fn chunks(&self) -> impl DoubleEndedIterator<Item = Tokens<'_, T>> {
        let count = self.decay.len().div_ceil(CHUNK);
        (0..count)
            .map(|chunk| self.tokens(chunk * CHUNK..self.decay.len().min((chunk + 1) * CHUNK)))
    }

    fn tokens(&self, range: Range<usize>) -> Tokens<'_, T> {
        let [keys, values] = self.widths.map(|width| range.start * width..range.end * width);
        Tokens {
            widths: self.widths,
            queries: &self.queries[keys.clone()],
            keys: &self.keys[keys],
            values: &self.values[values],
            decay: &self.decay[range.clone()],
            write: &self.write[range],
        }
    }
}

/// The rows of a sequence.
pub(super) fn tokens(shape: DeltaShape, sequence: usize) -> Range<usize> {
    sequence * shape.sequences.length..(sequence + 1) * shape.sequences.length
}

/// Writes the rows of a value head to their places among those of all heads.
pub(super) fn scatter<T: Real>(shape: DeltaShape, unit: usize, own: &[T], all: &mut [T]) {
    let (sequence, head) = (unit / shape.value_heads, unit % shape.value_heads);
    let width = shape.value_width;
    for (token, own) in tokens(shape, sequence).zip(own.chunks(width)) {
        all[(token * shape.value_heads + head) * width..][..width].copy_from_slice(own);
    }
}

/// Adds the rows of a head to their places among those of `heads`.
pub(super) fn add_rows<T: Real>(
    range: Range<usize>,
    [heads, head, width]: [usize; 3],
    own: &[T],
    all: &mut [T],
) {
    for (token, own) in range.zip(own.chunks(width)) {
        let all = &mut all[(token * heads + head) * width..][..width];
        all.iter_mut().zip(own).for_each(|(all, &own)| *all += own);
    }
}
