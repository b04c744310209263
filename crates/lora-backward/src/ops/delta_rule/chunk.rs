//! The forward of a chunk.

use nn::ternary_core::Real;

use super::heads::Tokens;
use super::products::{add_outer, add_scaled, lower, rows_by};

/// A chunk of L tokens from the state at its start, in the names of [`delta_rule`](super::delta_rule).
#[derive(Debug)]
pub(super) struct Chunk<'a, T> {
    pub(super) tokens: Tokens<'a, T>,
    /// E, L × L; 1 on the diagonal.
    pub(super) decays: Vec<T>,
    /// a, from the start to each token.
    pub(super) from_start: Vec<T>,
    /// k̂S and q̂S.
    pub(super) keys_by_state: Vec<T>,
    pub(super) queries_by_state: Vec<T>,
    /// E ∘ k̂k̂ᵀ below the diagonal, and E ∘ q̂k̂ᵀ up to it.
    pub(super) written: Vec<T>,
    pub(super) seen: Vec<T>,
    /// e and u.
    pub(super) residual: Vec<T>,
    pub(super) update: Vec<T>,
}

impl<'a, T: Real> Chunk<'a, T> {
    pub(super) fn new(tokens: Tokens<'a, T>, state: &[T]) -> Self {
        let (widths, count) = (tokens.widths, tokens.decay.len());
        let [key_width, value_width] = widths;
        let (mut decays, mut from_start) = (vec![T::ZERO; count * count], Vec::new());
        for i in 0..count {
            let (own, mut sum) = (&mut decays[i * count..], T::ZERO);
            own[i] = T::ONE;
            for j in (0..i).rev() {
                sum += tokens.decay[j + 1];
                own[j] = sum.exp();
            }
            from_start.push((sum + tokens.decay[0]).exp());
        }
        let decayed = |mut products: Vec<T>| {
            products.iter_mut().zip(&decays).for_each(|(product, &decay)| *product *= decay);
            products
        };
        let written = decayed(lower(tokens.keys, tokens.keys, key_width, false));
        let seen = decayed(lower(tokens.queries, tokens.keys, key_width, true));
        let keys_by_state = rows_by(tokens.keys, state, widths);
        let queries_by_state = rows_by(tokens.queries, state, widths);

        let (mut residual, mut update) = (tokens.values.to_vec(), Vec::new());
        for (i, own) in residual.chunks_mut(value_width).enumerate() {
            let start = &keys_by_state[i * value_width..][..value_width];
            add_scaled(own, -from_start[i], start);
            let before = written[i * count..].iter().take(i);
            for (&written, update) in before.zip(update.chunks(value_width)) {
                add_scaled(own, -written, update);
            }
            update.extend(own.iter().map(|&e| tokens.write[i] * e));
        }
        Self {
            tokens,
            decays,
            from_start,
            keys_by_state,
            queries_by_state,
            written,
            seen,
            residual,
            update,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.decay.len()
    }

    /// b, from each token to the end.
    pub(super) fn to_end(&self) -> &[T] {
        &self.decays[(self.len() - 1) * self.len()..]
    }

    /// Writes o.
    pub(super) fn outputs(&self, y: &mut [T]) {
        let [_, width] = self.tokens.widths;
        for (i, y) in y.chunks_mut(width).enumerate() {
            y.fill(T::ZERO);
            add_scaled(y, self.from_start[i], &self.queries_by_state[i * width..][..width]);
            let seen = self.seen[i * self.len()..].iter().take(i + 1);
            for (&seen, update) in seen.zip(self.update.chunks(width)) {
                add_scaled(y, seen, update);
            }
        }
    }

    /// Makes the state at the start that at the end.
    pub(super) fn advance(&self, state: &mut [T]) {
        let [key_width, value_width] = self.tokens.widths;
        let decay = self.from_start[self.len() - 1];
        state.iter_mut().for_each(|s| *s = decay * *s);
        let keys = (self.tokens.keys, key_width);
        add_outer(state, self.to_end().iter().copied(), keys, (&self.update, value_width));
    }
}
