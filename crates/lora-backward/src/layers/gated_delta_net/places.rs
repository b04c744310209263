//! Where the numbers of a key head and its value heads stand among those of all heads.

use std::ops::Range;

use nn::ternary_core::Real;
use rayon::prelude::*;

use super::parts::{DeltaNetInputs, DeltaNetOptions};

/// Neighbouring columns of the rows that an input projection gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    /// Which projection.
    pub(super) array: usize,
    pub(super) first: usize,
    pub(super) count: usize,
}

/// The columns of a key head and its value heads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    /// Of q, k and v.
    pub(super) mixed: [Columns; 3],
    pub(super) z: Columns,
    pub(super) b: Columns,
    pub(super) a: Columns,
    /// The first channel of q, k and v in the convolution.
    pub(super) channels: [usize; 3],
    /// The first value head.
    pub(super) value_head: usize,
}

impl Places {
    pub(super) fn new<T>(
        options: DeltaNetOptions,
        inputs: &DeltaNetInputs<T>,
        head: usize,
    ) -> Self {
        let (keys, heads) = (options.key_width, options.group());
        let values = heads * options.value_width;
        let channels =
            [head * keys, options.key_row() + head * keys, 2 * options.key_row() + head * values];
        let (counts, value_head) = ([keys, keys, values], head * heads);
        let columns = |array, first, count| Columns { array, first, count };
        match inputs {
            DeltaNetInputs::Separate { .. } => Self {
                mixed: std::array::from_fn(|i| columns(0, channels[i], counts[i])),
                z: columns(1, head * values, values),
                b: columns(2, value_head, heads),
                a: columns(3, value_head, heads),
                channels,
                value_head,
            },
            DeltaNetInputs::Fused { .. } => {
                let start = head * 2 * (keys + values);
                let firsts = [start, start + keys, start + 2 * keys];
                Self {
                    mixed: std::array::from_fn(|i| columns(0, firsts[i], counts[i])),
                    z: columns(0, firsts[2] + values, values),
                    b: columns(1, 2 * value_head, heads),
                    a: columns(1, 2 * value_head + heads, heads),
                    channels,
                    value_head,
                }
            }
        }
    }
}

/// Rows of numbers.
#[derive(Debug)]
pub(super) struct Rows<T> {
    pub(super) width: usize,
    pub(super) values: Vec<T>,
}

impl<T: Real> Rows<T> {
    /// Some columns of some rows, side by side.
    pub(super) fn gather(&self, rows: Range<usize>, first: usize, count: usize) -> Vec<T> {
        let mut gathered = Vec::with_capacity(rows.len() * count);
        for row in rows {
            gathered.extend_from_slice(&self.values[row * self.width + first..][..count]);
        }
        gathered
    }

    /// The reverse, for several runs of columns, each from its first one on.
    pub(super) fn scatter(&mut self, rows: Range<usize>, pieces: &[(usize, &[T])]) {
        /// Rows that a thread takes at a time.
        const TOGETHER: usize = 8;
        let (width, count) = (self.width, rows.len());
        let values = &mut self.values[rows.start * width..rows.end * width];
        values.par_chunks_mut(TOGETHER * width).enumerate().for_each(|(block, values)| {
            for (row, values) in values.chunks_mut(width).enumerate() {
                for &(first, piece) in pieces {
                    let own = piece.len() / count;
                    let piece = &piece[(block * TOGETHER + row) * own..][..own];
                    values[first..][..own].copy_from_slice(piece);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_is_scattered_to_where_it_was() {
        let values: Vec<f64> = (0..60).map(f64::from).collect();
        let rows = Rows { width: 5, values: values.clone() };
        let (left, right) = (rows.gather(1..12, 0, 2), rows.gather(1..12, 2, 3));
        assert_eq!(left[..4], [5.0, 6.0, 10.0, 11.0]);
        let mut found = Rows { width: 5, values: vec![0.0; 60] };
        found.scatter(1..12, &[(0, &left), (2, &right)]);
        assert_eq!(found.values[5..], values[5..]);
        assert_eq!(found.values[..5], [0.0; 5]);
    }
}
