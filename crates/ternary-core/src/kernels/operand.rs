//! Activations as the words that meet panels: padded like the weights, and packed into tiles.

use super::arch::Arch;
use super::dense::{SQUARE, transpose_tile};
use super::parallel::{self, SharedSlice};
use super::scratch::{self, Purpose, Words};
use super::source::Source;
use crate::packing::LANES;

/// The rows of activations of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    /// Row-major numbers.
    pub(crate) values: &'a [T],
    /// Tokens.
    pub(crate) rows: usize,
    /// Numbers in a row.
    pub(crate) cols: usize,
    /// Numbers in a segment of a row.
    pub(crate) segment: usize,
    /// Words that a segment is padded to.
    pub(crate) segment_words: usize,
    /// Segments of a row.
    pub(crate) segments: usize,
}

impl<T: bytemuck::Pod> Rows<'_, T> {
    /// Words of a padded row.
    pub(crate) fn words(&self) -> usize {
        self.segments * self.segment_words
    }

    /// The words from the first row of a tile on, where rows need no padding, lie as words do, and are as many as the
    /// tile or a square has.
    fn as_words(&self, tile: TokenTile) -> Option<&[u32]> {
        let is_whole = self.cols * size_of::<T>() == self.words() * size_of::<u32>();
        let last = tile.first + tile.width.max(SQUARE);
        let values = self.values.get(tile.first * self.cols..last * self.cols)?;
        if is_whole { bytemuck::try_cast_slice(values).ok() } else { None }
    }

    /// Writes row `row` with every segment padded by zeros.
    pub(crate) fn pad(&self, row: usize, out: &mut [u32]) {
        let row = &self.values[row * self.cols..(row + 1) * self.cols];
        if self.segment_words == 0 {
            return;
        }
        let segments = row.chunks(self.segment.max(1));
        for (values, out) in segments.zip(out.chunks_exact_mut(self.segment_words)) {
            let bytes: &[u8] = bytemuck::cast_slice(values);
            let out: &mut [u8] = bytemuck::cast_slice_mut(out);
            out[..bytes.len()].copy_from_slice(bytes);
            out[bytes.len()..].fill(0);
        }
    }
}

/// Rows over the columns of a matrix, of which `per_word` fill a word.
pub(crate) fn column_rows<'a, T>(
    x: &'a [T],
    rows: usize,
    source: &Source<'_>,
    per_word: usize,
) -> Rows<'a, T> {
    let layout = source.layout();
    Rows {
        values: x,
        rows,
        cols: layout.cols(),
        segment: layout.segment_columns(),
        segment_words: source.segment_lines() * LANES / per_word,
        segments: layout.segments(),
    }
}

/// Rows over the rows of a matrix, of which `per_word` fill a word.
pub(crate) fn row_rows<'a, T>(
    x: &'a [T],
    rows: usize,
    source: &Source<'_>,
    per_word: usize,
) -> Rows<'a, T> {
    let layout = source.layout();
    Rows {
        values: x,
        rows,
        cols: layout.rows(),
        segment: layout.rows(),
        segment_words: layout.blocks() * LANES / per_word,
        segments: 1,
    }
}

/// The tokens of one tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenTile {
    /// Its first token.
    pub(crate) first: usize,
    /// Its tokens.
    pub(crate) tokens: usize,
    /// The width it is computed at, tokens or more.
    pub(crate) width: usize,
}

impl TokenTile {
    /// Tile `index` of `tokens` tokens: full ones, then one of the narrowest width that holds the rest.
    pub(crate) fn nth<A: Arch>(index: usize, tokens: usize) -> Self {
        let full = A::WIDTHS[2];
        let first = index * full;
        let tokens = (tokens - first).min(full);
        let width = A::WIDTHS.into_iter().find(|&width| width >= tokens).unwrap_or(full);
        Self { first, tokens, width }
    }

    /// Tiles that `tokens` tokens make.
    pub(crate) fn count<A: Arch>(tokens: usize) -> usize {
        tokens.div_ceil(A::WIDTHS[2])
    }
}

