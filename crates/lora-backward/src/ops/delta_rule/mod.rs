//! The gated delta rule (Yang, Kautz and Hatamizadeh, arXiv 2412.06464), as Qwen3-Next and Qwen3.5 have it.

mod backward;
mod chunk;
mod heads;
mod products;
mod shape;
#[cfg(test)]
mod tests;

use nn::Result;
use nn::ternary_core::Real;
use rayon::prelude::*;

use self::chunk::Chunk;
use self::heads::{Head, scatter};
use self::products::add_scaled;

pub use self::backward::delta_rule_backward;
pub use self::shape::{DeltaGradients, DeltaRows, DeltaShape};

/// Tokens of a chunk.
pub const CHUNK: usize = 64;

/// For each value head, with the state S of `[dk, dv]` and the key head that it shares:
///
/// ```text
/// S̃ = e^g · S          u = β · (v − S̃ᵀk̂)          S ← S̃ + k̂uᵀ          o = Sᵀq̂ / √dk
/// ```
///
/// in chunks of [`CHUNK`] tokens, at whose starts S is all that is carried:
///
/// ```text
/// E_ij = exp(Σ g over j < l ≤ i)       aᵢ = exp(Σ g over l ≤ i)
/// eᵢ = vᵢ − aᵢ·Sᵀk̂ᵢ − Σ_j<i E_ij(k̂ᵢ·k̂ⱼ)·uⱼ         uᵢ = βᵢ·eᵢ
/// oᵢ = (aᵢ·Sᵀq̂ᵢ + Σ_j≤i E_ij(q̂ᵢ·k̂ⱼ)·uⱼ) / √dk
/// ```
///
/// Each sum of g is added up by itself: differences of running sums lose their digits where the decay is
/// strong. `state`, `[sequences, value heads, dk, dv]`, goes from that before the first token to that after
/// the last. `starts` takes the states at the starts of chunks, which the backward needs.
///
/// # Errors
/// [`Error::Shape`](nn::Error::Shape) and [`Error::Setting`](nn::Error::Setting) for what does not fit;
/// nothing is written then.
pub fn delta_rule<T: Real>(
    shape: DeltaShape,
    rows: DeltaRows<'_, T>,
    state: &mut [T],
    starts: Option<&mut [T]>,
    y: &mut [T],
) -> Result<()> {
    each_head(shape, rows, state, starts, y, |head, state, starts, y| {
        let mut starts = starts.chunks_mut(shape.state_numbers());
        for (tokens, y) in head.chunks().zip(y.chunks_mut(CHUNK * shape.value_width)) {
            if let Some(start) = starts.next() {
                start.copy_from_slice(state);
            }
            let chunk = Chunk::new(tokens, state);
            chunk.outputs(y);
            chunk.advance(state);
        }
    })
}

/// [`delta_rule`] token by token: the formula as it stands. A sequence that is handed in piece by piece gives the
/// same bits as at once.
///
/// # Errors
/// As [`delta_rule`].
pub fn delta_rule_tokens<T: Real>(
    shape: DeltaShape,
    rows: DeltaRows<'_, T>,
    state: &mut [T],
    y: &mut [T],
) -> Result<()> {
    let width = shape.value_width;
    each_head(shape, rows, state, None, y, |head, state, _, y| {
        let mut read = vec![T::ZERO; width];
        for (token, y) in y.chunks_mut(width).enumerate() {
            let (query, key) = (head.query(token), head.key(token));
            let decay = head.decay[token].exp();
            state.iter_mut().for_each(|s| *s = decay * *s);
            read.fill(T::ZERO);
            for (state, &k) in state.chunks(width).zip(key) {
                add_scaled(&mut read, k, state);
            }
            let beta = head.write[token];
            for (read, &v) in read.iter_mut().zip(head.value(token)) {
                *read = beta * (v - *read);
            }
            for ((state, &k), &q) in state.chunks_mut(width).zip(key).zip(query) {
                add_scaled(state, k, &read);
                add_scaled(y, q, state);
            }
        }
    })
}

/// Checks all sizes, and calls `run` with each value head of each sequence: its rows, its state, the states at
/// the starts of its chunks (none where they are not wanted), and its outputs, which are zeros.
fn each_head<T: Real>(
    shape: DeltaShape,
    rows: DeltaRows<'_, T>,
    state: &mut [T],
    starts: Option<&mut [T]>,
    y: &mut [T],
    run: impl Fn(&Head<T>, &mut [T], &mut [T], &mut [T]) + Sync,
) -> Result<()> {
    shape.check(&rows)?;
    shape.check_state(state.len())?;
    shape.check_outputs("outputs", y.len())?;
    if let Some(starts) = &starts {
        shape.check_starts(starts.len())?;
    }
    if shape.is_empty() {
        return Ok(());
    }
    let each = shape.state_numbers();
    let mut pieces: Vec<&mut [T]> = match starts {
        Some(starts) => starts.chunks_mut(each * shape.chunks()).collect(),
        None => (0..shape.units()).map(|_| Default::default()).collect(),
    };
    let units = state.par_chunks_mut(each).zip(&mut pieces).enumerate();
    let outputs: Vec<Vec<T>> = units
        .map(|(unit, (state, starts))| {
            let mut y = vec![T::ZERO; shape.sequences.length * shape.value_width];
            run(&Head::gather(shape, &rows, unit), state, starts, &mut y);
            y
        })
        .collect();
    for (unit, output) in outputs.iter().enumerate() {
        scatter(shape, unit, output, y);
    }
    Ok(())
}
