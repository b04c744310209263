//! The backward, chunk by chunk from the last.

use nn::Result;
use nn::ternary_core::{Real, mutant};
use rayon::prelude::*;

use super::chunk::Chunk;
use super::heads::{Head, add_rows, query_scale, tokens};
use super::products::{add_outer, add_scaled, inner, lower, rows_by, rows_by_transposed};
use super::{CHUNK, DeltaGradients, DeltaRows, DeltaShape};

/// The gradients of a head's rows.
#[derive(Debug)]
struct HeadGradients<T> {
    query: Vec<T>,
    key: Vec<T>,
    value: Vec<T>,
    decay: Vec<T>,
    write: Vec<T>,
}

/// Adds the gradients of the rows of [`delta_rule`](super::delta_rule), from `dy` and from the states at
/// the starts of chunks that the forward left; what is inside a chunk is computed again. `d_state` goes from the
/// gradient of the last state to that of the first.
///
/// With A = E∘k̂k̂ᵀ below the diagonal and P = E∘q̂k̂ᵀ, in one chunk:
///
/// ```text
/// dU = Pᵀdo + b∘(k̂·dS)      from the last token:  deᵢ = βᵢ·duᵢ,  duⱼ −= A_ij·deᵢ
/// dβᵢ = duᵢ·eᵢ               dv = de               dA = −de·Uᵀ           dP = do·Uᵀ
/// dq̂ = a∘(do·Sᵀ) + (E∘dP)k̂
/// dk̂ = −a∘(de·Sᵀ) + (E∘dA)k̂ + (E∘dA)ᵀk̂ + (E∘dP)ᵀq̂ + b∘(U·dSᵀ)
/// dgₗ = Σ_i≥l Σ_j<l (dP∘P + dA∘A)_ij + Σ_j<l bⱼ(k̂ⱼ·dS)uⱼ + Σ_i≥l aᵢ((q̂ᵢS)·doᵢ − (k̂ᵢS)·deᵢ) + a_L⟨S, dS⟩
/// dS ← a_L·dS + (a∘q̂)ᵀdo − (a∘k̂)ᵀde
/// ```
///
/// The diagonal of P has no decay in it, and is in no dg.
///
/// # Errors
/// As [`delta_rule`](super::delta_rule).
pub fn delta_rule_backward<T: Real>(
    shape: DeltaShape,
    rows: DeltaRows<'_, T>,
    starts: &[T],
    dy: &[T],
    d_state: &mut [T],
    gradients: DeltaGradients<'_, T>,
) -> Result<()> {
    shape.check(&rows)?;
    let DeltaGradients { query, key, value, decay, write } = gradients;
    shape.check(&DeltaRows { query, key, value, decay, write })?;
    shape.check_starts(starts.len())?;
    shape.check_state(d_state.len())?;
    shape.check_outputs("gradients of outputs", dy.len())?;
    if shape.is_empty() {
        return Ok(());
    }
    let each = shape.state_numbers();
    let units = d_state.par_chunks_mut(each).zip(starts.par_chunks(each * shape.chunks()));
    let found: Vec<HeadGradients<T>> = units
        .enumerate()
        .map(|(unit, (d_state, starts))| {
            let head = Head::gather(shape, &rows, unit);
            // Outputs have the places of values.
            let dy = Head::gather(shape, &DeltaRows { value: dy, ..rows }, unit).into_values();
            head_backward(shape, &head, starts, &dy, d_state)
        })
        .collect();
    for (unit, mut found) in found.into_iter().enumerate() {
        let (sequence, head) = (unit / shape.value_heads, unit % shape.value_heads);
        let (range, key_head) = (tokens(shape, sequence), shape.key_head(head));
        let key_head =
            mutant!("delta_rule/heads tiled instead of repeated", key_head, head % shape.key_heads);
        let scale = query_scale::<T>(shape);
        found.query.iter_mut().for_each(|dq| *dq *= scale);
        let keys = [shape.key_heads, key_head, shape.key_width];
        let values = [shape.value_heads, head, shape.value_width];
        let numbers = [shape.value_heads, head, 1];
        add_rows(range.clone(), keys, &found.query, query);
        add_rows(range.clone(), keys, &found.key, key);
        add_rows(range.clone(), values, &found.value, value);
        add_rows(range.clone(), numbers, &found.decay, decay);
        add_rows(range, numbers, &found.write, write);
    }
    Ok(())
}

fn head_backward<T: Real>(
    shape: DeltaShape,
    head: &Head<T>,
    starts: &[T],
    dy: &[T],
    d_state: &mut [T],
) -> HeadGradients<T> {
    let starts = starts.chunks(shape.state_numbers());
    let chunks = head.chunks().zip(starts).zip(dy.chunks(CHUNK * shape.value_width));
    let mut parts = Vec::new();
    for ((tokens, start), dy) in chunks.collect::<Vec<_>>().into_iter().rev() {
        parts.push(chunk_backward(&Chunk::new(tokens, start), start, dy, d_state));
    }
    let join = |part: fn(&HeadGradients<T>) -> &[T]| {
        parts.iter().rev().flat_map(part).copied().collect::<Vec<T>>()
    };
    HeadGradients {
        query: join(|part| &part.query),
        key: join(|part| &part.key),
        value: join(|part| &part.value),
        decay: join(|part| &part.decay),
        write: join(|part| &part.write),
    }
}