/// Calls `work` with all rows packed into tiles, one after the other: for each step, a word of each
/// token of the tile, zeros where the tile is wider than its tokens.
///
/// # Safety
/// The processor has `A`.
pub(crate) unsafe fn with_tiles<A: Arch, T: bytemuck::Pod + Sync, R>(
    rows: &Rows<'_, T>,
    work: impl FnOnce(&[u32]) -> R,
) -> R {
    let steps = rows.words();
    // Rows without words make no tiles, however many they are.
    let tiles = if steps == 0 { 0 } else { TokenTile::count::<A>(rows.rows) };
    let words = match tiles {
        0 => 0,
        _ => {
            let last = TokenTile::nth::<A>(tiles - 1, rows.rows);
            (last.first + last.width) * steps
        }
    };
    scratch::with(Purpose::Activations, words, |packed| {
        let packed: &mut [u32] = &mut bytemuck::cast_slice_mut(packed)[..words];
        let shared = SharedSlice::new(packed);
        parallel::for_each(tiles, 8 * words, |index| {
            let tile = TokenTile::nth::<A>(index, rows.rows);
            // SAFETY: tiles lie one after the other.
            let out = unsafe { shared.range(tile.first * steps, tile.width * steps) };
            // SAFETY: passed on from the caller.
            unsafe { pack_tile::<A, T>(rows, tile, out) }
        });
        work(packed)
    })
}

/// # Safety
/// The processor has `A`.
unsafe fn pack_tile<A: Arch, T: bytemuck::Pod>(
    rows: &Rows<'_, T>,
    tile: TokenTile,
    out: &mut [u32],
) {
    let steps = rows.words();
    if let Some(words) = rows.as_words(tile) {
        // SAFETY: passed on from the caller.
        return unsafe { transpose_tile::<A>(words, steps, tile.width, steps, out) };
    }
    let stride = steps.next_multiple_of(LANES);
    // Squares reach beyond the rows of a narrow tile.
    scratch::with(Purpose::Rows, tile.width.max(SQUARE) * stride, |padded: &mut [Words]| {
        let padded: &mut [u32] = bytemuck::cast_slice_mut(padded);
        for token in 0..tile.width {
            let row = &mut padded[token * stride..token * stride + steps];
            if token < tile.tokens {
                rows.pad(tile.first + token, row);
            } else {
                row.fill(0);
            }
        }
        // SAFETY: passed on from the caller.
        unsafe { transpose_tile::<A>(padded, stride, tile.width, steps, out) }
    });
}

#[cfg(test)]
mod tests {
    use super::super::portable::Portable;
    use super::*;

    #[test]
    fn tiles_hold_a_word_of_each_token_for_each_step_and_zeros_in_the_padding() {
        // Seven tokens of two segments of three bytes: two words a row, tiles of 4 and 3 (at 4).
        let values: Vec<i8> = (1..=42).collect();
        let rows =
            Rows { values: &values, rows: 7, cols: 6, segment: 3, segment_words: 1, segments: 2 };
        let see = |packed: &[u32]| {
            assert_eq!(packed.len(), 8 * 2);
            for token in 0..8 {
                for step in 0..2 {
                    let (tile, token_in_tile) = (token / 4, token % 4);
                    let word = packed[tile * 8 + step * 4 + token_in_tile].to_le_bytes();
                    let first = (6 * token + 3 * step + 1) as u8;
                    let expected =
                        if token < 7 { [first, first + 1, first + 2, 0] } else { [0; 4] };
                    assert_eq!(word, expected, "token {token}, step {step}");
                }
            }
        };
        // SAFETY: the portable code needs no processor feature.
        unsafe { with_tiles::<Portable, _, _>(&rows, see) }
    }

    #[test]
    fn rows_without_padding_are_packed_from_where_they_lie_and_the_last_ones_are_not_read_beyond() {
        let (count, cols) = (18, 16);
        let values: Vec<f32> = (0..count * cols).map(|index| index as f32).collect();
        let rows = Rows {
            values: &values,
            rows: count,
            cols,
            segment: cols,
            segment_words: cols,
            segments: 1,
        };
        let direct = |index| rows.as_words(TokenTile::nth::<Portable>(index, count)).is_some();
        assert_eq!([0, 1, 2, 3, 4].map(direct), [true, true, true, false, false]);
        let see = |packed: &[u32]| {
            for (token, row) in values.chunks(cols).enumerate() {
                let TokenTile { first, width, .. } = TokenTile::nth::<Portable>(token / 4, count);
                for (step, value) in row.iter().enumerate() {
                    let word = packed[first * cols + step * width + token - first];
                    assert_eq!(word, value.to_bits(), "token {token}, step {step}");
                }
            }
        };
        // SAFETY: the portable code needs no processor feature.
        unsafe { with_tiles::<Portable, _, _>(&rows, see) }
    }
}
