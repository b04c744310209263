//! How a call is shared among threads: in blocks of whole rows, each computed as if it were alone.

use crate::error::{Error, Result};

/// Numbers below which a call stays on the calling thread: waking another one costs as much as it saves.
const WORTH_SHARING: usize = 1 << 15;

/// Numbers in a block: of a few arrays together they fit the first two caches.
const BLOCK: usize = 1 << 13;

/// Rows handed out at a time; at least one, and all of them in a small call. A result never depends on
/// it, for every row is computed alone.
pub(super) fn rows_per_block(rows: usize, width: usize) -> usize {
    if rows * width < WORTH_SHARING { rows.max(1) } else { (BLOCK / width.max(1)).max(1) }
}

/// Numbers handed out at a time by an op that works number by number.
pub(super) fn numbers_per_block(count: usize) -> usize {
    rows_per_block(count, 1)
}

/// Columns handed out at a time where rows are summed: each column is summed by one thread, over all
/// rows in their order, so that the sum does not depend on the threads.
pub(super) fn columns_per_block(rows: usize, width: usize) -> usize {
    if rows * width < WORTH_SHARING {
        width.max(1)
    } else {
        width.div_ceil(rayon::current_num_threads()).next_multiple_of(64)
    }
}

/// The number of rows in `length` numbers, or an error where rows of this width do not fill them.
pub(super) fn count_rows(
    op: &str,
    what: &'static str,
    length: usize,
    width: usize,
) -> Result<usize> {
    if length == 0 {
        return Ok(0);
    }
    if width == 0 || !length.is_multiple_of(width) {
        let expected = if width == 0 { 0 } else { length.next_multiple_of(width) };
        return Err(Error::Shape { layer: op.to_owned(), what, expected, found: length });
    }
    Ok(length / width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_calls_are_one_block_and_a_block_is_never_empty() {
        assert_eq!(rows_per_block(0, 0), 1);
        assert_eq!(rows_per_block(10, 128), 10);
        assert_eq!(rows_per_block(2048, 128), 64);
        assert_eq!(rows_per_block(3, 1 << 20), 1);
        assert_eq!(columns_per_block(1, 0), 1);
        assert!(columns_per_block(2048, 128) >= 64);
    }

    #[test]
    fn rows_that_do_not_fill_the_numbers_are_an_error() {
        assert_eq!(count_rows("op", "input", 12, 4), Ok(3));
        assert_eq!(count_rows("op", "input", 0, 0), Ok(0));
        for (length, width, expected) in [(13, 4, 16), (5, 0, 0)] {
            let error = count_rows("op", "input", length, width).unwrap_err();
            let layer = "op".to_owned();
            assert_eq!(error, Error::Shape { layer, what: "input", expected, found: length });
        }
    }
}
