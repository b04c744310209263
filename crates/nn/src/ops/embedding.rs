//! Rows of a table, looked up by token.

use rayon::prelude::*;
use ternary_core::{Real, mutant};

use super::blocks::{count_rows, rows_per_block};
use crate::error::{Error, Result, check_size};
use ternary_core::profile::span;

const OP: &str = "embedding";

/// yₜ = the table's row tokenₜ, `width` numbers for each token.
///
/// # Errors
/// [`Error::Token`] where the table has no such row, [`Error::Shape`] where the sizes do not fit.
pub fn embedding<T: Real>(table: &[T], width: usize, tokens: &[u32], y: &mut [T]) -> Result<()> {
    let _span = span("embedding");
    check(table.len(), width, tokens, "output", y.len())?;
    let block = rows_per_block(tokens.len(), width);
    y.par_chunks_mut((block * width).max(1)).zip(tokens.par_chunks(block)).for_each(
        |(y, tokens)| {
            for (y, &token) in y.chunks_exact_mut(width).zip(tokens) {
                y.copy_from_slice(&table[token as usize * width..][..width]);
            }
        },
    );
    Ok(())
}

/// Adds the gradient of [`embedding`]: the table's row tokenₜ gets += dyₜ, for t in order.
///
/// # Errors
/// [`Error::Token`] where the table has no such row, [`Error::Shape`] where the sizes do not fit.
pub fn embedding_backward<T: Real>(
    width: usize,
    tokens: &[u32],
    dy: &[T],
    d_table: &mut [T],
) -> Result<()> {
    let _span = span("embedding");
    let vocabulary = check(d_table.len(), width, tokens, "gradient of the output", dy.len())?;
    // Each thread takes a range of the table's rows and reads all tokens, so that a row that occurs
    // more than once is summed in the order of the tokens.
    let shared = rows_per_block(tokens.len(), width) < tokens.len();
    let parts = if shared { rayon::current_num_threads() } else { 1 };
    let rows = vocabulary.div_ceil(parts).max(1);
    d_table.par_chunks_mut((rows * width).max(1)).enumerate().for_each(|(part, d_table)| {
        let range = part * rows..(part + 1) * rows;
        for (&token, dy) in tokens.iter().zip(dy.chunks_exact(width)) {
            if range.contains(&(token as usize)) {
                add_row(&mut d_table[(token as usize - range.start) * width..][..width], dy);
            }
        }
    });
    Ok(())
}

fn add_row<T: Real>(sums: &mut [T], row: &[T]) {
    for (column, sum) in sums.iter_mut().enumerate() {
        let number = row[mutant!("embedding/columns reversed", column, row.len() - 1 - column)];
        let number = mutant!("embedding/sign", number, -number);
        *sum = mutant!("embedding/overwritten", *sum + number, number);
    }
}

/// Checks tokens and sizes and gives the number of rows of the table.
fn check(
    table: usize,
    width: usize,
    tokens: &[u32],
    what: &'static str,
    found: usize,
) -> Result<usize> {
    let vocabulary = count_rows(OP, "table", table, width)?;
    check_size(OP, what, tokens.len().saturating_mul(width), found)?;
    match tokens.iter().position(|&token| token as usize >= vocabulary) {
        Some(position) => {
            let (layer, token) = (OP.to_owned(), tokens[position]);
            Err(Error::Token { layer, position, vocabulary, token })
        }
        None => Ok(vocabulary),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checks::*;

    const TOKENS: [u32; 5] = [3, 0, 3, 2, 3];

    #[test]
    fn rows_are_looked_up_and_their_gradients_added_where_they_came_from() {
        let table: Vec<f64> = (0..8).map(f64::from).collect();
        let mut y = [0.0; 10];
        embedding(&table, 2, &TOKENS, &mut y).unwrap();
        assert_eq!(y, [6.0, 7.0, 0.0, 1.0, 6.0, 7.0, 4.0, 5.0, 6.0, 7.0]);
        let mut d_table = [0.5; 8];
        embedding_backward(2, &TOKENS, &y, &mut d_table).unwrap();
        assert_eq!(d_table, [0.5, 1.5, 0.5, 0.5, 4.5, 5.5, 18.5, 21.5]);
    }

    #[test]
    fn every_entry_of_the_gradient_is_the_slope_of_the_forward() {
        let (table, dy) = (numbers::<f64>(1, 12), numbers::<f64>(2, 15));
        let mut y = [0.0; 15];
        let by_table = slopes(&table, |table| {
            embedding(table, 3, &TOKENS, &mut y).unwrap();
            inner(&y, &dy)
        });
        let mut d_table = numbers(3, 12);
        embedding_backward(3, &TOKENS, &dy, &mut d_table).unwrap();
        assert_slopes("table", &d_table, &numbers(3, 12), &by_table);
        assert_eq!(by_table[3..6], [0.0; 3], "a token that does not occur");
    }

    #[test]
    fn sums_run_in_the_order_of_the_tokens_on_any_number_of_threads() {
        let (vocabulary, width, count) = (257, 33, 2000);
        let tokens: Vec<u32> = (0..count).map(|i| (i * i % vocabulary) as u32).collect();
        let table = numbers::<f32>(1, vocabulary * width);
        let found = same_on_any_number_of_threads(|| {
            let (mut y, mut d_table) = (vec![0.0; count * width], table.clone());
            embedding(&table, width, &tokens, &mut y).unwrap();
            embedding_backward(width, &tokens, &y, &mut d_table).unwrap();
            d_table
        });
        let mut in_order = table.clone();
        for token in tokens {
            for column in token as usize * width..(token as usize + 1) * width {
                in_order[column] += table[column];
            }
        }
        assert_same_bits(&found, &in_order);
    }

    #[test]
    fn a_token_that_the_table_does_not_have_is_named_and_nothing_is_written() {
        let mut y = [7.0; 6];
        let error = embedding(&[0.0; 8], 2, &[1, 4, 9], &mut y).unwrap_err();
        let layer = "embedding".to_owned();
        assert_eq!(error, Error::Token { layer, position: 1, vocabulary: 4, token: 4 });
        assert_eq!(y, [7.0; 6]);
        assert!(embedding_backward(2, &[u32::MAX], &[0.0; 2], &mut y).is_err());
        let error = embedding(&[0.0; 8], 2, &[1, 2], &mut y).unwrap_err();
        assert_eq!(error.to_string(), "embedding: output: expected 4, found 6");
        assert!(embedding(&[0.0; 7], 2, &[1], &mut [0.0; 2]).is_err());
        embedding::<f32>(&[], 2, &[], &mut []).unwrap();
        embedding_backward::<f32>(2, &[], &[], &mut [0.0; 4]).unwrap();
    }
}
