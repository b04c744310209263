//! The forward of a chunk.

use nn::ternary_core::Real;
use nn::ternary_core::kernels::Store;
use nn::{Compute, Result};

use super::heads::Tokens;
use super::products::{matrix, multiply, product, scaled_rows};
use super::triangle::solve;

/// A chunk of L tokens from the state at its start, in the names of [`delta_rule`](super::delta_rule). Queries and keys stand
/// one above the other, and so do what is seen and what is written: W is P above A.
#[derive(Debug)]
pub(super) struct Chunk<T> {
    pub(super) tokens: Tokens<T>,
    /// E, L × L; 1 on the diagonal.
    pub(super) decays: Vec<T>,
    /// a, from the start to each token.
    pub(super) from_start: Vec<T>,
    /// XS.
    pub(super) by_state: Vec<T>,
    /// W, 2L × L: E ∘ q̂k̂ᵀ up to the diagonal, then E ∘ k̂k̂ᵀ below it.
    pub(super) weights: Vec<T>,
    /// e and u.
    pub(super) residual: Vec<T>,
    pub(super) update: Vec<T>,
}

impl<T: Compute> Chunk<T> {
    pub(super) fn new(tokens: Tokens<T>, state: &[T]) -> Result<Self> {
        let (count, [key_width, value_width]) = (tokens.count, tokens.widths);
        let (decays, from_start) = decays(&tokens.decay);
        let pairs = matrix(&tokens.pairs, key_width)?;
        let mut weights = product(pairs, matrix(tokens.keys(), key_width)?.transposed())?;
        mask(&mut weights, &decays, count);
        let by_state = product(pairs, matrix(state, value_width)?)?;

        let mut residual = tokens.values.clone();
        let rows = residual.chunks_mut(value_width).zip(&from_start);
        for ((e, &a), start) in rows.zip(by_state[count * value_width..].chunks(value_width)) {
            e.iter_mut().zip(start).for_each(|(e, &start)| *e -= a * start);
        }
        let written = &weights[count * count..];
        let update = solve(written, &tokens.write, value_width, &mut residual)?;
        Ok(Self { tokens, decays, from_start, by_state, weights, residual, update })
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.count
    }

    /// b, from each token to the end.
    pub(super) fn to_end(&self) -> &[T] {
        &self.decays[(self.len() - 1) * self.len()..]
    }

    /// b∘u.
    pub(super) fn update_at_end(&self) -> Vec<T> {
        scaled_rows(&self.update, self.tokens.widths[1], self.to_end())
    }

    /// o.
    pub(super) fn outputs(&self) -> Result<Vec<T>> {
        let (count, [_, width]) = (self.len(), self.tokens.widths);
        let mut y = scaled_rows(&self.by_state[..count * width], width, &self.from_start);
        let seen = matrix(&self.weights[..count * count], count)?;
        multiply(seen, matrix(&self.update, width)?, &mut y, Store::Add)?;
        Ok(y)
    }

    /// Makes the state at the start that at the end.
    pub(super) fn advance(&self, state: &mut [T]) -> Result<()> {
        let [key_width, value_width] = self.tokens.widths;
        let decay = self.from_start[self.len() - 1];
        state.iter_mut().for_each(|s| *s = decay * *s);
        let keys = matrix(self.tokens.keys(), key_width)?.transposed();
        multiply(keys, matrix(&self.update_at_end(), value_width)?, state, Store::Add)
    }
}

/// E and a. Products of the decays of single tokens have the digits that differences of running sums of g lose.
fn decays<T: Real>(decay: &[T]) -> (Vec<T>, Vec<T>) {
    let count = decay.len();
    // Nothing beside the 1 on the diagonal; smaller numbers could become slow ones.
    let nothing = T::EPSILON.powi(5);
    let decayed = |x: T, factor: T| {
        let product = x * factor;
        if product < nothing { T::ZERO } else { product }
    };
    let (mut decays, mut from_start) = (vec![T::ZERO; count * count], Vec::with_capacity(count));
    let mut sum = T::ONE;
    for (i, &g) in decay.iter().enumerate() {
        let factor = g.exp();
        let (before, own) = decays.split_at_mut(i * count);
        if let Some(before) = before.len().checked_sub(count).map(|start| &before[start..]) {
            let pairs = own.iter_mut().zip(before).take(i);
            pairs.for_each(|(own, &before)| *own = decayed(before, factor));
        }
        own[i] = T::ONE;
        sum = decayed(sum, factor);
        from_start.push(sum);
    }
    (decays, from_start)
}

/// Times E, with the diagonal in the first half alone and nothing above it.
pub(super) fn mask<T: Real>(weights: &mut [T], decays: &[T], count: usize) {
    for (row, weights) in weights.chunks_mut(count).enumerate() {
        let (i, seen) = (row % count, usize::from(row < count));
        let (own, above) = weights.split_at_mut(i + seen);
        own.iter_mut().zip(&decays[i * count..]).for_each(|(w, &decay)| *w *= decay);
        above.fill(T::ZERO);
    }
}
