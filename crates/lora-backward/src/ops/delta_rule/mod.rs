//! The gated delta rule (Yang, Kautz and Hatamizadeh, arXiv 2412.06464), as Qwen3-Next and Qwen3.5 have it.

mod backward;
mod chunk;
mod heads;
mod products;
mod shape;
#[cfg(test)]
mod tests;
mod triangle;

use nn::{Compute, Result};
use rayon::prelude::*;

use self::chunk::Chunk;
use self::heads::{Head, query_scale};

pub use self::backward::delta_rule_backward;
pub use self::shape::{DeltaGradients, DeltaRows, DeltaShape};

const OP: &str = "delta_rule";

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
/// Each E and a is the product of the decays of its own tokens: differences of running sums of g lose their digits
/// where the decay is strong. `state`, `[sequences, value heads, dk, dv]`, goes from that before the first token to that after
/// the last. `starts` takes the states at the starts of chunks, which the backward needs.
///
/// # Errors
/// [`Error::Shape`](nn::Error::Shape) and [`Error::Setting`](nn::Error::Setting) for what does not fit;
/// nothing is written then.
pub fn delta_rule<T: Compute>(
    shape: DeltaShape,
    rows: DeltaRows<'_, T>,
    state: &mut [T],
    starts: Option<&mut [T]>,
    y: &mut [T],
) -> Result<()> {
    each_head(shape, rows, state, starts, y, |head, state, starts, y| {
        let mut starts = starts.chunks_mut(shape.state_numbers());
        for range in head.chunks() {
            if let Some(start) = starts.next() {
                start.copy_from_slice(state);
            }
            let chunk = Chunk::new(head.tokens(range), state)?;
            y.extend(chunk.outputs()?);
            chunk.advance(state)?;
        }
        Ok(())
    })
}

/// [`delta_rule`] token by token: the formula as it stands. A sequence that is handed in piece by piece gives the
/// same bits as at once.
///
/// # Errors
/// As [`delta_rule`].
pub fn delta_rule_tokens<T: Compute>(
    shape: DeltaShape,
    rows: DeltaRows<'_, T>,
    state: &mut [T],
    y: &mut [T],
) -> Result<()> {
    let width = shape.value_width;
    each_head(shape, rows, state, None, y, |head, state, _, y| {
        let (mut read, mut output) = (vec![T::ZERO; width], vec![T::ZERO; width]);
        let scale = query_scale::<T>(shape);
        for token in 0..shape.sequences.length {
            let (query, key, [decay, beta]) =
                (head.query(token), head.key(token), head.gates(token));
            let decay = decay.exp();
            read.fill(T::ZERO);
            for (state, &k) in state.chunks_mut(width).zip(key) {
                for (s, read) in state.iter_mut().zip(&mut read) {
                    *s = decay * *s;
                    *read += k * *s;
                }
            }
            for (read, &v) in read.iter_mut().zip(head.value(token)) {
                *read = beta * (v - *read);
            }
            output.fill(T::ZERO);
            for ((state, &k), &q) in state.chunks_mut(width).zip(key).zip(query) {
                let q = scale * q;
                for ((s, &u), output) in state.iter_mut().zip(&read).zip(&mut output) {
                    *s += k * u;
                    *output += q * *s;
                }
            }
            y.extend_from_slice(&output);
        }
        Ok(())
    })
}

/// Checks all sizes, and calls `run` with each value head of each sequence: its rows, its state, the states at
/// the starts of its chunks (none where they are not wanted), and room for its outputs.
fn each_head<T: Compute>(
    shape: DeltaShape,
    rows: DeltaRows<'_, T>,
    state: &mut [T],
    starts: Option<&mut [T]>,
    y: &mut [T],
    run: impl Fn(&Head<'_, T>, &mut [T], &mut [T], &mut Vec<T>) -> Result<()> + Sync,
) -> Result<()> {
    shape.check(&rows)?;
    shape.check_state(state.len())?;
    shape.check_outputs("outputs", y.len())?;
    if let Some(starts) = &starts {
        shape.check_starts(starts.len())?;
    }
    y.fill(T::ZERO);
    if shape.is_empty() {
        return Ok(());
    }
    let each = shape.state_numbers();
    let mut pieces: Vec<&mut [T]> = match starts {
        Some(starts) => starts.chunks_mut(each * shape.chunks()).collect(),
        None => (0..shape.units()).map(|_| Default::default()).collect(),
    };
    let units = state.par_chunks_mut(each).zip(&mut pieces).enumerate();
    let outputs = units
        .map(|(unit, (state, starts))| {
            let mut y = Vec::with_capacity(shape.sequences.length * shape.value_width);
            run(&Head::new(shape, rows, unit), state, starts, &mut y)?;
            Ok(y)
        })
        .collect::<Result<Vec<Vec<T>>>>()?;
    for (unit, output) in outputs.iter().enumerate() {
        Head::new(shape, rows, unit).add_to_values(0..shape.sequences.length, output, y);
    }
    Ok(())
}
