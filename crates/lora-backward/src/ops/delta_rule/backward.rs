//! The backward, chunk by chunk from the last.

use nn::ternary_core::kernels::Store;
use nn::ternary_core::mutant;
use nn::{Compute, Result};
use rayon::prelude::*;

use super::chunk::{Chunk, mask};
use super::heads::{Head, query_scale};
use super::products::{inner, matrix, multiply, product, scale_rows, scaled_rows};
use super::triangle::solve_transposed;
use super::{DeltaGradients, DeltaRows, DeltaShape};

/// The gradients of a chunk's rows.
#[derive(Debug)]
struct ChunkGradients<T> {
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
/// With X = q̂ above k̂, W = P above A and D = do above −de, that is dW = D·Uᵀ, dX = a∘(D·Sᵀ) + (E∘dW)k̂, to dk̂ also
/// (E∘dW)ᵀX, and dS ← a_L·dS + Xᵀ(a∘D). The diagonal of P has no decay in it, and is in no dg.
///
/// # Errors
/// As [`delta_rule`](super::delta_rule).
pub fn delta_rule_backward<T: Compute>(
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
    let backward = |(unit, (d_state, starts)): (usize, (&mut [T], &[T]))| {
        let head = Head::new(shape, rows, unit);
        let chunks = head.chunks().zip(starts.chunks(each)).collect::<Vec<_>>().into_iter().rev();
        let backward = chunks.map(|(range, start)| {
            let chunk = Chunk::new(head.tokens(range.clone()), start)?;
            let dy = head.of_outputs(dy, range.clone());
            Ok((range, chunk_backward(&chunk, start, dy, d_state)?))
        });
        backward.collect::<Result<Vec<_>>>()
    };
    let found = units.enumerate().map(backward).collect::<Result<Vec<_>>>()?;
    let scale = query_scale::<T>(shape);
    for (unit, found) in found.into_iter().enumerate() {
        let head = Head::new(shape, rows, unit);
        let key_head = mutant!(
            "delta_rule/heads tiled instead of repeated",
            head.key_head(),
            unit % shape.key_heads
        );
        for (range, mut found) in found {
            found.query.iter_mut().for_each(|dq| *dq *= scale);
            head.add_to_keys(key_head, range.clone(), &found.query, query);
            head.add_to_keys(key_head, range.clone(), &found.key, key);
            head.add_to_values(range.clone(), &found.value, value);
            head.add_to_numbers(range.clone(), &found.decay, decay);
            head.add_to_numbers(range, &found.write, write);
        }
    }
    Ok(())
}

fn chunk_backward<T: Compute>(
    chunk: &Chunk<T>,
    start: &[T],
    dy: Vec<T>,
    d_state: &mut [T],
) -> Result<ChunkGradients<T>> {
    let (tokens, count) = (&chunk.tokens, chunk.len());
    let [key_width, value_width] = tokens.widths;
    let (half, keys) = (count * value_width, matrix(tokens.keys(), key_width)?);
    let (seen, written) = chunk.weights.split_at(count * count);
    mutant!("delta_rule/state gradient lost", { d_state.fill(T::ZERO) });

    // k̂·dS, then dU and, from the last token, D.
    let keys_by_d_state = product(keys, matrix(d_state, value_width)?)?;
    let mut d_update = scaled_rows(&keys_by_d_state, value_width, chunk.to_end());
    let seen = matrix(seen, count)?.transposed();
    multiply(seen, matrix(&dy, value_width)?, &mut d_update, Store::Add)?;
    let mut upstream = dy;
    upstream.resize(2 * half, T::ZERO);
    let negative = &mut upstream[half..];
    solve_transposed(written, &tokens.write, value_width, &mut d_update, negative)?;
    let pairs = d_update.chunks(value_width).zip(chunk.residual.chunks(value_width));
    let write = pairs.map(|(du, e)| inner(du, e)).collect();

    // dW; times W it is the gradient of the sums of g.
    let d = matrix(&upstream, value_width)?;
    let mut d_weights = product(d, matrix(&chunk.update, value_width)?.transposed())?;
    let decay = d_log_decays(chunk, start, &upstream, d_state, &keys_by_d_state, &d_weights);
    mask(&mut d_weights, &chunk.decays, count);

    let mut d_pairs = product(d, matrix(start, value_width)?.transposed())?;
    scale_rows(&mut d_pairs, key_width, &chunk.from_start);
    let d_weights = matrix(&d_weights, count)?;
    multiply(d_weights, keys, &mut d_pairs, Store::Add)?;
    let mut query = d_pairs;
    let mut key = query.split_off(count * key_width);
    let pairs = matrix(&tokens.pairs, key_width)?;
    multiply(d_weights.transposed(), pairs, &mut key, Store::Add)?;
    let by_d_state = matrix(d_state, value_width)?.transposed();
    let update = chunk.update_at_end();
    let update = mutant!("delta_rule/state left out of the keys", update, vec![T::ZERO; half]);
    multiply(matrix(&update, value_width)?, by_d_state, &mut key, Store::Add)?;

    let decay_of_all = chunk.from_start[count - 1];
    d_state.iter_mut().for_each(|d| *d = decay_of_all * *d);
    let decayed = scaled_rows(&upstream, value_width, &chunk.from_start);
    multiply(pairs.transposed(), matrix(&decayed, value_width)?, d_state, Store::Add)?;
    let value = upstream[half..].iter().map(|&d| -d).collect();
    Ok(ChunkGradients { query, key, value, decay, write })
}

/// dg: sums of terms, where differences of running sums would cancel.
fn d_log_decays<T: Compute>(
    chunk: &Chunk<T>,
    start: &[T],
    upstream: &[T],
    d_state: &[T],
    keys_by_d_state: &[T],
    d_weights: &[T],
) -> Vec<T> {
    let (count, [_, width]) = (chunk.len(), chunk.tokens.widths);
    let last = count - 1;
    let by_row: Vec<T> = chunk
        .by_state
        .chunks(width)
        .zip(upstream.chunks(width))
        .map(|(by_state, d)| inner(by_state, d))
        .collect();
    let pairs = keys_by_d_state.chunks(width).zip(chunk.update.chunks(width));
    let to_state: Vec<T> = pairs.zip(chunk.to_end()).map(|((d, u), &b)| b * inner(d, u)).collect();
    let of_state = chunk.from_start[last] * inner(start, d_state);
    let (half, mut decay) = (count * count, vec![T::ZERO; count]);
    for i in 0..count {
        let of_start = chunk.from_start[i] * (by_row[i] + by_row[count + i]);
        let mut sum = if i == last { of_start + of_state } else { of_start };
        for l in 0..=i {
            let d = sum;
            decay[l] += mutant!("delta_rule/sign of dg", d, -d);
            let at = i * count + l;
            // On the diagonal no l follows.
            sum +=
                d_weights[at] * chunk.weights[at] + d_weights[half + at] * chunk.weights[half + at];
            if i == last {
                sum += to_state[l];
            }
        }
    }
    decay
}