fn chunk_backward<T: Real>(
    chunk: &Chunk<'_, T>,
    start: &[T],
    dy: &[T],
    d_state: &mut [T],
) -> HeadGradients<T> {
    let (tokens, count) = (chunk.tokens, chunk.len());
    let [key_width, value_width] = tokens.widths;
    let of_value = |i: usize| i * value_width..(i + 1) * value_width;
    let of_key = |i: usize| i * key_width..(i + 1) * key_width;
    let to_end = chunk.to_end();
    mutant!("delta_rule/state gradient lost", { d_state.fill(T::ZERO) });

    // k̂·dS, then dU and, from the last token, de.
    let keys_by_d_state = rows_by(tokens.keys, d_state, tokens.widths);
    let mut d_update = vec![T::ZERO; count * value_width];
    for (j, own) in d_update.chunks_mut(value_width).enumerate() {
        add_scaled(own, to_end[j], &keys_by_d_state[of_value(j)]);
        for i in j..count {
            add_scaled(own, chunk.seen[i * count + j], &dy[of_value(i)]);
        }
    }
    let mut d_residual = vec![T::ZERO; count * value_width];
    for i in (0..count).rev() {
        let (before, own) = d_update.split_at_mut(i * value_width);
        let d_own = &mut d_residual[of_value(i)];
        add_scaled(d_own, tokens.write[i], &own[..value_width]);
        for (j, before) in before.chunks_mut(value_width).enumerate() {
            add_scaled(before, -chunk.written[i * count + j], d_own);
        }
    }
    let pairs = d_update.chunks(value_width).zip(chunk.residual.chunks(value_width));
    let write = pairs.map(|(du, e)| inner(du, e)).collect();

    // E∘dA and E∘dP; times what E multiplies they are the gradients of the sums of g.
    let mut d_written = lower(&d_residual, &chunk.update, value_width, false);
    let mut d_seen = lower(dy, &chunk.update, value_width, true);
    let mut d_decays = vec![T::ZERO; count * count];
    for at in 0..count * count {
        d_written[at] = -d_written[at];
        let d_decay = d_written[at] * chunk.written[at] + d_seen[at] * chunk.seen[at];
        d_decays[at] = d_decay;
        d_written[at] *= chunk.decays[at];
        d_seen[at] *= chunk.decays[at];
    }
    let decay = d_log_decays(chunk, start, dy, d_state, &d_residual, &keys_by_d_state, d_decays);

    let mut query = rows_by_transposed(dy, start, tokens.widths, &chunk.from_start);
    let negative: Vec<T> = chunk.from_start.iter().map(|&a| -a).collect();
    let mut key = rows_by_transposed(&d_residual, start, tokens.widths, &negative);
    let from_state = rows_by_transposed(&chunk.update, d_state, tokens.widths, to_end);
    mutant!("delta_rule/state left out of the keys", add_scaled(&mut key, T::ONE, &from_state), ());
    for i in 0..count {
        for j in 0..=i {
            let (d_written, d_seen) = (d_written[i * count + j], d_seen[i * count + j]);
            let [of_i, of_j] = [i, j].map(of_key);
            add_scaled(&mut query[of_i.clone()], d_seen, &tokens.keys[of_j.clone()]);
            add_scaled(&mut key[of_i.clone()], d_written, &tokens.keys[of_j.clone()]);
            add_scaled(&mut key[of_j.clone()], d_written, &tokens.keys[of_i.clone()]);
            add_scaled(&mut key[of_j], d_seen, &tokens.queries[of_i]);
        }
    }

    let decay_of_all = chunk.from_start[count - 1];
    d_state.iter_mut().for_each(|d| *d = decay_of_all * *d);
    let from_start = chunk.from_start.iter().copied();
    let (queries, keys) = ((tokens.queries, key_width), (tokens.keys, key_width));
    add_outer(d_state, from_start, queries, (dy, value_width));
    add_outer(d_state, negative.into_iter(), keys, (&d_residual, value_width));
    HeadGradients { query, key, value: d_residual, decay, write }
}

/// dg: sums of terms, where differences of running sums would cancel.
fn d_log_decays<T: Real>(
    chunk: &Chunk<'_, T>,
    start: &[T],
    dy: &[T],
    d_state: &[T],
    d_residual: &[T],
    keys_by_d_state: &[T],
    mut d_decays: Vec<T>,
) -> Vec<T> {
    let (count, [_, width]) = (chunk.len(), chunk.tokens.widths);
    let of = |i: usize| i * width..(i + 1) * width;
    let mut whole: Vec<T> = (0..count)
        .map(|i| {
            let seen = inner(&chunk.queries_by_state[of(i)], &dy[of(i)]);
            let written = inner(&chunk.keys_by_state[of(i)], &d_residual[of(i)]);
            chunk.from_start[i] * (seen - written)
        })
        .collect();
    let last = count - 1;
    whole[last] += chunk.from_start[last] * inner(start, d_state);
    for j in 0..last {
        let to_state = inner(&keys_by_d_state[of(j)], &chunk.update[of(j)]);
        d_decays[last * count + j] += chunk.to_end()[j] * to_state;
    }
    let sum = |l: usize| {
        let rows = (l..count).map(|i| {
            let within: T = d_decays[i * count..i * count + l].iter().sum();
            within + whole[i]
        });
        let sum: T = rows.sum();
        mutant!("delta_rule/sign of dg", sum, -sum)
    };
    (0..count).map(sum).collect()
}
